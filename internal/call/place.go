package call

import "slices"

// Place is what a call takes from others while it runs, such as one of those that a
// cap of concurrency has.
type Place interface {
	// Leave gives the place back. It is called once for each [Call.TakePlace].
	Leave()
}

// placeRoom is how many places a call has without an allocation.
const placeRoom = 5

// TakePlace notes a place that the call has. A nil Call notes nothing.
func (c *Call) TakePlace(p Place) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places == nil {
		c.places = c.placeRoom[:0]
	}
	c.places = append(c.places, p)
}

// LeavePlace gives a place back at its end, unless [Call.LeavePlaces] has done so.
func (c *Call) LeavePlace(p Place) {
	if c == nil || c.forget(p) {
		p.Leave()
	}
}

func (c *Call) forget(p Place) (had bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.places, p)
	if i >= 0 {
		c.places = slices.Delete(c.places, i, i+1)
	}
	return i >= 0
}

// LeavePlaces gives all places back, also those of the calls that this one is made
// for: from now on the call waits for its own client, and others must not wait with
// it. A nil Call has none.
func (c *Call) LeavePlaces() {
	for ; c != nil; c = c.outer {
		c.mu.Lock()
		list := slices.Clone(c.places)
		c.places, c.waited = c.places[:0], true
		c.mu.Unlock()
		for _, p := range list {
			p.Leave()
		}
	}
}

// Waited reports whether the call has given its places back to wait for its client.
// How long it takes says nothing of its upstream then.
func (c *Call) Waited() bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waited
}
