package call

import (
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
)

// Reach is an option of a unary call by which its maker learns whether the request
// may have left the gateway. Whoever sends requests on, the last link of a chain,
// must say so. It is for one call, and safe for concurrent use.
type Reach struct {
	grpc.EmptyCallOption

	begun, unsent atomic.Int32
	outer         *Reach // learns the same; nil for none
}

// NewReach makes a Reach for a call with these options. Who asks by a Reach among them
// learns the same.
func NewReach(opts []grpc.CallOption) *Reach { return &Reach{outer: ReachOf(opts)} }

// ReachOf is the Reach that was added to opts last, nil if nobody asks.
func ReachOf(opts []grpc.CallOption) *Reach {
	for _, o := range slices.Backward(opts) {
		if r, ok := o.(*Reach); ok {
			return r
		}
	}
	return nil
}

// Begin notes an attempt, before it is made. A nil Reach notes nothing.
func (r *Reach) Begin() {
	for ; r != nil; r = r.outer {
		r.begun.Add(1)
	}
}

// Unsent notes that an attempt ended and provably nothing of it was sent. A nil
// Reach notes nothing.
func (r *Reach) Unsent() {
	for ; r != nil; r = r.outer {
		r.unsent.Add(1)
	}
}

// Begun reports whether there was any attempt.
func (r *Reach) Begun() bool { return r.begun.Load() > 0 }

// Sent reports whether the backend may know of the call.
func (r *Reach) Sent() bool { return r.begun.Load() > r.unsent.Load() }
