package retry

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// latency knows the 95th percentile of an RPC's recent latencies, to an eighth,
// in a kilobyte. It counts in buckets that double every eight, and halves the
// counts every so often, which makes old ones fade. Safe for concurrent use; the
// zero value has seen nothing.
type latency struct {
	high atomic.Int64 // the percentile, 0 while too little is known

	mu      sync.Mutex
	counts  [buckets]float32
	total   float32
	samples int
}

const (
	percentile = .95
	enough     = 20              // samples before anything is told
	often      = 16              // samples between two looks
	fade       = 1000            // what the counts are halved at
	longest    = uint64(1 << 31) // microseconds, more than half an hour
	buckets    = 8 * 30
)

// observe adds one latency.
func (l *latency) observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[bucket(d)]++
	l.total++
	if l.total >= fade {
		for i := range l.counts {
			l.counts[i] /= 2
		}
		l.total /= 2
	}
	l.samples++
	if l.samples >= enough && (l.samples-enough)%often == 0 {
		l.high.Store(int64(l.quantile()))
	}
}

// tail is the percentile, if enough is known.
func (l *latency) tail() (time.Duration, bool) {
	d := l.high.Load()
	return time.Duration(d), d > 0
}

func (l *latency) quantile() time.Duration {
	left := l.total * percentile
	for i, n := range l.counts {
		if left -= n; left <= 0 {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

// bucket is where a latency is counted: below 8 µs by the microsecond, then by
// the three bits after the highest.
func bucket(d time.Duration) int {
	n := min(uint64(max(0, d/time.Microsecond)), longest-1)
	if n < 8 {
		return int(n)
	}
	shift := bits.Len64(n) - 4
	return 8*shift + int(n>>shift)
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	if i < 8 {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/8 - 1
	return time.Duration(8+i%8+1) << shift * time.Microsecond
}
