package ratelimit

import (
	"context"
	"crypto/sha256"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// maxWindow bounds how long an empty bucket may take to fill.
const maxWindow = 366 * 24 * time.Hour

// rule is one limit, compiled. Times are in nanoseconds.
//
// One call's worth of time is rounded up, to a nanosecond, or to a microsecond if
// Redis keeps the limit: the rate is never above what was declared, and at 10,000
// calls a second in Redis at most 1 % below.
type rule struct {
	name   string
	key    func(context.Context) (string, error) // nil: the client's network
	digest id                                    // of the name
	cost   int64
	burst  int64
	unit   int64 // the time in which one call is earned
	take   int64 // what a call takes: cost * unit
	window int64 // how deep the bucket is: burst * unit

	quota, seconds int64 // the rate, as the header RateLimit-Policy has it

	shared bool // kept in Redis
	closed bool // refuse while Redis is away

	prefix           string // `"name";r=`, as in the header RateLimit
	allowed, refused prometheus.Counter
}

// compile makes a rule of the limit with that index.
func (l *Limits) compile(m *interceptors.Method, index int, p *policyv1.RateLimit) (*rule, error) {
	r := &rule{
		cost: int64(p.GetCost()), burst: int64(p.GetBurst()),
		shared: p.GetStore() == policyv1.Store_STORE_REDIS,
		closed: p.GetOnFailure() == policyv1.OnFailure_ON_FAILURE_CLOSED,
	}
	if err := l.agree(p, m.Name); err != nil {
		return nil, interceptors.Wrong("name", "%w", err)
	}
	if p.GetKey() != networkKey {
		var err error
		if r.key, err = keyOf(m, p.GetKey()); err != nil {
			return nil, interceptors.Wrong("key", "%w", err)
		}
	}
	if r.shared && l.redis == nil {
		return nil, interceptors.Wrong("store", "redis is not configured; add redis: {addresses: [\"127.0.0.1:6379\"]} at the top, or take store: local")
	}
	if err := r.measure(p); err != nil {
		return nil, err
	}
	r.baptise(m.Name, index, p)
	r.allowed, r.refused = l.metrics.of(r.name)
	return r, nil
}

// measure works out the times.
func (r *rule) measure(p *policyv1.RateLimit) error {
	per := p.GetPer().AsDuration()
	grain := time.Nanosecond
	if r.shared {
		grain = time.Microsecond // Redis's clock, and what fits its numbers
	}
	requests := int64(p.GetRequests())
	if int64(per/grain) < requests {
		return interceptors.Wrong("requests", "%d in %v: want at most one in %v, the resolution of the store", requests, per, grain)
	}
	step := requests * int64(grain) // at most per, so it does not overflow
	r.unit = (int64(per) + step - 1) / step * int64(grain)
	hi, window := bits.Mul64(uint64(r.burst), uint64(r.unit))
	if hi > 0 || window > uint64(maxWindow) {
		return interceptors.Wrong("burst", "%d: want what is earned in %v at most", r.burst, maxWindow)
	}
	r.window, r.take = int64(window), r.cost*r.unit
	r.quota, r.seconds = quota(requests, per)
	return nil
}

// NameOf is the name of an RPC's limit with that index, as metrics have it.
func NameOf(method string, index int, p *policyv1.RateLimit) string {
	if p.Name != nil {
		return p.GetName()
	}
	name := strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", ".")
	if index > 0 {
		name += "#" + strconv.Itoa(index+1)
	}
	return name
}

// baptise names the limit. The default is the RPC's name as the configuration
// has it, and a number from the second limit on.
func (r *rule) baptise(method string, index int, p *policyv1.RateLimit) {
	r.name = NameOf(method, index, p)
	sum := sha256.Sum256([]byte(r.name))
	r.digest = id(sum[:len(id{})])
	r.prefix = strconv.Quote(r.name) + ";r="
}

// id names a bucket: a hash of the limit's name and the key, of which the name's
// own hash has a fixed length, so that no two pairs are one. Nobody can find a key
// that shares a bucket with another's: that would be a preimage of 128 bits.
type id [16]byte

// keyRoom is the length of a key that costs no allocation.
const keyRoom = 112

// identify tells the bucket of a call.
func (r *rule) identify(ctx context.Context, c *call.Call) (id, error) {
	var room [len(id{}) + keyRoom]byte
	b := append(room[:0], r.digest[:]...)
	switch {
	case r.key != nil:
		key, err := r.key(ctx)
		if err != nil {
			return id{}, err
		}
		b = append(b, key...)
	case c != nil:
		b = call.AppendNetwork(b, call.Network(c.PeerIP()))
	}
	sum := sha256.Sum256(b)
	return id(sum[:len(id{})]), nil
}
