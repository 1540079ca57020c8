package gateway

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
	"github.com/gatehouse-dev/gatehouse/interceptors/ratelimit"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
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
	program, err := e.keyProgram(text)
	if err != nil {
		return nil, err
	}
	return program.Key, nil
}

func (e *expressions) keyProgram(text string) (*expr.Program, error) {
	env, err := e.names()
	if err != nil {
		return nil, err
	}
	return env.Key(text)
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
	return p.auth.For(r.Name, r.policy.GetAuth(), rule)
}

// networkKey is the key that most limits have; its own code is the fastest.
const networkKey = "peer.network"

func (p *parts) limitsFor(r *rpc) (interceptors.Interceptor, error) {
	limits := make([]ratelimit.Limit, 0, len(r.policy.GetRateLimit()))
	for i, l := range r.policy.GetRateLimit() {
		if err := r.shared.agree(l, r.Name); err != nil {
			return interceptors.Interceptor{}, fmt.Errorf("[%d].name: %w", i, err)
		}
		limit := ratelimit.Limit{Policy: l}
		if l.GetKey() != networkKey {
			var err error
			if limit.Key, err = r.limitKey(l.GetKey()); err != nil {
				return interceptors.Interceptor{}, fmt.Errorf("[%d].key: %w", i, err)
			}
		}
		limits = append(limits, limit)
	}
	return p.limits.For(r.Name, limits)
}

// sharedLimits are the limits of a table that have a name, with the RPC that
// named each first.
type sharedLimits map[string]sharedLimit

type sharedLimit struct {
	limit *policyv1.RateLimit
	rpc   string
}

// agree refuses two limits that have one name, and so one state, but not the
// same size: a caller could leave the debt of one at the other.
func (s sharedLimits) agree(l *policyv1.RateLimit, rpc string) error {
	if l.GetName() == "" || l.GetUnlimited() {
		return nil
	}
	before, ok := s[l.GetName()]
	if !ok {
		s[l.GetName()] = sharedLimit{l, rpc}
		return nil
	}
	o := before.limit
	if o.GetRequests() != l.GetRequests() || o.GetBurst() != l.GetBurst() || !proto.Equal(o.GetPer(), l.GetPer()) || o.GetStore() != l.GetStore() {
		return fmt.Errorf("%q is the limit of %s too, with other requests, per, burst or store; give it the same, or another name", l.GetName(), before.rpc)
	}
	return nil
}

// limitKey compiles the key of a limit; an empty one is the same for all calls.
func (r *rpc) limitKey(text string) (keyFunc, error) {
	if text == "" {
		text = `""`
	}
	program, err := r.expressions.keyProgram(text)
	if err != nil {
		return nil, err
	}
	if program.NamesCaller() && r.policy.GetAuth().GetPublic() {
		return nil, fmt.Errorf("%s names the caller, and on a public RPC nobody is known: all would share the limit; say who may call (auth.accept), or take peer.network", text)
	}
	if program.IsCallerID() && r.policy.GetAuth().GetAnonymous() {
		return orNetwork(program.CallerKey), nil
	}
	return program.CallerKey, nil
}

// orNetwork has callers of whom nothing is known counted by their network, for they
// are not one.
func orNetwork(key keyFunc) keyFunc {
	return func(ctx context.Context) (string, error) {
		if c := call.From(ctx); c != nil && c.Caller() == nil {
			return string(call.AppendNetwork([]byte("network "), call.Network(c.PeerIP()))), nil
		}
		return key(ctx)
	}
}

func (p *parts) cacheFor(r *rpc) (interceptors.Interceptor, error) {
	conf := r.policy.GetCache()
	var vary keyFunc // nil, where the policy does not say: by who calls
	facts := r.ownFacts
	if conf.Vary != nil {
		facts = r.facts
	}
	if conf.GetVary() != "" {
		program, err := r.expressions.keyProgram(conf.GetVary())
		if err != nil {
			return interceptors.Interceptor{}, fmt.Errorf("vary: %w", err)
		}
		vary = program.CallerKey
	}
	return p.cache.For(r.Name, r.source(), r.unary(), r.sideEffects, conf, vary, facts)
}

func (p *parts) fallbackFor(r *rpc) (interceptors.Interceptor, error) {
	return p.fallback.For(r.Name, r.source(), r.unary(), r.sideEffects, r.policy.GetFallback(), r.fixed, r.ownFacts)
}

