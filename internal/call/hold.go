package call

import "sync/atomic"

// holds counts the calls that a table serves, so that what the table needs can
// be given up behind the last of them. It stands apart from the rest of the
// table, which is only read.
type holds struct {
	_       [64]byte
	calls   atomic.Int64
	retired atomic.Bool
	ended   atomic.Bool
	_       [64]byte

	last func() // set before retired is
}

// Hold counts a call. The table may be replaced between Load and Hold: hold first,
// then check that it is still current, and leave it if not.
func (t *Table) Hold() { t.holds.calls.Add(1) }

// Leave ends what Hold began.
func (t *Table) Leave() {
	if t.holds.calls.Add(-1) == 0 && t.holds.retired.Load() {
		t.holds.end()
	}
}

// Retire says that no call begins any more, since another table is in force. last
// is called once when the last one has ended, which may be now.
func (t *Table) Retire(last func()) {
	t.holds.last = last
	t.holds.retired.Store(true)
	if t.holds.calls.Load() == 0 {
		t.holds.end()
	}
}

func (h *holds) end() {
	if h.ended.CompareAndSwap(false, true) {
		h.last()
	}
}
