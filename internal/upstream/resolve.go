package upstream

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
)

// known is what is known of an upstream's replicas. It is safe for concurrent
// use.
type known struct {
	found       string // the scheme of the target
	replicas    atomic.Int64
	connections atomic.Int64
	problem     atomic.Pointer[string]
	refused     atomic.Pointer[error] // why nobody looks for replicas at all
}

type knownKey struct{}

// builder is the target's own resolver, watched, and hurried on by a timer where
// it asks DNS.
func (k *known) builder(o Options) resolver.Builder {
	b := &watched{Builder: resolver.Get(k.found), known: k}
	switch k.found {
	case addressesScheme:
		b.Builder = addresses(o.Addresses)
	case "dns":
		b.refresh = o.Balancing.Refresh
	}
	if a, ok := b.Builder.(resolver.AuthorityOverrider); ok {
		return struct {
			*watched
			resolver.AuthorityOverrider
		}{b, a}
	}
	return b
}

type watched struct {
	resolver.Builder
	known   *known
	refresh time.Duration
}

// Build begins to look for replicas.
func (b *watched) Build(target resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	var answered atomic.Bool
	begin := func() (resolver.Resolver, error) {
		answered.Store(false)
		var to resolver.ClientConn = &watchedConn{ClientConn: cc, known: b.known, answered: &answered}
		if b.known.found == "dns" {
			to = asking(target.URL.Host, to)
		}
		return b.Builder.Build(target, to, opts)
	}
	r, err := begin()
	if err != nil {
		b.known.refused.Store(&err)
		return nil, err
	}
	if b.refresh <= 0 {
		return r, nil
	}
	f := &refresher{begin: begin, answered: &answered, current: r, stop: make(chan struct{}), done: make(chan struct{})}
	go f.run(b.refresh)
	return f, nil
}

// askedConn names the server of DNS that the target names in errors. Go names the
// first of the system's in them, whichever was asked, and grpc-go keeps only the
// text.
type askedConn struct {
	resolver.ClientConn
	server string
}

// asking returns cc for a target with that authority.
func asking(authority string, cc resolver.ClientConn) resolver.ClientConn {
	if authority == "" {
		return cc
	}
	if _, _, err := net.SplitHostPort(authority); err != nil {
		authority = net.JoinHostPort(strings.Trim(authority, "[]"), "53")
	}
	return &askedConn{cc, authority}
}

var lookedUpOn = regexp.MustCompile(`(lookup \S+ on )\S+(: )`)

// ReportError passes on why there are no replicas.
func (c *askedConn) ReportError(err error) {
	c.ClientConn.ReportError(errors.New(lookedUpOn.ReplaceAllString(err.Error(), "${1}"+c.server+"${2}")))
}

// watchedConn notes what a resolver found.
type watchedConn struct {
	resolver.ClientConn
	known    *known
	answered *atomic.Bool
}

var errNoReplicas = errors.New("the name has no addresses")

// UpdateState passes on where the replicas are. A name that has none any more is
// an error: those that were known stay, and the resolver asks again.
func (c *watchedConn) UpdateState(s resolver.State) error {
	c.answered.Store(true)
	replicas := len(s.Endpoints)
	if s.Endpoints == nil {
		replicas = len(s.Addresses)
	}
	if c.known.found == "dns" && replicas == 0 {
		c.ReportError(errNoReplicas)
		return balancer.ErrBadResolverState
	}
	c.known.replicas.Store(int64(replicas))
	c.known.problem.Store(nil)
	s.Attributes = s.Attributes.WithValue(knownKey{}, c.known)
	return c.ClientConn.UpdateState(s)
}

// ReportError notes why there is nothing to pass on.
func (c *watchedConn) ReportError(err error) {
	c.answered.Store(true)
	c.known.problem.Store(new(err.Error()))
	c.ClientConn.ReportError(err)
}

// refresher begins a resolver anew on a timer. grpc-go's resolver of DNS asks
// only after a connection has failed, so that new replicas of a backend that is
// well would never be seen; and never twice in 30 seconds, whatever it is told.
type refresher struct {
	begin      func() (resolver.Resolver, error)
	answered   *atomic.Bool // since it began: one that is slow is not begun anew
	stop, done chan struct{}

	mu      sync.Mutex
	current resolver.Resolver
}

func (f *refresher) run(every time.Duration) {
	defer close(f.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
			if f.answered.Load() {
				f.again()
			}
		}
	}
}

func (f *refresher) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current.Close()
	if r, err := f.begin(); err == nil {
		f.current = r
	} else {
		f.current = nothing{} // cannot be: the same was begun before
	}
}

// ResolveNow asks for replicas after a failure.
func (f *refresher) ResolveNow(o resolver.ResolveNowOptions) {
	if f.mu.TryLock() { // else it is being done
		defer f.mu.Unlock()
		f.current.ResolveNow(o)
	}
}

// Close ends the looking.
func (f *refresher) Close() {
	close(f.stop)
	<-f.done
	f.current.Close()
}

type nothing struct{}

func (nothing) ResolveNow(resolver.ResolveNowOptions) {}
func (nothing) Close()                                {}

// addresses are replicas told one by one. Names among them are looked up by
// every attempt to connect.
type addresses []Address

// Scheme is that of targets to which it belongs.
func (addresses) Scheme() string { return addressesScheme }

// Build tells the replicas once; they do not change.
func (list addresses) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	var s resolver.State
	for _, a := range list {
		e := resolver.Endpoint{Addresses: []resolver.Address{{Addr: a.Address, ServerName: serverName(a.Address)}}}
		s.Endpoints = append(s.Endpoints, weight.Set(e, weight.EndpointInfo{Weight: max(a.Weight, 1)}))
	}
	return nothing{}, cc.UpdateState(s)
}

// serverName is what the certificate of a replica must be for.
func serverName(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return ""
	}
	return address
}