// newRPC gathers what the policies of an RPC must know.
func (b *builder) newRPC(e *exposed, bindings []*contract.Binding) (*rpc, error) {
	policy := e.effective.Policy
	r := &rpc{
		exposed: e, policy: policy,
		expressions: expressions{desc: e.Desc}, forwarded: b.forwarded, shared: b.shared,
	}
	r.safe, r.sideEffects = repeatable(e.Desc, bindings)
	if again := policy.GetRetry(); again != nil {
		if again.Safe == nil {
			again.Safe = &r.safe // shown as what is in force
			e.effective.Origin["retry.safe"] = "default"
		}
		r.safe = again.GetSafe()
	}
	if err := errors.Join(adaptiveAlone(e.effective), b.keysOf(r)); err != nil {
		return nil, err
	}
	if err := b.direct(r); err != nil {
		return nil, err
	}
	if text := policy.GetFallback().GetResponse(); text != "" && on(policy.GetFallback()) {
		decoder, err := b.schemas[e.Upstream].plans.Decoder(e.Desc.Output())
		if err == nil {
			r.fixed, err = decoder.Append([]byte{}, []byte(text))
		}
		if err != nil {
			return nil, &policyError{"fallback.response", fmt.Errorf("not a %s in JSON: %w", e.Desc.Output().FullName(), err)}
		}
	}
	return r, nil
}

// adaptiveAlone refuses settings of the three-state breaker for one that has no
// states.
func adaptiveAlone(e *config.Effective) error {
	if !on(e.Policy.GetBreaker()) || e.Policy.GetBreaker().GetKind() != policyv1.Breaker_KIND_ADAPTIVE {
		return nil
	}
	for _, field := range [...]string{"failure_ratio", "slow_call", "slow_ratio", "open_time", "probes"} {
		if path := "breaker." + field; e.Origin[path] != "default" {
			return &policyError{path, errors.New("only for kind: three-state; say that too, or leave this out")}
		}
	}
	return nil
}

// repeatable tells whether an RPC may be repeated, and whether it leaves
// something behind: as its contract says, else as its first HTTP method means
// (RFC 9110, section 9.2).
func repeatable(m protoreflect.MethodDescriptor, bindings []*contract.Binding) (safe, sideEffects bool) {
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	switch options.GetIdempotencyLevel() {
	case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		return true, false
	case descriptorpb.MethodOptions_IDEMPOTENT:
		return true, true
	default:
	}
	if len(bindings) == 0 {
		return false, true
	}
	switch bindings[0].Verb {
	case "GET", "HEAD":
		return true, false
	case "PUT", "DELETE":
		return true, true
	default:
		return false, true
	}
}

// wrongPolicy tells what is wrong with a policy, and where it is written.
func (b *builder) wrongPolicy(e *exposed, err error) error {
	var errs []error
	reported := map[string]bool{} // a policy in front of several upstreams is compiled for each
	for _, one := range flattened(err) {
		path, text := fmt.Sprintf("expose[%d].policy", e.index), one.Error()
		if p, ok := errors.AsType[*routeError](one); ok {
			path, text = p.path, p.err.Error()
		} else if p, ok := errors.AsType[*policyError](one); ok {
			field, rest := p.place()
			if option := contractOption(e, field); option != "" {
				path, text = fmt.Sprintf("expose[%d]", e.index), fmt.Sprintf("%s: %s: %s", option, field, rest)
			} else {
				path, text = path+"."+field, rest
			}
		}
		if mistake := path + ": " + text; !reported[mistake] {
			reported[mistake] = true
			errs = append(errs, b.file.Errorf(path, "%s (of %s)", text, e.Desc.FullName()))
		}
	}
	return errors.Join(errs...)
}

// contractOption names the option of the contract that a field of an RPC's policy comes
// from, as "option of service shop.catalog.v1.CatalogService"; "" for none.
func contractOption(e *exposed, field string) string {
	field, _, _ = strings.Cut(field, "[")
	origin := e.effective.Origin[field]
	for origin == "" && strings.Contains(field, ".") {
		field = field[:strings.LastIndexByte(field, '.')]
		origin = e.effective.Origin[field]
	}
	if !strings.HasPrefix(origin, "option of ") {
		return ""
	}
	return origin
}

// inside is how errors of policies begin that know which part of the policy's
// field is wrong: "rate_limit[0].burst: ", "[0].key: " or "accept[1]: ".
var inside = regexp.MustCompile(`^((?:\[\d+\])?[a-z_]*(?:\[\d+\])?(?:\.[a-z_]+)*(?:\["[^"]*"\])?): `)

// place is the path of what is wrong, below the policy, and the rest of the text.
func (e *policyError) place() (path, text string) {
	text = e.err.Error()
	m := inside.FindStringSubmatch(text)
	if m == nil || m[1] == "" {
		return e.field, text
	}
	text = strings.TrimPrefix(text, m[0])
	switch part := m[1]; {
	case part == e.field, strings.HasPrefix(part, e.field+"."), strings.HasPrefix(part, e.field+"["):
		return part, text
	case part[0] == '[':
		return e.field + part, text
	default:
		return e.field + "." + part, text
	}
}

// flattened lists the errors that were joined, one by one; none for nil.
func flattened(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flattened(one)...)
	}
	return all
}
