package retry_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// racing answers attempts that may run side by side, and tells what became of
// them.
type racing struct {
	answers []answer

	mu      sync.Mutex
	begun   int
	running int
	told    []string
}

func (r *racing) invoke(ctx context.Context, _ string, _, reply any, opts ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	r.mu.Lock()
	a := r.answers[min(r.begun, len(r.answers)-1)]
	r.begun++
	r.running++
	r.told = append(r.told, strings.Join(md["grpc-previous-rpc-attempts"], ","))
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running--
		r.mu.Unlock()
	}()
	return a.give(ctx, reply, opts)
}

func answers(after time.Duration, reply string) answer {
	return answer{after: after, reply: reply, trailer: metadata.Pairs("from", reply)}
}

func errs(after time.Duration, c codes.Code) answer {
	a := fails(c)
	a.after, a.trailer = after, metadata.Pairs("from", c.String())
	return a
}

func TestHedge(t *testing.T) {
	const hedged = "attempts: 2 hedge: {delay: {nanos: 100000000}}"
	for _, tc := range []struct {
		name, policy string
		answers      []answer
		limit        time.Duration
		took         time.Duration
		attempts     int
		reply        string // or the code of the error
	}{
		{"the first is fast enough", hedged, []answer{answers(99*ms, "a")}, 0, 99 * ms, 1, "a"},
		{"the second wins", hedged, []answer{answers(time.Minute, "a"), answers(50*ms, "b")}, 0, 150 * ms, 2, "b"},
		{"the first wins", hedged, []answer{answers(120*ms, "a"), answers(time.Minute, "b")}, 0, 120 * ms, 2, "a"},
		{"the second fails", hedged, []answer{answers(300*ms, "a"), errs(50*ms, codes.Unavailable)}, 0, 300 * ms, 2, "a"},
		{"the first fails", hedged, []answer{errs(200*ms, codes.Unavailable), answers(300*ms, "b")}, 0, 400 * ms, 2, "b"},
		{"both fail", hedged, []answer{errs(200*ms, codes.Unavailable), errs(300*ms, codes.Unavailable)}, 0, 400 * ms, 2, "Unavailable"},
		{"both fail, the first last", hedged, []answer{errs(400*ms, codes.Unavailable), errs(50*ms, codes.Unavailable)}, 0, 400 * ms, 2, "Unavailable"},
		{"an error that nothing mends", hedged, []answer{answers(time.Minute, "a"), errs(50*ms, codes.NotFound)}, 0, 150 * ms, 2, "NotFound"},
		{"the second is refused by a breaker", hedged, []answer{answers(300*ms, "a"), {after: 50 * ms, err: call.Refuse(call.Upstream, codes.Unavailable, "open").By("breaker")}}, 0, 300 * ms, 2, "a"},
		{"the first fails before", hedged, []answer{errs(10*ms, codes.Unavailable), answers(0, "b")}, 0, 60 * ms, 2, "b"},
		{"both fail and a third succeeds", "hedge: {delay: {nanos: 100000000}}",
			[]answer{errs(200*ms, codes.Unavailable), errs(100*ms, codes.Unavailable), answers(0, "c")}, 0, 250 * ms, 3, "c"},
		{"only the first attempt is hedged", "hedge: {delay: {nanos: 100000000}}",
			[]answer{errs(10*ms, codes.Unavailable), answers(time.Second, "b")}, 0, 1060 * ms, 2, "b"},
		{"the deadline ends both", hedged, []answer{answers(time.Minute, "a")}, 500 * ms, 500 * ms, 2, "DeadlineExceeded"},
		{"attempt_timeout of each", hedged + " attempt_timeout: {nanos: 300000000}", []answer{answers(time.Minute, "a"), answers(250*ms, "b")}, 0, 350 * ms, 2, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := newRetries(t, half)
				up := &racing{answers: tc.answers}
				conn := connect(t, r, safe(t, tc.policy), calltest.Conn{OnInvoke: up.invoke})
				c := new(call.Call)
				ctx := call.With(t.Context(), c)
				if tc.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, tc.limit)
					defer cancel()
					ctx = limited
				}
				begun := time.Now()
				got := invoke(ctx, conn)
				if took := time.Since(begun); took != tc.took {
					t.Errorf("it took %v, want %v", took, tc.took)
				}
				if up.running != 0 {
					t.Errorf("%d attempts still run", up.running)
				}
				if up.begun != tc.attempts || c.Attempts() != tc.attempts {
					t.Errorf("%d attempts, the call says %d; want %d", up.begun, c.Attempts(), tc.attempts)
				}
				if got.err != nil {
					got.reply = call.StatusOf(got.err).Code().String()
				}
				if got.reply != tc.reply {
					t.Errorf("got %q, %v; want %q", got.reply, got.err, tc.reply)
				}
				if from := strings.Join(got.trailer["from"], ","); tc.limit == 0 && from != tc.reply {
					t.Errorf("got the trailer of %q, want that of %q", from, tc.reply)
				}
				if want := []string{"", "1", "2"}[:tc.attempts]; fmt.Sprint(up.told) != fmt.Sprint(want) {
					t.Errorf("backends were told of %q attempts before, want %q", up.told, want)
				}
			})
		})
	}
}

