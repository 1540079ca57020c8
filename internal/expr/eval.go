package expr

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// Key gives the value of the expression for the call that ctx belongs to, as a
// string that differs wherever the values do. In a key, caller.id of a credential
// that names nobody is the hash of the credential: those who have such credentials
// are not one caller.
func (p *Program) Key(ctx context.Context) (string, error) {
	if p.direct != "" {
		if text, ok := textNamed(call.From(ctx), p.direct); ok {
			return "s" + text, nil
		}
	}
	v, err := p.eval(ctx, true)
	if err != nil {
		return "", err
	}
	if s, ok := v.(types.String); ok {
		return "s" + string(s), nil // by far the most frequent
	}
	b, err := appendKey(nil, v)
	return string(b), err
}

// CallerKey is Key, for what one caller must not share with another: an id names a
// caller among those of its authenticator only, so where the expression names
// caller.id the authenticator belongs to the key.
func (p *Program) CallerKey(ctx context.Context) (string, error) {
	key, err := p.Key(ctx)
	if err != nil || !p.names[callerID] {
		return key, err
	}
	c := call.From(ctx)
	if c == nil || c.Caller() == nil {
		return key, nil
	}
	of := c.Caller().Authenticator
	b := make([]byte, 0, len(of)+len(key)+4)
	return string(append(call.AppendPart(append(b, 'c'), of), key...)), nil
}

// IsCallerID reports whether the expression is caller.id and nothing else.
func (p *Program) IsCallerID() bool { return p.direct == callerID }

// idOf is a caller's id in a key. No id of an issuer's begins with a NUL.
func idOf(c *call.Caller) string {
	id, _ := c.Identity()
	if id.ByCredential && id.ID != "" {
		return "\x00credential " + id.ID
	}
	return id.ID
}

// textNamed is the value of a variable that is a text, without CEL's help: most
// keys are just that.
func textNamed(c *call.Call, name string) (string, bool) {
	if c == nil {
		return "", false
	}
	caller := c.Caller()
	switch {
	case name == method:
		return c.Method, true
	case name == peerIP:
		return textOf(c.PeerIP()), true
	case name == peerNetwork:
		return networkOf(c.PeerIP()), true
	case name == callerID && caller != nil:
		return idOf(caller), true
	case name == callerAuthenticator && caller != nil:
		return caller.Authenticator, true
	default:
		return "", false
	}
}

func appendKey(b []byte, v ref.Val) ([]byte, error) {
	switch v := v.(type) {
	case types.String:
		return call.AppendPart(append(b, 't'), string(v)), nil
	case types.Int:
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v)), nil
	case types.Uint:
		return binary.BigEndian.AppendUint64(append(b, 'u'), uint64(v)), nil
	case types.Double:
		return binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(float64(v))), nil
	case types.Bool:
		if v {
			return append(b, 'y'), nil
		}
		return append(b, 'n'), nil
	case traits.Lister:
		var err error
		b = append(b, 'l')
		for it := v.Iterator(); it.HasNext() == types.True && err == nil; {
			b, err = appendKey(b, it.Next())
		}
		return append(b, 'e'), err
	default:
		return nil, fmt.Errorf("gave %s; want a string, number, bool, or a list of these", v.Type().TypeName())
	}
}

func (p *Program) eval(ctx context.Context, key bool) (ref.Val, error) {
	vars := &activation{ctx: ctx, call: call.From(ctx), env: p.env, key: key}
	if vars.call == nil {
		vars.call = new(call.Call)
	}
	if p.NeedsRequest() { // here, so that a bad request is told as what it is
		if vars.request, vars.err = vars.call.Decoded(ctx, p.env); vars.err != nil {
			return nil, vars.err
		}
	}
	v, err := run(ctx, p.program, p.loops, vars)
	if failed := viewErr(vars.request); failed != nil {
		return nil, call.Refuse(call.Client, codes.InvalidArgument, "the request cannot be looked into: %v", failed)
	}
	return v, err
}

// run evaluates a program. One that loops looks at the end of the call and at its
// deadline meanwhile; others are over before that is worth it.
func run(ctx context.Context, program cel.Program, loops bool, vars cel.Activation) (ref.Val, error) {
	if !loops {
		v, _, err := program.Eval(vars)
		return v, err
	}
	v, _, err := program.ContextEval(ctx, vars)
	if ended := ctx.Err(); err != nil && ended != nil {
		return nil, call.RefuseStatus(call.FaultOf(ended), call.StatusOf(ended))
	}
	return v, err
}

// viewErr tells why a view, or one of several, lacked what it was asked for.
func viewErr(v any) error {
	switch v := v.(type) {
	case *view.Message:
		return v.Err()
	case []any:
		for _, one := range v {
			if err := viewErr(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// Measure checks a request, and returns how many bytes a view of it holds at most.
func (e *Env) Measure(wire string) (int, error) {
	size, err := e.view.Measure(wire)
	if err != nil {
		return 0, call.Refuse(call.Client, codes.InvalidArgument, "the request is not a valid %s: %v", e.input.FullName(), err)
	}
	return size, nil
}

// View makes of a request what an expression can look into.
func (e *Env) View(wire string) proto.Message { return e.view.New(wire) }

// activation looks names up when they are needed.
type activation struct {
	ctx     context.Context // of the call; an activation lives as long as one evaluation
	call    *call.Call
	env     *Env
	request proto.Message
	err     error
	key     bool // the value tells calls apart
}

var _ cel.Activation = (*activation)(nil)

// Parent is none.
func (a *activation) Parent() cel.Activation { return nil }

// nobody is the caller of a call without one.
var nobody = &call.Caller{Claims: map[string]any{}, Scopes: []string{}}

func (a *activation) caller() *call.Caller {
	if c := a.call.Caller(); c != nil {
		return c
	}
	return nobody
}

// ResolveName gives the value of a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case callerID:
		if a.key {
			return idOf(a.caller()), true
		}
		return a.caller().ID, true
	case callerAuthenticator:
		return a.caller().Authenticator, true
	case callerClaims:
		if claims := a.caller().Claims; claims != nil {
			return claims, true
		}
		return nobody.Claims, true
	case callerScopes:
		if scopes := a.caller().Scopes; scopes != nil {
			return scopes, true
		}
		return nobody.Scopes, true
	case peerIP:
		return textOf(a.call.PeerIP()), true
	case peerNetwork:
		return networkOf(a.call.PeerIP()), true
	case headers:
		return headersOf(a.ctx), true
	case method:
		return a.call.Method, true
	case request:
		return a.request, a.request != nil
	default:
		return nil, false
	}
}

func textOf(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// networkOf is the text of the [call.Network] of an address.
func networkOf(ip netip.Addr) string {
	return string(call.AppendNetwork(nil, call.Network(ip)))
}

// headersOf are the headers of the request, those sent several times joined as
// HTTP has it (RFC 9110, section 5.2).
func headersOf(ctx context.Context) map[string]string {
	md, _ := metadata.FromOutgoingContext(ctx)
	out := make(map[string]string, len(md))
	for key, values := range md {
		out[key] = strings.Join(values, ", ")
	}
	return out
}

// IsEmptyKey tells a key that is the empty text, which names nobody.
func IsEmptyKey(key string) bool { return key == "s" }
