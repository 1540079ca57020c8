package upstream

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// A client may ask for many large answers at once and take none of them, and
// grpc-go tells nobody how large an answer is before all of it is here. So an answer
// is left at the backend, but for the window of its stream, until there is room for
// the largest that there may be. A client that awaits few answers has the room at
// once, and so has one whose answers come soon after they have begun.

// ask prepares the exchange for an answer, the first of a stream.
func (x *exchange) ask() {
	if c := call.From(x); c != nil {
		x.asking = true
		x.crowded = c.Memory.Ask(int64(x.conn.maxReceive))
	}
}

// receiveWithRoom is receiveOne when there is room for the answer.
func (x *exchange) receiveWithRoom(up grpc.ClientStream, reply any) error {
	if !x.crowded {
		return x.receiveHeld(up, 0, reply, x.receiveOne)
	}
	room := x.roomWhenBegun(up)
	if room > 0 { // it may wait for its client, and then holds no place that others need
		call.From(x).LeavePlaces()
	}
	return x.receiveHeld(up, room, reply, x.receiveOneTimed)
}

// roomWhenBegun waits until an answer has begun to come, and returns how much room it
// needs. After an error none comes any more, and grpc-go says how that was.
func (x *exchange) roomWhenBegun(up grpc.ClientStream) int64 {
	if _, err := up.Header(); err != nil || x.over() || x.conn.usualOf(x.method).headersEarly() {
		return 0
	}
	return int64(x.conn.maxReceive)
}

// receiveOneTimed is receiveOne, and learns how long a small answer takes.
func (x *exchange) receiveOneTimed(up grpc.ClientStream, reply any) error {
	return x.timed(up, reply, x.receiveOne)
}

// receiveTimed is receive, and learns the same.
func (x *exchange) receiveTimed(up grpc.ClientStream, reply any) error {
	return x.timed(up, reply, x.receive)
}

func (x *exchange) timed(up grpc.ClientStream, reply any, receive func(grpc.ClientStream, any) error) error {
	began := time.Now()
	err := receive(up, reply)
	if msg, ok := reply.(*call.Message); ok && err == nil && msg.Len() <= streamWindow {
		x.conn.usualOf(x.method).learnGap(time.Since(began))
	}
	return err
}

// early is how long small answers may come behind their headers, on average, until
// room is kept for none any more: that of calls that wait would be kept from others.
const early = 20 * time.Millisecond

// gapWeight is how many answers make the average.
const gapWeight = 8

func (u *usual) learnGap(took time.Duration) {
	old := u.gap.Load()
	u.gap.Store(old + (int64(took)-old)/gapWeight) // one that is lost in a race does no harm
}

// learnLate notes that an answer came so long after its headers that its room was given
// up, if it did: others need not wait for such room again, whether the answer came or
// its client gave up.
func (x *exchange) learnLate(late bool) {
	if late {
		x.conn.usualOf(x.method).gap.Store(2 * int64(early))
	}
}

// headersEarly reports whether the backend sends headers long before the answer.
func (u *usual) headersEarly() bool { return u.gap.Load() > int64(early) }

// receiveMany is receive for one answer of many. Room is kept for the first like for
// one that has no others. None is kept for the next ones: a stream may wait for long,
// and grpc-go does not tell when one begins. They are left at the backend while the
// client has not taken those before.
func (x *exchange) receiveMany(up grpc.ClientStream, reply any) error {
	c := call.From(x)
	switch {
	case c == nil:
		return x.receive(up, reply)
	case !x.asking:
		if err := c.Memory.AwaitRoom(x); err != nil {
			return call.MemoryError(err)
		}
		return x.receiveHeld(up, 0, reply, x.receive)
	}
	x.asking = false
	defer c.Memory.Unask(int64(x.conn.maxReceive))
	if !x.crowded {
		return x.receiveHeld(up, 0, reply, x.receive)
	}
	return x.receiveHeld(up, x.roomWhenBegun(up), reply, x.receiveTimed)
}

// receiveHeld receives an answer, which the call holds then, when there is room
// bytes of room for it.
func (x *exchange) receiveHeld(up grpc.ClientStream, room int64, reply any, receive func(grpc.ClientStream, any) error) error {
	c := call.From(x)
	msg, ok := reply.(*call.Message)
	if c == nil || !ok {
		return receive(up, reply)
	}
	var e memory.Expectation
	if room > 0 {
		if err := c.Memory.Expect(x, &e, room); err != nil {
			return call.MemoryError(err)
		}
	}
	var a memory.Arrival
	err := x.awaitTurn(c, &a)
	if err == nil {
		err = x.receiveUnlessEnded(up, c, reply, receive)
	}
	came := int64(0)
	if err == nil {
		came = int64(msg.Len())
	}
	x.learnLate(c.Memory.Came(&e, &a, came))
	return err
}

// receiveUnlessEnded receives an answer, unless the call is ended since it holds what others
// need. That of a stream is not: its requests go on at once, and only one goroutine may send.
func (x *exchange) receiveUnlessEnded(up grpc.ClientStream, c *call.Call, reply any, receive func(grpc.ClientStream, any) error) error {
	if x.stream || !c.Memory.IsCrowded() {
		return receive(up, reply)
	}
	var w memory.AnswerWait
	ended := make(chan struct{})
	w.Begin(&c.Memory, func() {
		go func() {
			defer close(ended)
			_ = up.SendMsg(nil) // one more than there may be: this ends it
		}()
	})
	err := receive(up, reply)
	if w.Done() {
		if <-ended; err != nil {
			return call.MemoryError(memory.ErrFull)
		}
	}
	return err
}

// awaitTurn waits until the process has room for a small answer, where it is crowded. A
// large one waits for the rest, see windowConn.
func (x *exchange) awaitTurn(c *call.Call, a *memory.Arrival) error {
	if !c.Memory.IsCrowded() {
		return nil
	}
	come := make(chan struct{})
	if c.Memory.LetSmall(a, smallWindow, func() { close(come) }) {
		return nil
	}
	if !x.stream {
		c.LeavePlaces()
	}
	select {
	case <-come:
		return nil
	case <-x.Done():
		return call.MemoryError(context.Cause(x))
	}
}