func TestHedgeAfterTheLivePercentile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		up := &racing{answers: []answer{answers(time.Second, "a")}}
		m := safe(t, "hedge: {}")
		conn := connect(t, r, m, calltest.Conn{OnInvoke: up.invoke})
		for i := range 20 {
			up.answers[0].after = time.Duration(i+1) * 10 * ms
			invoke(t.Context(), conn)
		}
		if up.begun != 20 {
			t.Fatalf("%d attempts for the first 20 calls: hedged while too little was known", up.begun)
		}
		conn = connect(t, r, m, calltest.Conn{OnInvoke: up.invoke}) // another table: nothing is forgotten
		up.answers = []answer{answers(time.Minute, "a"), answers(0, "b")}
		up.begun = 0
		begun := time.Now()
		if got := invoke(t.Context(), conn); got.reply != "b" {
			t.Errorf("got %q, %v", got.reply, got.err)
		}
		// The 19th of 20 took 190ms; buckets are an eighth wide.
		if took := time.Since(begun); took < 190*ms || took > 190*ms*9/8 {
			t.Errorf("hedged after %v, want the 95th percentile of about 190ms", took)
		}
	})
}

// An upstream that becomes slow is hedged, until what was slow is usual.
func TestThePercentileFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		up := &racing{answers: []answer{answers(10*ms, "a")}}
		conn := connect(t, r, safe(t, "hedge: {}"), calltest.Conn{OnInvoke: up.invoke})
		for range 2000 {
			invoke(t.Context(), conn)
		}
		up.answers, up.begun = []answer{answers(100*ms, "a")}, 0
		for range 2000 {
			invoke(t.Context(), conn)
		}
		if hedges := up.begun - 2000; hedges == 0 || hedges > 200 {
			t.Errorf("%d of 2000 calls were hedged after the upstream became slow, want a few", hedges)
		}
		up.begun = 0
		for range 100 {
			invoke(t.Context(), conn)
		}
		if up.begun != 100 {
			t.Errorf("%d attempts for 100 calls that took as long as usual", up.begun)
		}
	})
}

func TestHedgesKeepToTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reg := newRetries(t, half)
		up := &racing{answers: []answer{answers(time.Second, "a")}}
		conn := connect(t, r, safe(t, "hedge: {delay: {nanos: 1000000}}"), calltest.Conn{OnInvoke: up.invoke})
		for range 1000 {
			invoke(t.Context(), conn)
		}
		// Half of ten tokens, and a tenth for each success.
		if up.begun < 1090 || up.begun > 1106 {
			t.Errorf("%d attempts for 1000 calls of a slow upstream, want at most 1105", up.begun)
		}
		if all := strings.Join(series(t, reg), "\n"); !strings.Contains(all, "reason=budget") || !strings.Contains(all, "kind=hedge method="+method+" outcome=lost") {
			t.Errorf("metrics do not tell: %s", all)
		}
	})
}

func TestPanicsBesideTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		var n atomic.Int32
		conn := connect(t, r, safe(t, "hedge: {delay: {seconds: 1}}"), calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
			if n.Add(1) == 2 {
				panic("oh")
			}
			<-ctx.Done()
			return ctx.Err()
		}})
		if err := invoke(t.Context(), conn).err; call.CodeOf(err) != codes.Internal || call.FaultOf(err) != call.Gateway {
			t.Errorf("err = %v, want an internal error of the gateway", err)
		}
	})
}

func TestAPanicEndsTheOtherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		ended := false
		var n atomic.Int32
		conn := connect(t, r, safe(t, "hedge: {delay: {seconds: 1}}"), calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
			if n.Add(1) == 1 {
				time.Sleep(2 * time.Second)
				panic("oh")
			}
			<-ctx.Done()
			ended = true
			return ctx.Err()
		}})
		defer func() {
			if p := recover(); p != "oh" || !ended {
				t.Errorf("panic %v, the other attempt has ended: %v; want the panic after the end", p, ended)
			}
		}()
		invoke(t.Context(), conn)
	})
}

// counting is a pool that knows what is out.
type counting struct {
	mu  sync.Mutex
	out int
}

func (c *counting) Get(n int) *[]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out++
	b := make([]byte, n)
	return &b
}

func (c *counting) Put(b *[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out--
	clear(*b) // what is used after this is wrong
}

func (c *counting) buffer(s string) mem.BufferSlice {
	b := c.Get(1 << 11) // smaller ones are not pooled
	n := copy(*b, s)
	*b = (*b)[:n]
	clear((*b)[n:cap(*b)])
	*b = (*b)[:cap(*b)]
	return mem.BufferSlice{mem.NewBuffer(b, c)}
}

func TestBuffersOfAttemptsAreFreedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		plan   []answer // in order of the attempts
	}{
		"retry":           {"", []answer{{err: down.err, reply: "x"}, {reply: "good"}}},
		"all fail":        {"", []answer{{err: down.err, reply: "x"}}},
		"second wins":     {"hedge: {delay: {seconds: 1}}", []answer{{after: time.Minute, reply: "x"}, {reply: "good"}}},
		"first wins":      {"hedge: {delay: {seconds: 1}}", []answer{{after: 2 * time.Second, reply: "good"}, {after: 2 * time.Second, reply: "x"}}},
		"both are ready":  {"hedge: {delay: {seconds: 1}}", []answer{{after: 2 * time.Second, reply: "good"}, {after: time.Second, reply: "good"}}},
		"second is empty": {"hedge: {delay: {seconds: 1}}", []answer{{after: 2 * time.Second, reply: "good"}, {after: 500 * ms, err: down.err}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := new(counting)
				var mu sync.Mutex
				n := 0
				up := calltest.Conn{OnInvoke: func(ctx context.Context, _ string, req, reply any, opts ...grpc.CallOption) error {
					mu.Lock()
					a := tc.plan[min(n, len(tc.plan)-1)]
					n++
					mu.Unlock()
					msg, err := req.(*call.Pending).Message()
					if err != nil {
						return err
					}
					msg.Data.Ref()
					defer msg.Data.Free()
					text := a.reply
					a.reply = ""
					err = a.give(ctx, nil, opts)
					if got := string(msg.Data.Materialize()[:7]); got != "request" {
						t.Errorf("an attempt read %q where the request was", got)
					}
					if text != "" { // also beside an error, as grpc-go may
						into := reply.(*call.Message)
						into.Free()
						into.Data = pool.buffer(text)
					}
					return err
				}}
				r, _ := newRetries(t, half)
				m := &call.Method{Name: method, Conn: connect(t, r, safe(t, tc.policy), up)}
				client := &pooled{ServerStream: calltest.ServerStream{Ctx: call.With(t.Context(), new(call.Call)), Requests: []string{"request"}}, pool: pool}
				_ = call.Forward(m, client)
				if len(client.Got) > 0 && !strings.HasPrefix(client.Got[0], "good") {
					t.Errorf("the client got %q", client.Got)
				}
				if pool.out != 0 {
					t.Errorf("%d buffers were not freed, or more than once", pool.out)
				}
			})
		})
	}
}

// pooled is a client whose request is in a pooled buffer.
type pooled struct {
	calltest.ServerStream
	pool *counting
}

func (p *pooled) RecvMsg(m any) error {
	err := p.ServerStream.RecvMsg(m)
	if msg := m.(*call.Message); err == nil {
		msg.Data = p.pool.buffer(string(msg.Data.Materialize()))
	}
	return err
}
