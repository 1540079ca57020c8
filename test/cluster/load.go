package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// kind is how clients deal with an RPC.
type kind struct {
	rpc     string
	workers int           // at each backend, half of them by REST, half by gRPC
	pause   time.Duration // of a worker between two calls
	again   time.Duration // for how long a call is sent again; 0 is never
	keyed   bool
	stream  bool
	only    string // the one backend; "" for all
}

// kinds are all of them. Of limited calls there are more than may get through.
var kinds = []kind{
	{rpc: "Read", workers: 4, pause: 40 * time.Millisecond, again: Patience},
	{rpc: "Put", workers: 4, pause: 40 * time.Millisecond, again: Patience},
	{rpc: "Order", workers: 6, pause: 40 * time.Millisecond, again: Patience / 3, keyed: true},
	{rpc: "Fire", workers: 2, pause: 40 * time.Millisecond},
	{rpc: "Limited", workers: 8, pause: 60 * time.Millisecond, only: "alpha"},
	{rpc: "Watch", workers: 2, pause: 100 * time.Millisecond, stream: true},
}

// attemptLimit is how long a client waits for one gateway.
const attemptLimit = 5 * time.Second

// messages are those of a stream.
const messages = 40

// Load is the clients of a cluster.
type Load struct {
	ledger  *Ledger
	run     string // begins each nonce
	clients []client
	stop    context.CancelFunc
	all     sync.WaitGroup
}

// StartLoad has clients call until Stop. seed decides which gateways they choose.
func StartLoad(ctx context.Context, w *World, ledger *Ledger, seed uint64) (*Load, error) {
	ctx, stop := context.WithCancel(ctx)
	l := &Load{ledger: ledger, run: fmt.Sprintf("%x", time.Now().UnixNano()), stop: stop}
	n := 0
	for _, k := range kinds {
		for _, backend := range backends {
			for i := range k.workers {
				if k.only != "" && k.only != backend {
					continue
				}
				all, err := l.dial(w, i%2 == 0)
				if err != nil {
					return l, err
				}
				n++
				one := &worker{kind: k, backend: backend, load: l, id: n, clients: all, random: rand.New(rand.NewPCG(seed, uint64(n)))}
				l.all.Go(func() { one.work(ctx) })
			}
		}
	}
	return l, nil
}

// dial gives a worker clients of its own, one for each gateway: they share no
// connections with others, so that each meets a gateway's end by itself.
func (l *Load) dial(w *World, rest bool) ([]client, error) {
	var all []client
	for _, d := range w.doors {
		if rest {
			all = append(all, newRESTClient(d.http.address()))
			continue
		}
		c, err := newGRPCClient(w.contract, d.grpc.address())
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	l.clients = append(l.clients, all...)
	return all, nil
}

// Stop ends the load. Calls that were begun are brought to their end.
func (l *Load) Stop() {
	l.stop()
	l.all.Wait()
	for _, c := range l.clients {
		c.close()
	}
}

// worker makes one call after the other.
type worker struct {
	kind
	backend string
	load    *Load
	id      int
	clients []client
	random  *rand.Rand
}

func (w *worker) work(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		nonce := fmt.Sprintf("%s-%d-%d", w.load.run, w.id, n)
		c := call{backend: w.backend, rpc: w.rpc, ask: contract.Ask{Nonce: nonce, Payload: w.payload()}}
		if w.keyed {
			c.key = nonce
		}
		if w.stream {
			c.ask.Count = messages
		}
		w.load.ledger.add(w.call(c))
		select {
		case <-time.After(w.pause):
		case <-ctx.Done():
		}
	}
}

// payload is of no meaning and of some length.
func (w *worker) payload() string {
	b := make([]byte, w.random.IntN(400))
	for i := range b {
		b[i] = byte('!' + w.random.IntN('~'-'!'))
	}
	return string(b)
}

// call makes a call, and makes it again where that is allowed, at another gateway
// each time. It does not end with the load: what was begun is to be answered.
func (w *worker) call(c call) *Record {
	r := &Record{Call: c, Begin: time.Now()}
	at := w.random.IntN(len(w.clients))
	for {
		r.Attempts++
		f := w.attempt(w.clients[at], c, r)
		r.End = time.Now()
		if f == nil {
			r.Result = Answered
			return r
		}
		r.Failure = f
		if r.Result = w.judge(f); r.Result != "" {
			return r
		}
		if time.Since(r.Begin) > w.again {
			r.Result = w.givenUp()
			return r
		}
		at = (at + 1 + w.random.IntN(len(w.clients)-1)) % len(w.clients)
		<-time.After(time.Duration(20+w.random.IntN(200)) * time.Millisecond)
	}
}

func (w *worker) attempt(to client, c call, r *Record) *failure {
	ctx, cancel := context.WithTimeout(context.Background(), attemptLimit)
	defer cancel()
	if w.stream {
		r.Got = nil
		return to.watch(ctx, c, func(a contract.Answer) { r.Got = append(r.Got, a) })
	}
	a, f := to.once(ctx, c)
	if f == nil {
		r.Got = []contract.Answer{a}
	}
	return f
}

// judge gives the result that a failure is, or "" if the call may be sent again.
func (w *worker) judge(f *failure) Result {
	switch {
	case f.silent, f.code == codes.Unavailable, f.code == codes.DeadlineExceeded:
		switch {
		case w.stream:
			return Cut
		case w.again == 0:
			return Undecided
		}
		return ""
	case f.code == codes.Aborted && w.keyed:
		return w.aborted(f)
	case f.code == codes.ResourceExhausted && w.rpc == "Limited":
		return Refused
	default:
		return Wrong
	}
}

// aborted tells a call that runs still from one of which nobody knows.
func (w *worker) aborted(f *failure) Result {
	if f.reason == "IDEMPOTENCY_OUTCOME_UNKNOWN" {
		return Undecided
	}
	return ""
}

func (w *worker) givenUp() Result {
	if w.keyed {
		return Undecided
	}
	return Lost
}
