// Package auth is the policy that says who may call: it knows callers by bearer
// tokens, API keys, client certificates or passwords, decides whether they may,
// and tells backends who they are.
//
// [New] makes the authenticators, once: they own keys, caches and what fetches
// them. [Authenticators.Build] makes the policy of one RPC. A call passes in three
// steps: its credentials are looked at, each that is there (doors.go); the rule
// decides (rule.go); the metadata is made ready for the backend (outgoing.go).
//
// go-grpc-middleware's auth authenticates servers' calls by a function and
// leaves all of this to it; hence a policy of our own. The signatures of tokens
// are verified with Go's own cryptography: what surrounds it here (json.go, jws.go,
// jwk.go, algorithms.go) is the reading of tokens and keys, which must have one
// meaning only. go-jose was tried: used plainly it lets 58 of 563 hostile tokens in
// (test/authtest, test/jose), and fails a whole key set for one key that it cannot read.
package auth

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// Options are the collaborators of authenticators.
type Options struct {
	// Log is told of keys and files that cannot be had; nil: nobody is.
	Log *slog.Logger
	// Transport fetches keys; nil: one with time-outs that trusts the system's
	// authorities.
	Transport http.RoundTripper
	// Registerer gets gatehouse_auth_key_fetches_total{authenticator,outcome};
	// nil: nobody does.
	Registerer prometheus.Registerer
	// Previous are the authenticators that are in force; nil: there are none.
	// What has not changed since is taken over as it is, with its keys and what it
	// remembers, and ends when both are closed.
	Previous *Authenticators
}

// Authenticators are the ways to know a caller, by their names. They are safe
// for concurrent use and outlive the tables that are built with them.
type Authenticators struct {
	byName  map[string]authenticator
	all     map[string]*shareable
	names   []string // as configured
	secrets []string // headers that carry keys
	basic   bool     // there are passwords
	own     *transport
	last    atomic.Pointer[built]
}

// built is an interceptor with what it was built of. Neighbouring RPCs mostly have the
// same rule, and then share the interceptor.
type built struct {
	rule        *policyv1.Auth
	strip       []string
	interceptor interceptors.Interceptor
}

// isFor reports whether the interceptor is that of an RPC. A rule with an expression is
// compiled for each.
func (b *built) isFor(m *interceptors.Method) bool {
	return b != nil && b.rule == m.Policy.GetAuth() && b.rule.GetAllow() == "" && slices.Equal(b.strip, m.Strip)
}

// shareable is an authenticator that several tables may have.
type shareable struct {
	authenticator
	conf  *policyv1.Authenticator
	users atomic.Int32
}

// transport is one of our own, closed behind its last user.
type transport struct {
	*http.Transport
	users atomic.Int32
}

// authenticator is one of *jwtIssuer, *apiKeys, *certificates, *basicUsers.
type authenticator interface {
	// challenge is what the authenticator needs, for people and as the value of a
	// header WWW-Authenticate.
	challenge() (way, header string)
	// close ends what runs in the background. What is known stays.
	close()
}

// shared is what authenticators have in common.
type shared struct {
	fetcher *fetcher
	fetches *prometheus.CounterVec
}

