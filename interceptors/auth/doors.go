package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const headerAuthorization = "authorization"

// door is one place where a call may carry a credential, with all those who may
// know it. It returns nil and no error if nothing is there.
type door interface {
	know(ctx context.Context, c *call.Call) (*call.Caller, error)
}

// newDoors sorts authenticators by where they look. What is cheap to judge comes
// first.
func newDoors(accepted []authenticator) []door {
	var certs certDoor
	var headers []*keyDoor
	authorization := &authorizationDoor{}
	for _, a := range accepted {
		switch a := a.(type) {
		case *certificates:
			certs = append(certs, a)
		case *apiKeys:
			headers = appendKeys(headers, a)
		case *jwtIssuer:
			authorization.bearer = append(authorization.bearer, a)
		case *basicUsers:
			authorization.basic = append(authorization.basic, a)
		}
	}
	var doors []door
	if len(certs) > 0 {
		doors = append(doors, certs)
	}
	for _, d := range headers {
		doors = append(doors, d)
	}
	if len(authorization.bearer)+len(authorization.basic) > 0 {
		doors = append(doors, authorization)
	}
	return doors
}

func appendKeys(headers []*keyDoor, k *apiKeys) []*keyDoor {
	for _, d := range headers {
		if d.header == k.header {
			d.list = append(d.list, k)
			return headers
		}
	}
	return append(headers, &keyDoor{k.header, []*apiKeys{k}})
}

// first asks one after the other, and returns the first who knows. Otherwise the
// last refusal counts.
func first[T any](list []T, know func(T) (*call.Caller, error)) (*call.Caller, error) {
	var err error
	for _, one := range list {
		var caller *call.Caller
		if caller, err = know(one); err == nil || !isWrong(err) {
			return caller, err
		}
	}
	return nil, err
}

// certDoor is the client's certificate, if TLS has verified it.
type certDoor []*certificates

func (d certDoor) know(_ context.Context, c *call.Call) (*call.Caller, error) {
	if c.TLS == nil || len(c.TLS.VerifiedChains) == 0 || len(c.TLS.VerifiedChains[0]) == 0 {
		return nil, nil
	}
	return first(d, func(m *certificates) (*call.Caller, error) { return m.know(c.TLS) })
}

// keyDoor is a header with an API key.
type keyDoor struct {
	header string
	list   []*apiKeys
}

func (d *keyDoor) know(ctx context.Context, _ *call.Call) (*call.Caller, error) {
	values := metadata.ValueFromOutgoingContext(ctx, d.header)
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
		return first(d.list, func(k *apiKeys) (*call.Caller, error) { return k.know(values[0]) })
	default:
		return nil, wrongCredential(fmt.Sprintf("the header %q is there more than once", d.header), nil)
	}
}

// authorizationDoor is the header Authorization, which carries a token or a
// password. Where any is accepted, a header with something else is wrong.
type authorizationDoor struct {
	bearer bearer
	basic  []*basicUsers
}

func (d *authorizationDoor) know(ctx context.Context, _ *call.Call) (*call.Caller, error) {
	values := metadata.ValueFromOutgoingContext(ctx, headerAuthorization)
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, wrongCredential("the header \"authorization\" is there more than once", nil)
	}
	// The scheme's case does not matter (RFC 9110, section 11.1); one space
	// follows (RFC 6750, section 2.1; RFC 7617, section 2).
	scheme, rest, _ := strings.Cut(values[0], " ")
	switch {
	case len(d.bearer) > 0 && strings.EqualFold(scheme, "bearer"):
		return d.bearer.know(ctx, rest)
	case len(d.basic) > 0 && strings.EqualFold(scheme, "basic"):
		return first(d.basic, func(b *basicUsers) (*call.Caller, error) { return b.know(ctx, rest) })
	default:
		return nil, wrongCredential("the header \"authorization\" has nothing that is accepted here",
			errors.New("its scheme is none of those accepted"))
	}
}

// isBasic tells a header Authorization that carries a password.
func isBasic(value string) bool {
	const scheme = "basic"
	value = strings.TrimLeft(value, " \t")
	return len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme)
}
