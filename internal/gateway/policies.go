package gateway

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// expressions compiles those of one RPC, and the names that they may use only if
// there are any.
type expressions struct {
	desc protoreflect.MethodDescriptor
	env  *expr.Env
}

func (e *expressions) names() (*expr.Env, error) {
	var err error
	if e.env == nil {
		e.env, err = expr.NewEnv(e.desc)
	}
	return e.env, err
}

// key compiles an expression that tells calls apart.
func (e *expressions) key(text string) (keyFunc, error) {
	env, err := e.names()
	if err != nil {
		return nil, err
	}
	program, err := env.Key(text)
	if err != nil {
		return nil, err
	}
	return program.Key, nil
}

// condition compiles an expression that decides.
func (e *expressions) condition(text string) (conditionFunc, error) {
	env, err := e.names()
	if err != nil {
		return nil, err
	}
	program, err := env.Condition(text)
	if err != nil {
		return nil, err
	}
	return program.Bool, nil
}

func (p *parts) authFor(r *rpc) (interceptors.Interceptor, error) {
	rule := auth.Rule{Strip: r.forwarded}
	if text := r.policy.GetAuth().GetAllow(); text != "" {
		var err error
		if rule.Allow, err = r.expressions.condition(text); err != nil {
			return interceptors.Interceptor{}, fmt.Errorf("allow: %w", err)
		}
	}
	return p.auth.For(r.name, r.policy.GetAuth(), rule)
}

// networkKey is the key that most limits have; its own code is the fastest.
const networkKey = "peer.network"

func (p *parts) limitsFor(r *rpc) (interceptors.Interceptor, error) {
	limits := make([]ratelimit.Limit, 0, len(r.policy.GetRateLimit()))
	for i, l := range r.policy.GetRateLimit() {
		limit := ratelimit.Limit{Policy: l}
		if l.GetKey() != networkKey {
			var err error
			if limit.Key, err = r.keyOf(l.GetKey()); err != nil {
				return interceptors.Interceptor{}, fmt.Errorf("[%d].key: %w", i, err)
			}
		}
		limits = append(limits, limit)
	}
	return p.limits.For(r.name, limits)
}

// keyOf compiles a key; an empty one is the same for all calls.
func (r *rpc) keyOf(text string) (keyFunc, error) {
	if text == "" {
		text = `""`
	}
	return r.expressions.key(text)
}

func (p *parts) cacheFor(r *rpc) (interceptors.Interceptor, error) {
	conf := r.policy.GetCache()
	var vary keyFunc
	// By default the caller is what tells, for which the cache has code of its
	// own: it knows the credentials that nobody has looked at.
	if conf.GetVary() != "" && conf.GetVary() != config.DefaultVary {
		var err error
		if vary, err = r.expressions.key(conf.GetVary()); err != nil {
			return interceptors.Interceptor{}, fmt.Errorf("vary: %w", err)
		}
	}
	return p.cache.For(r.name, r.unary(), r.sideEffects, conf, vary)
}

func (p *parts) fallbackFor(r *rpc) (interceptors.Interceptor, error) {
	return p.fallback.For(r.name, r.unary(), r.sideEffects, r.policy.GetFallback(), r.fixed)
}

// newRPC gathers what the policies of an RPC must know.
func (b *builder) newRPC(e *exposed, policy *policyv1.Policy, rules []*rule) (*rpc, error) {
	r := &rpc{
		name: fullMethod(e.method), desc: e.method, upstream: e.upstream, policy: policy, budget: b.budgetOf(e.upstream),
		expressions: expressions{desc: e.method}, forwarded: b.forwarded,
	}
	r.safe, r.sideEffects = repeatable(e.method, rules)
	if policy.GetRetry() != nil && policy.GetRetry().Safe != nil {
		r.safe = policy.GetRetry().GetSafe()
	}
	if text := policy.GetFallback().GetResponse(); text != "" && on(policy.GetFallback()) {
		decoder, err := b.schemas[e.upstream].plans.Decoder(e.method.Output())
		if err == nil {
			r.fixed, err = decoder.Append([]byte{}, []byte(text))
		}
		if err != nil {
			return nil, &policyError{"fallback.response", fmt.Errorf("not a %s in JSON: %w", e.method.Output().FullName(), err)}
		}
	}
	return r, nil
}

func (b *builder) budgetOf(upstream string) *policyv1.RetryBudget {
	for _, u := range b.file.Config.GetUpstreams() {
		if u.GetName() == upstream {
			return u.GetRetryBudget()
		}
	}
	return nil
}

// repeatable tells whether an RPC may be repeated, and whether it leaves
// something behind: as its contract says, else as its first HTTP method means
// (RFC 9110, section 9.2).
func repeatable(m protoreflect.MethodDescriptor, rules []*rule) (safe, sideEffects bool) {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return true, false
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return true, true
	default:
	}
	if len(rules) == 0 {
		return false, true
	}
	switch rules[0].verb {
	case "GET", "HEAD":
		return true, false
	case "PUT", "DELETE":
		return true, true
	default:
		return false, true
	}
}

// forwardedBy are the keys of metadata in which any RPC forwards claims. No
// client may send them, to whatever RPC.
func forwardedBy(policies []MethodPolicy) []string {
	var keys []string
	for _, p := range policies {
		for key := range p.Effective.Policy.GetAuth().GetForward() {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// wrongPolicy tells what is wrong with a policy, and where it is written.
func (b *builder) wrongPolicy(e *exposed, err error) error {
	var errs []error
	for _, one := range flattened(err) {
		field, text := "", one
		if p, ok := errors.AsType[*policyError](one); ok {
			field, text = "."+p.field, p.err
		}
		errs = append(errs, b.file.Errorf(fmt.Sprintf("expose[%d].policy%s", e.index, field), "%s: %v", e.method.FullName(), text))
	}
	return errors.Join(errs...)
}

// flattened are the errors that were joined.
func flattened(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
