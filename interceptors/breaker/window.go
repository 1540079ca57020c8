package breaker

import "time"

// slots divide a window; it slides by one at a time.
const slots = 20

// counts are attempts by how they ended.
type counts struct {
	begun   uint64 // let through; the three-state kind counts ends, not beginnings
	open    uint64 // let through and not ended
	refused uint64 // not let through
	good    uint64
	failed  uint64
	slow    uint64
}

func (c *counts) add(o counts) {
	c.begun += o.begun
	c.open += o.open
	c.refused += o.refused
	c.good += o.good
	c.failed += o.failed
	c.slow += o.slow
}

// window counts over a sliding time.
type window struct {
	start time.Time
	width time.Duration // of a slot
	epoch int64         // of the newest slot
	// slots are made when something is counted: most RPCs of a large contract are never
	// called.
	slots *[slots]counts
}

func newWindow(length time.Duration, now time.Time) window {
	return window{start: now, width: length / slots}
}

// epochAt is the epoch of a time.
func (w *window) epochAt(now time.Time) int64 { return int64(now.Sub(w.start) / w.width) }

// slide slides the window to now.
func (w *window) slide(now time.Time) {
	epoch := w.epochAt(now)
	if w.slots != nil {
		for e := max(w.epoch+1, epoch-slots+1); e <= epoch; e++ {
			w.slots[e%slots] = counts{}
		}
	}
	w.epoch = max(w.epoch, epoch)
}

// newest slides the window to now and returns the newest slot, to count in.
func (w *window) newest(now time.Time) *counts {
	w.slide(now)
	if w.slots == nil {
		w.slots = new([slots]counts)
	}
	return &w.slots[w.epoch%slots]
}

// forget empties the window. All epochs so far have left it.
func (w *window) forget(now time.Time) {
	w.start = w.start.Add(-slots * w.width)
	w.slide(now)
}

// at is the slot of an epoch, nil if it has left the window or nothing was counted yet.
func (w *window) at(epoch int64) *counts {
	if w.slots == nil || epoch < 0 || epoch <= w.epoch-slots {
		return nil
	}
	return &w.slots[epoch%slots]
}

// sum is over the whole window.
func (w *window) sum() (all counts) {
	if w.slots == nil {
		return counts{}
	}
	for i := range w.slots {
		all.add(w.slots[i])
	}
	return all
}
