// Package ratelimit lets through so many calls in a time and refuses the rest
// before anything is spent on them.
//
// It is GCRA, the generic cell rate algorithm (ITU-T I.371): a token bucket that
// remembers one time per key, the theoretical arrival time (TAT) at which the
// bucket is full again. A call moves it on by its cost; one that would move it
// further than the bucket is deep is refused and moves nothing. Over any window
// of length t at most burst + requests/per * t pass, with no boundary at which
// two windows' worth gets through, as a fixed window has.
//
// go-redis's redis_rate is not used: it rounds half a token up, serves one limit
// at a time, and asks Redis for every call that it could refuse by itself.
//
// A call must pass all of its limits, and one that is refused by any takes
// nothing from the others:
//
//   - Limits kept in this process are settled together, under the locks of all
//     their buckets.
//   - Limits kept in Redis are settled together by one script.
//   - Where an RPC has both kinds, the local ones are taken first and given back
//     if Redis refuses: what was taken, less the time that Redis took to say so.
//     That much may be lost to the caller; giving back more would let through more
//     than the limit while other calls come in between.
//
// The clock of shared limits is Redis's own (TIME): the clocks of replicas differ
// by more than a burst may last, and the one that is ahead would take from the
// future of all. Where Redis has refused a key, the replica remembers until when
// and refuses by itself until then.
package ratelimit

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// Name is the policy's, in refusals and metrics.
const Name = "ratelimit"

// DefaultMaxKeys is about 60 MB of memory when all are in use.
const DefaultMaxKeys = 1_000_000

// Options are the collaborators of the limits of one gateway.
type Options struct {
	Redis      *redis.Store          // nil: none, and `store: redis` is an error
	Registerer prometheus.Registerer // nil: no metrics
	Log        *slog.Logger          // nil: none
	// MaxKeys bounds how many keys are remembered, of all limits together. With
	// more in use at once, those are forgotten whose buckets are the fullest,
	// which gives their callers the least. Zero is DefaultMaxKeys.
	MaxKeys int
}

// Limits are the buckets of one gateway. They outlive tables: a bucket belongs to
// a limit's name and a key, whatever the settings are, so that a new table neither
// refills it nor, if it is shallower now, makes its callers wait for what the old
// settings owed. Safe for concurrent use.
type Limits struct {
	began   time.Time
	local   *buckets
	seen    *buckets // what Redis said of keys that it refused; never ahead of it
	redis   *redis.Store
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex
	named map[string]named // of the table that is compiled; nil if none is
}

// New returns limits without any bucket.
func New(o Options) (*Limits, error) {
	if o.MaxKeys < 0 {
		return nil, fmt.Errorf("max keys: %d: want more than 0", o.MaxKeys)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Limits{
		began: time.Now().Add(-1), // so that no time is 0, which is a bucket nobody has used
		local: newBuckets(o.MaxKeys),
		seen:  newBuckets(o.MaxKeys),
		redis: o.Redis,
		log:   o.Log,
	}
	var err error
	l.metrics, err = newMetrics(o.Registerer, l.local)
	return l, err
}

// now is the time in nanoseconds since the limits were made, by a clock that
// never goes back.
func (l *Limits) now() int64 { return int64(time.Since(l.began)) }
