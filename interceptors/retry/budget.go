package retry

import "sync/atomic"

// token is one, in the unit of budgets.
const token = 1000

// budget is the token bucket that all calls to an upstream share (gRFC A6,
// throttling): a failed attempt takes a token, as does a hedge, and a success
// gives a part of one back. At half of its tokens or below nothing is repeated.
// It is full at first. Safe for concurrent use.
type budget struct {
	tokens atomic.Int64
	most   atomic.Int64
	ratio  atomic.Int64
}

func newBudget(b bounds) *budget {
	n := new(budget)
	n.tokens.Store(b.most)
	n.most.Store(b.most)
	n.ratio.Store(b.ratio)
	return n
}

// resize sets other bounds; the budget stays as full as it is. One call at a
// time.
func (b *budget) resize(to bounds) {
	b.ratio.Store(to.ratio)
	if was := b.most.Swap(to.most); was != to.most {
		b.tokens.Store(b.tokens.Load() * to.most / was)
	}
}

// add changes the tokens within their bounds and returns them. A full bucket is
// not written to, so that the processors of a healthy gateway need not share it.
func (b *budget) add(diff int64) int64 {
	for {
		old := b.tokens.Load()
		now := min(b.most.Load(), max(0, old+diff))
		if now == old || b.tokens.CompareAndSwap(old, now) {
			return now
		}
	}
}

func (b *budget) succeeded() { b.add(b.ratio.Load()) }

// failed takes a token and reports whether there are enough left to try again.
func (b *budget) failed() bool { return 2*b.add(-token) > b.most.Load() }

// hedge takes a token if there are enough. A first attempt that is slow counts as
// a failed one here: else an upstream that has become slow would be sent twice as
// much, though none of it fails.
func (b *budget) hedge() bool {
	for {
		old := b.tokens.Load()
		if 2*old <= b.most.Load() {
			return false
		}
		if b.tokens.CompareAndSwap(old, max(0, old-token)) {
			return true
		}
	}
}
