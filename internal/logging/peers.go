package logging

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	// burstTime is how long a peer saves up lines.
	burstTime = 10 * time.Second
	// sumTime is how often a sum tells of lines that were suppressed.
	sumTime = 10 * time.Second
	// maxPeers bounds the peers that are known; all others share one budget.
	maxPeers = 4096
	// maxSums bounds the sums at once; one more has what the other peers did.
	maxSums = 20
)

// kind tells what lines are about, each kind with a budget of its own: calls that
// are refused leave room for a panic.
type kind uint8

const (
	ofCalls kind = iota
	ofGateway
)

// peerID is a client by its network. Clients without an address share the zero
// network, and so do those for which there is no room.
type peerID struct {
	network netip.Prefix
	kind    kind
}

// budget is what a peer may still have written.
type budget struct {
	lines      float64
	at         time.Time // of lines
	suppressed uint64    // since the last sum
	since      time.Time // of the first of these
}

// sum tells of what was suppressed.
type sum struct {
	peer  string
	lines uint64
	since time.Time
	peers int // more than one stand here together
}

func (s sum) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String(peerKey, s.peer), slog.Uint64("lines", s.lines), slog.Time("since", s.since)}
	if s.peers > 0 {
		attrs = append(attrs, slog.Int("peers", s.peers))
	}
	return attrs
}

// peers bounds the lines of each peer by a token bucket. It is safe for concurrent
// use.
type peers struct {
	rate    float64 // lines a second; 0 is no bound
	counter prometheus.Counter
	tell    func(sum)

	mu     sync.Mutex
	known  map[peerID]*budget
	timer  *time.Timer // runs while peers are known
	closed bool
}

func newPeers(rate int, counter prometheus.Counter, tell func(sum)) *peers {
	return &peers{rate: float64(rate), counter: counter, tell: tell, known: map[peerID]*budget{}}
}

// admit takes a line from the budget of an address, or counts it as suppressed.
// What has no address comes from inside the process and has no bound.
func (p *peers) admit(address string, k kind) bool {
	if p.rate == 0 || address == "" {
		return true
	}
	id := peerID{call.Network(call.Address(address)), k}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.budgetOf(id, now)
	b.lines = min(b.lines+p.rate*now.Sub(b.at).Seconds(), p.burst())
	b.at = now
	if b.lines >= 1 {
		b.lines--
		return true
	}
	if b.suppressed == 0 {
		b.since = now
	}
	b.suppressed++
	p.counter.Inc()
	return false
}

func (p *peers) burst() float64 { return p.rate * burstTime.Seconds() }

// budgetOf is the budget of a peer, or of all that there is no room for.
func (p *peers) budgetOf(id peerID, now time.Time) *budget {
	b := p.known[id]
	if b == nil && len(p.known) >= maxPeers {
		id.network = netip.Prefix{}
		b = p.known[id]
	}
	if b == nil {
		b = &budget{lines: p.burst(), at: now}
		p.known[id] = b
	}
	if p.timer == nil && !p.closed {
		p.timer = time.AfterFunc(sumTime, p.sweep)
	}
	return b
}

// sweep tells the sums and forgets who has been quiet.
func (p *peers) sweep() {
	p.mu.Lock()
	sums := p.sums()
	now := time.Now()
	maps.DeleteFunc(p.known, func(_ peerID, b *budget) bool { return now.Sub(b.at) >= burstTime })
	p.timer = nil
	if len(p.known) > 0 && !p.closed {
		p.timer = time.AfterFunc(sumTime, p.sweep)
	}
	p.mu.Unlock()
	for _, s := range sums {
		p.tell(s)
	}
}

// sums are those of the peers with the most lines, and one for the others.
func (p *peers) sums() []sum {
	var all []sum
	for id, b := range p.known {
		if b.suppressed == 0 {
			continue
		}
		all = append(all, sum{peer: id.String(), lines: b.suppressed, since: b.since})
		b.suppressed = 0
	}
	slices.SortFunc(all, func(a, b sum) int {
		return cmp.Or(cmp.Compare(b.lines, a.lines), cmp.Compare(a.peer, b.peer))
	})
	if len(all) <= maxSums {
		return all
	}
	others := sum{peer: "others", since: all[maxSums].since, peers: len(all) - maxSums}
	for _, s := range all[maxSums:] {
		others.lines += s.lines
		if s.since.Before(others.since) {
			others.since = s.since
		}
	}
	return append(all[:maxSums], others)
}

// String names the peer in a sum.
func (id peerID) String() string {
	if !id.network.IsValid() {
		return "others"
	}
	return string(call.AppendNetwork(nil, id.network))
}

// close tells what was suppressed so far.
func (p *peers) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.sweep()
}

// sumLine forms a line that no handler has to pass on.
func sumLine(conf *configv1.Log, level slog.Level, text string, attrs ...slog.Attr) []byte {
	var line bytes.Buffer
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.AddAttrs(attrs...)
	_ = newHandler(conf, &line).Handle(context.Background(), r) // a buffer takes all
	return line.Bytes()
}
