package call

import (
	"context"

	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Caller is who calls, as far as a credential proved it. It is immutable once it
// has been given to a call.
type Caller struct {
	// ID names the caller among those of its authenticator: a token's subject,
	// a key's id, a certificate's subject, a user's name. It is "" where the
	// credential names nobody, such as a token without a subject; see Identity.
	ID string
	// Credential is the hash of the credential, where that names nobody.
	Credential string
	// Authenticator is the name, in the configuration, of what knew the caller.
	Authenticator string
	// Claims are what else is known, as JSON has it: string, float64, bool,
	// []any, map[string]any and nil; see ClaimAt.
	Claims map[string]any
	// Scopes are what the caller may ask for.
	Scopes []string
	// ByAuthorization says that the header Authorization proved the caller. Of a
	// caller known otherwise, such as by an API key, that header is a credential
	// that the gateway has not checked.
	ByAuthorization bool
}

// Identity tells one caller from all others, for what is kept or counted for each
// of them. The zero Identity is nobody's.
type Identity struct {
	Authenticator string
	// ID is the caller's, or the hash of a credential that names nobody.
	ID string
	// ByCredential says that ID is such a hash.
	ByCredential bool
}

// Identity returns who the caller is. A credential that names nobody is a caller of
// its own: all who come with such credentials are not one. known is false for a
// caller of whom there is neither an id nor a credential; it must not share
// anything with others.
func (c *Caller) Identity() (_ Identity, known bool) {
	switch {
	case c == nil:
		return Identity{}, false
	case c.ID != "":
		return Identity{Authenticator: c.Authenticator, ID: c.ID}, true
	default:
		return Identity{Authenticator: c.Authenticator, ID: c.Credential, ByCredential: true}, c.Credential != ""
	}
}

// HashCredential is what [Caller].Credential is of a credential.
func HashCredential(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:])
}

// ClaimAt finds the claim at a path, in which dots lead from a claim to one within
// it. Names may have dots themselves, as those that are URLs do: at each step the
// longest name counts under which there is something. A claim that is null is none.
// This is the one syntax of such paths, wherever a claim is named.
func ClaimAt(claims map[string]any, path string) (any, bool) {
	if v, ok := claims[path]; ok {
		return v, v != nil
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			return ClaimAt(inner, path[i+1:])
		}
	}
	return nil, false
}

// SetCaller tells who calls. It is for the policy that authenticates, before the
// call goes on.
func (c *Call) SetCaller(caller *Caller) { c.caller.Store(caller) }

// Caller is who calls, nil for nobody known.
func (c *Call) Caller() *Caller { return c.caller.Load() }

// AddHeader adds headers to the answer, beside the backend's; keys are in lower
// case. On gRPC they go into the trailer of a call that fails, since a header of
// their own would commit the client's attempt (gRFC A6). They must be added
// before the first message of the answer.
func (c *Call) AddHeader(pairs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header == nil {
		c.header = c.headerRoom[:0]
	}
	c.header = append(c.header, pairs...)
}

// Header is what AddHeader added, made anew for each who asks.
func (c *Call) Header() metadata.MD {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.header) == 0 {
		return nil
	}
	return metadata.Pairs(c.header...)
}

// Request is the request message, which is read now if nobody has. It stays the
// call's. A call whose requests are a stream has none: policies that need one
// refuse such an RPC when the table is built.
func (c *Call) Request() (*Message, error) {
	if c.request == nil {
		return nil, Refuse(Gateway, codes.Internal, "internal error")
	}
	return c.request()
}

// ReadRequest reads the request message where there is one, so that a bad one is
// refused before an upstream hears of the call.
func (c *Call) ReadRequest() error {
	if c == nil || c.request == nil {
		return nil
	}
	_, err := c.request()
	return err
}

// Debatable reports whether a request of the call was found to be one that some
// libraries of protobuf cannot read, where requests are checked.
func (c *Call) Debatable() bool { return c.debatable.Load() }

// Decoder makes views of messages of one type.
type Decoder interface {
	// Measure checks that wire is such a message, and returns how many bytes a view
	// of it holds at most, those of wire among them.
	Measure(wire string) (int, error)
	// View looks into wire, which Measure has accepted.
	View(wire string) proto.Message
}

// Decoded is the request message in a form that a policy can look into. d makes it
// of the wire bytes, at most once for a call, whoever asks first. ctx is the call's: it
// ends the wait for memory.
func (c *Call) Decoded(ctx context.Context, d Decoder) (proto.Message, error) {
	c.decoding.Do(func() { c.decoded.msg, c.decoded.err = c.look(ctx, d) })
	return c.decoded.msg, c.decoded.err
}

func (c *Call) look(ctx context.Context, d Decoder) (proto.Message, error) {
	msg, err := c.Request()
	if err != nil {
		return nil, err
	}
	if err := c.hold(ctx, msg.Len()); err != nil {
		return nil, err
	}
	wire := msg.text()
	size, err := d.Measure(wire)
	if err != nil {
		return nil, err
	}
	if err := c.hold(ctx, size-len(wire)); err != nil {
		return nil, err
	}
	return d.View(wire), nil
}

// hold has room for n bytes more, which the call holds until it ends.
func (c *Call) hold(ctx context.Context, n int) error {
	return MemoryError(c.Memory.ReserveAnswer(ctx, int64(n)))
}

// carries says where a call's request is.
func (c *Call) carries(request func() (*Message, error)) {
	if c != nil {
		c.request = request
	}
}

// decoded is a view of the request.
type decoded struct {
	msg proto.Message
	err error
}