// New makes the authenticators of a configuration. A file that cannot be read or
// is wrong is an error; an issuer that does not answer is not: its keys are
// fetched in the background, until Close.
func New(list []*policyv1.Authenticator, o Options) (*Authenticators, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Authenticators{byName: map[string]authenticator{}, all: map[string]*shareable{}}
	if o.Transport == nil {
		if o.Previous != nil {
			a.own = o.Previous.own
		}
		if a.own == nil {
			a.own = &transport{Transport: newTransport()}
		}
		a.own.users.Add(1)
		o.Transport = a.own.Transport
	}
	fetches, err := keyFetches(o.Registerer)
	if err != nil {
		return nil, err
	}
	parts := &shared{fetcher: newFetcher(o.Transport), fetches: fetches}
	var errs []error
	for i, c := range list {
		if err := a.add(c, &o, parts); err != nil {
			errs = append(errs, interceptors.Within(fmt.Sprintf("authenticators[%d]", i), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Authenticators) add(c *policyv1.Authenticator, o *Options, parts *shared) error {
	name := c.GetName()
	if name == "" || a.byName[name] != nil {
		return interceptors.Wrong("name", "%q is empty or there twice", name)
	}
	if o.Previous.lend(a, c) {
		return nil
	}
	var one authenticator
	var err error
	var field string
	switch kind := c.GetKind().(type) {
	case *policyv1.Authenticator_Jwt:
		field = "jwt"
		one, err = newJWT(name, kind.Jwt, o, parts)
	case *policyv1.Authenticator_ApiKeys:
		field = "api_keys"
		one, err = newAPIKeys(name, kind.ApiKeys, o)
	case *policyv1.Authenticator_Mtls:
		field = "mtls"
		one, err = newMTLS(name, kind.Mtls)
	case *policyv1.Authenticator_Basic:
		field = "basic"
		one, err = newBasic(name, kind.Basic, o)
	default:
		return interceptors.Wrong("kind", "one of jwt, api_keys, mtls and basic is needed")
	}
	if err != nil {
		return interceptors.Within(field, err)
	}
	a.have(&shareable{authenticator: one, conf: c})
	return nil
}

// lend gives one authenticator to another collection, if it is the same there.
func (a *Authenticators) lend(to *Authenticators, c *policyv1.Authenticator) bool {
	if a == nil || a.all[c.GetName()] == nil || !proto.Equal(a.all[c.GetName()].conf, c) {
		return false
	}
	to.have(a.all[c.GetName()])
	return true
}

func (a *Authenticators) have(one *shareable) {
	one.users.Add(1)
	name := one.conf.GetName()
	a.byName[name], a.all[name] = one.authenticator, one
	a.names = append(a.names, name)
	switch kind := one.authenticator.(type) {
	case *apiKeys:
		a.secrets = append(a.secrets, kind.header)
	case *basicUsers:
		a.basic = true
	}
}

// Close ends what runs in the background, unless it was taken over. Policies go on
// with the keys that are known. It is called once.
func (a *Authenticators) Close() error {
	for _, one := range a.all {
		if one.users.Add(-1) == 0 {
			one.close()
		}
	}
	if a.own != nil && a.own.users.Add(-1) == 0 {
		a.own.CloseIdleConnections()
	}
	return nil
}

var _ io.Closer = (*Authenticators)(nil)

// Build returns the policy of one RPC. A rule that says nothing is an error, for
// nobody may call by default.
func (a *Authenticators) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	if last := a.last.Load(); last.isFor(m) {
		return last.interceptor, nil
	}
	r, err := a.compile(m, m.Policy.GetAuth())
	if err != nil {
		return interceptors.Interceptor{}, interceptors.Within("auth", err)
	}
	i := interceptors.Around(policyName, r.begin)
	a.last.Store(&built{m.Policy.GetAuth(), m.Strip, i})
	return i, nil
}

func (a *Authenticators) compile(m *interceptors.Method, c *policyv1.Auth) (*rule, error) {
	if !c.GetPublic() && len(c.GetAccept()) == 0 {
		return nil, fmt.Errorf("%s has no rule that says who may call it, and by default nobody may: say `accept` with names of authenticators, or `public: true`", m.Name)
	}
	r := &rule{public: c.GetPublic(), anonymous: c.GetAnonymous(), scopes: c.GetScopes(), order: map[string]int{}}
	if c.GetAllow() != "" {
		program, err := m.Condition(c.GetAllow())
		if err != nil {
			return nil, interceptors.Wrong("allow", "%w", err)
		}
		r.allow = program.Bool
	}
	accepted, err := a.accepted(c.GetAccept())
	if err != nil {
		return nil, err
	}
	if r.out, err = newOutgoing(slices.Concat(m.Strip, a.secrets), c.GetForward(), a.basic); err != nil {
		return nil, err
	}
	for i, name := range c.GetAccept() {
		r.order[name] = i
	}
	r.doors = newDoors(accepted)
	r.challenges = newChallenges(accepted, c.GetScopes())
	return r, nil
}

// accepted looks up the authenticators of a rule.
func (a *Authenticators) accepted(names []string) ([]authenticator, error) {
	list := make([]authenticator, 0, len(names))
	for i, name := range names {
		one := a.byName[name]
		switch {
		case one == nil:
			return nil, interceptors.Wrong(fmt.Sprintf("accept[%d]", i), "there is no authenticator %q%s", name, hint(name, a.names))
		case slices.Index(names, name) < i:
			return nil, interceptors.Wrong(fmt.Sprintf("accept[%d]", i), "%q is there twice", name)
		}
		list = append(list, one)
	}
	return list, nil
}

// hint ends an error about an authenticator that there is not.
func hint(name string, known []string) string {
	if len(known) == 0 {
		return ": the configuration has none"
	}
	if near := nearest.Name(name, known, len(name)/2+2); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ": there are " + strings.Join(known, ", ")
}
