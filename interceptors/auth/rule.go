package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// rule is the rule of one RPC, compiled. It is immutable.
type rule struct {
	public    bool
	anonymous bool
	scopes    []string
	allow     func(context.Context) (bool, error)

	doors      []door
	order      map[string]int // of those accepted
	challenges challenges
	out        outgoing
}

// begin lets a call in or refuses it, before its request is read.
func (r *rule) begin(ctx context.Context, method string) (context.Context, func(error), error) {
	if r.public {
		return r.out.apply(ctx, nil), nil, nil
	}
	c := call.From(ctx)
	if c == nil { // from inside the process
		c = &call.Call{Method: method, Start: time.Now()}
		ctx = call.With(ctx, c)
	}
	caller, err := r.authenticate(ctx, c)
	if err != nil || caller == nil && !r.anonymous {
		return ctx, nil, r.refuse(c, err)
	}
	if caller != nil {
		c.SetCaller(caller)
	}
	if err := r.authorise(ctx, c, caller); err != nil {
		return ctx, nil, err
	}
	return r.out.apply(ctx, caller), nil, nil
}

// authenticate looks at every credential that the call carries: one that is wrong
// refuses the call, however right the others are. Of several callers the one
// counts whose authenticator is named first.
func (r *rule) authenticate(ctx context.Context, c *call.Call) (*call.Caller, error) {
	var best *call.Caller
	for _, d := range r.doors {
		caller, err := d.know(ctx, c)
		if err != nil {
			return nil, err
		}
		if best == nil || caller != nil && r.order[caller.Authenticator] < r.order[best.Authenticator] {
			best = caller
		}
	}
	return best, nil
}

// authorise asks for scopes and for the expression.
func (r *rule) authorise(ctx context.Context, c *call.Call, caller *call.Caller) error {
	for _, s := range r.scopes {
		if caller == nil || !slices.Contains(caller.Scopes, s) {
			return r.refuseScopes(c)
		}
	}
	if r.allow == nil {
		return nil
	}
	ok, err := r.allow(ctx)
	switch _, own := errors.AsType[*call.Error](err); {
	case own: // such as of a request that cannot be read; the edge may have wrapped more around it
		return err
	case err != nil && ctx.Err() != nil:
		return r.refuse(c, ctx.Err())
	case err != nil || !ok:
		return r.refuseNotAllowed(c, caller, err)
	}
	return nil
}
