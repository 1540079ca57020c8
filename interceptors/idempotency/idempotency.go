// Package idempotency answers a repeated call with the answer of the first, so
// that a client that does not know whether its call arrived can send it again
// (draft-ietf-httpapi-idempotency-key-header-07). Clients name a call with the
// header Idempotency-Key.
//
// A key belongs to one caller and one RPC: to the caller's id at its
// authenticator, or where nobody is known to the client's address, of IPv6 the
// /64; otherwise a stranger who guesses a key would be shown another's answer. A
// credential that no policy has checked belongs to the key as well
// ([answers.Credentials]), because the backend may tell callers apart by it. Under
// one key:
//
//   - The first call goes on. Its answer is kept for the TTL: the message and its
//     metadata, or the backend's error where that is final.
//   - A repetition gets that answer, with the header idempotency-replayed: true,
//     and the backend does not hear of it.
//   - A call whose request has other bytes is refused with INVALID_ARGUMENT. The
//     draft's status is 422, for which gRPC has no code of its own.
//   - A call while the first still runs is refused with ABORTED (409).
//
// What ends without a final answer frees the key, and the next call under it goes
// on: CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE, ABORTED, RESOURCE_EXHAUSTED,
// UNAUTHENTICATED and PERMISSION_DENIED of the backend, everything that the
// gateway itself says, and a panic. In particular, a client that goes away before
// its answer is there cancels the call and frees the key: whether the backend had
// already done what it was asked is then for the backend to know, as it is
// without this policy.
//
// Under at_most_once such a call frees its key only where it provably was not sent,
// or where the backend itself said how it ended. Else it may have been executed, and
// the key answers ABORTED until its time is over.
//
// If the gateway that carries the first call dies, the key is free again after the
// lease: half a minute, or less for a call whose deadline is sooner. Under
// at_most_once it is taken as long as an answer would be kept. Answers in
// Redis are as safe as Redis is: one that restarts without its data has forgotten
// them. An answer that Redis does not take is kept by the gateway that has it.
package idempotency

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// Name is the policy's, in refusals and metrics.
const Name = "idempotency"

// Host stands for the host that a client asked for among headers.
const Host = ":authority"

// largest is the part of the memory that one answer may take.
const largest = 16

// maxLease is how long a key stays taken by a gateway that gives no sign of life.
const maxLease = 30 * time.Second

// Options are the collaborators of one gateway's keys.
type Options struct {
	Redis      *redis.Store          // nil: none, and `store: redis` is an error
	Registerer prometheus.Registerer // nil: no metrics
	Log        *slog.Logger          // nil: none
	// MaxBytes bounds the keys and answers that are kept in this process. None is
	// dropped before its time: when there is no room, calls with new keys are
	// refused. An answer may take a sixteenth of it at most; the repetition of a
	// call with a larger one is refused.
	MaxBytes int64
	// CallerShare is the part of MaxBytes that one caller may take, or where nobody
	// is known one address.
	CallerShare float64
}

// Keys are the keys of one gateway and their answers. They outlive tables. Safe
// for concurrent use.
type Keys struct {
	local   *memory
	redis   *redis.Store
	log     *slog.Logger
	metrics *metrics
	max     int // bytes of one answer

	mu         sync.Mutex // guards what follows
	late       map[id][]late
	lateCount  int
	catchingUp bool // a goroutine makes the late changes
}

// New returns keys that nobody has used.
func New(o Options) (*Keys, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keys{
		local: newMemory(o.MaxBytes, int64(float64(o.MaxBytes)*o.CallerShare)), redis: o.Redis, log: o.Log,
		max: int(o.MaxBytes / largest), late: map[id][]late{},
	}
	var err error
	k.metrics, err = newMetrics(o.Registerer, k.local)
	return k, err
}

// Build returns the policy of one RPC, which must be unary: a stream cannot be
// repeated from memory. A call that differs in one of the headers by which the backend
// is chosen ([Host] for the host) is another, as one with another request is. Called
// again for a later table, it finds the same answers.
func (k *Keys) Build(m *interceptors.Method) (interceptors.Interceptor, error) {
	p := m.Policy.GetIdempotency()
	if p == nil || p.GetDisabled() {
		return interceptors.Interceptor{}, nil
	}
	g := &guard{
		keys: k, method: m.Name, chosenBy: m.ChosenBy, ttl: p.GetTtl().AsDuration(), required: p.GetRequired(),
		open: p.GetOnFailure() == policyv1.OnFailure_ON_FAILURE_OPEN, once: p.GetAtMostOnce(),
	}
	switch shared := p.GetStore() == policyv1.Store_STORE_REDIS; {
	case !m.Unary():
		return interceptors.Interceptor{}, interceptors.Wrong("idempotency", "the RPC is a stream: want a unary one, or `disabled: true`")
	case shared && k.redis == nil:
		return interceptors.Interceptor{}, interceptors.Wrong("idempotency.store", "redis is not configured; add redis: {addresses: [\"127.0.0.1:6379\"]} at the top, or take store: local")
	case shared:
		g.shared = &remote{redis: k.redis}
	}
	return interceptors.Interceptor{Name: Name, Unary: g.unary}, nil
}
