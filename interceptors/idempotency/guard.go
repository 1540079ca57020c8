package idempotency

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// guard is the policy of one RPC.
type guard struct {
	keys     *Keys
	method   string
	chosenBy []string
	ttl      time.Duration
	required bool
	once     bool  // what may have been done is not done again
	open     bool  // go on while Redis is away
	shared   store // nil: answers are kept in this process
}

func (g *guard) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	key, err := keyOf(ctx)
	if err != nil {
		return malformed(err)
	}
	if key == "" {
		if g.required {
			return missing()
		}
		return next(ctx, method, req, reply, cc, opts...)
	}
	h, told, err := g.claim(ctx, key)
	if err != nil {
		return err
	}
	if h != nil {
		return h.run(ctx, reply, opts, func(ctx context.Context, opts ...grpc.CallOption) error {
			return next(ctx, method, req, reply, cc, opts...)
		})
	}
	g.keys.metrics.replayed.Inc()
	if c := call.From(ctx); c != nil {
		c.AddHeader("idempotency-replayed", "true")
	}
	return told.Into(reply, opts)
}

// held is a key that a call has won.
type held struct {
	*guard
	ticket
	store store
	lease time.Duration
}

// claim asks for the key: the call has it, or there is an answer, or an error.
func (g *guard) claim(ctx context.Context, key string) (*held, *answers.Answer, error) {
	sent, err := g.fingerprint(ctx)
	if err != nil {
		return nil, nil, err
	}
	h := &held{guard: g, store: g.keys.local, lease: leaseOf(ctx)}
	h.of, h.owner, h.sent = identify(ctx, g.method, key), ownerOf(call.From(ctx)), sent
	if g.once {
		h.lease = g.ttl // should this process die, nobody knows
	}
	_, _ = rand.Read(h.token[:]) // never fails
	got, err := h.ask(ctx)
	switch {
	case errors.Is(err, errShare):
		return nil, nil, overShare()
	case isOwn(err):
		return nil, nil, err
	case err != nil:
		return nil, nil, unavailable(err)
	case got.won:
		g.keys.metrics.first.Inc()
		return h, nil, nil
	case got.sent != sent:
		g.keys.metrics.other.Inc()
		return nil, nil, reused()
	case got.answer == nil:
		g.keys.metrics.running.Inc()
		return nil, nil, inUse()
	default:
		return nil, got.answer, nil
	}
}

// ask asks the store, or this process while Redis is away and that is allowed.
// What Redis could not be told before is known here in either case.
func (h *held) ask(ctx context.Context) (claim, error) {
	if h.shared == nil {
		return h.store.claim(ctx, &h.ticket, h.lease)
	}
	if got, ok := h.keys.local.peek(h.of); ok {
		return got, nil
	}
	err := h.keys.settle(ctx, h.of)
	if err == nil {
		var got claim
		if got, err = h.shared.claim(ctx, &h.ticket, h.lease); err == nil {
			h.store = h.shared
			return got, nil
		}
		if isOwn(err) {
			return claim{}, err
		}
		if !errors.Is(err, redis.ErrDown) && !redis.Refused(err) {
			h.later(void) // Redis may have given the key, or give it yet
		}
	}
	h.failed(ctx, "a key could not be asked for", err)
	if !h.open {
		return claim{}, err
	}
	return h.store.claim(ctx, &h.ticket, h.lease)
}

// isOwn reports whether the call was refused since there was no room for the answer.
func isOwn(err error) bool {
	_, ok := errors.AsType[*call.Error](err)
	return ok
}

func (h *held) failed(ctx context.Context, text string, err error) {
	h.keys.metrics.failures.Inc()
	h.keys.log.DebugContext(ctx, text, "method", h.method, "error", err)
}

// run makes the call and keeps its answer, or frees the key.
func (h *held) run(ctx context.Context, reply any, opts []grpc.CallOption, next func(context.Context, ...grpc.CallOption) error) error {
	stop := h.renewing(ctx)
	kept, panics := false, true
	reach := call.NewReach(opts)
	defer func() {
		stop()
		if panics && h.once && (reach.Sent() || !reach.Begun()) {
			h.keep(ctx, outcomeUnknown())
		} else if !kept {
			h.free(ctx)
		}
	}()
	var header, trailer metadata.MD
	err := next(ctx, append(slices.Clip(opts), grpc.Header(&header), grpc.Trailer(&trailer), reach)...)
	panics = false
	switch {
	case final(err):
		a, rerr := answers.Record(reply, header, trailer, err)
		if rerr != nil { // nothing that could be given again
			a = tooLarge()
		}
		kept = true
		h.keep(ctx, a)
	case h.once && unknown(ctx, err, reach):
		kept = true
		h.keep(ctx, outcomeUnknown())
	}
	return err
}

// keep keeps the answer. If Redis does not take it, this process does, so that
// repetitions that come here are still answered, and Redis gets it later.
func (h *held) keep(ctx context.Context, a *answers.Answer) {
	if a.Size() > h.keys.max {
		a = tooLarge()
	}
	if c := call.From(ctx); c != nil && h.store == h.shared { // the copy, and what is sent of it
		size := 2 * int64(a.Size())
		c.Memory.Hold(size)
		defer c.Memory.Release(size)
	}
	if err := h.store.keep(ctx, &h.ticket, a, h.ttl); err != nil {
		h.failed(ctx, "an answer could not be kept", err)
		if h.store == h.shared && h.keys.local.keep(ctx, &h.ticket, a, h.ttl) == nil {
			h.later(keep)
		}
	}
}

func (h *held) free(ctx context.Context) {
	if err := h.store.free(ctx, &h.ticket); err != nil {
		h.failed(ctx, "a key could not be freed before its lease ends", err)
		h.later(free)
	}
}

// renewing lengthens the lease for as long as the call runs.
func (h *held) renewing(ctx context.Context) (stop func()) {
	if h.store != h.shared || h.once {
		return func() {}
	}
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(h.lease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if err := h.store.renew(ctx, &h.ticket, h.lease); err != nil {
					h.failed(ctx, "a lease could not be renewed", err)
				}
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// margin is for a call that ends at its deadline to say so.
const margin = time.Second

// leaseOf is how long the key stays taken if this process dies: a call with a
// deadline is over soon after it.
func leaseOf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return maxLease
	}
	return min(max(time.Until(deadline), 0)+margin, maxLease)
}

// chosen is what a call has of the headers by which its backend is chosen.
func chosen(ctx context.Context, by []string) []byte {
	var b []byte
	for _, name := range by {
		values := call.SentMetadata(ctx, name)
		if c := call.From(ctx); name == Host && c != nil {
			values = []string{c.Host}
		}
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = call.AppendPart(b, v)
		}
	}
	return b
}

// fingerprint reads the request.
func (g *guard) fingerprint(ctx context.Context) (fingerprint, error) {
	c := call.From(ctx)
	if c == nil {
		return fingerprint{}, call.Refuse(call.Gateway, codes.Internal, "internal error").By(Name)
	}
	msg, err := c.Request()
	if err != nil {
		return fingerprint{}, err
	}
	h := sha256.New()
	for _, buf := range msg.Data {
		_, _ = h.Write(buf.ReadOnlyData()) // never fails
	}
	sum := h.Sum(nil)
	if len(g.chosenBy) == 0 {
		return fingerprint(sum), nil
	}
	return sha256.Sum256(append(sum, chosen(ctx, g.chosenBy)...)), nil
}
