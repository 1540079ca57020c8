package breaker

import "time"

// slots divide a window; it slides by one at a time.
const slots = 20

// counts are attempts by how they ended.
type counts struct {
	begun  uint64 // refused ones too; the three-state kind counts ends, not beginnings
	open   uint64 // let through and not ended
	good   uint64
	failed uint64
	slow   uint64
}

func (c *counts) add(o counts) {
	c.begun += o.begun
	c.open += o.open
	c.good += o.good
	c.failed += o.failed
	c.slow += o.slow
}

// window counts over a sliding time.
type window struct {
	start time.Time
	width time.Duration // of a slot
	epoch int64         // of the newest slot
	slots [slots]counts
}

func newWindow(length time.Duration, now time.Time) window {
	return window{start: now, width: length / slots}
}

// advance slides the window to now and returns the newest slot.
func (w *window) advance(now time.Time) *counts {
	epoch := int64(now.Sub(w.start) / w.width)
	for e := max(w.epoch+1, epoch-slots+1); e <= epoch; e++ {
		w.slots[e%slots] = counts{}
	}
	w.epoch = max(w.epoch, epoch)
	return &w.slots[w.epoch%slots]
}

// at is the slot of an epoch, nil if it has left the window.
func (w *window) at(epoch int64) *counts {
	if epoch <= w.epoch-slots {
		return nil
	}
	return &w.slots[epoch%slots]
}

// sum is over the whole window.
func (w *window) sum() (all counts) {
	for i := range w.slots {
		all.add(w.slots[i])
	}
	return all
}
