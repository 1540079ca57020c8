package memory_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

const mib = 1 << 20

// TestCallsOfOneClientTakeTurns has more calls than fit hold a request, and then as
// much again and more for an answer: each ends, and nothing is left.
func TestCallsOfOneClientTakeTurns(t *testing.T) {
	p := memory.New(memory.Limits{Client: 8 * mib})
	c := p.NewClient()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			var s memory.Share
			s.Open(c, nil)
			defer s.Close()
			for _, reserve := range []func() error{
				func() error { return s.Reserve(t.Context(), 4*mib) },
				func() error { return s.ReserveAnswer(t.Context(), 4*mib) },
				func() error { return s.ReserveAnswer(t.Context(), 20*mib) },
			} {
				if err := reserve(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if c.Held() != 0 || p.Held() != 0 {
		t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
	}
}

// TestWaitingEndsWithTheCall leaves the room of a call that gave up to the next.
func TestWaitingEndsWithTheCall(t *testing.T) {
	c := memory.New(memory.Limits{Client: 8 * mib}).NewClient()
	var first, second, third memory.Share
	for _, s := range []*memory.Share{&first, &second, &third} {
		s.Open(c, nil)
	}
	if err := first.Reserve(t.Context(), 8*mib); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if err := second.Reserve(ctx, 8*mib); !errors.Is(err, gone) {
		t.Errorf("%v, want the cause of the end", err)
	}
	first.Close()
	if err := third.Reserve(t.Context(), 8*mib); err != nil || c.Held() != 8*mib {
		t.Errorf("%v, %d bytes held", err, c.Held())
	}
}

// TestTheProcessRefusesMuchFirst keeps the last fifth for what is small, and ends
// the slowest reader.
func TestTheProcessRefusesMuchFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(memory.Limits{Process: 10 * mib})
		open := func() *memory.Share {
			s := new(memory.Share)
			s.Open(p.NewClient(), nil)
			return s
		}
		reader, other := open(), open()
		if err := errors.Join(reader.Reserve(t.Context(), 5*mib), other.Reserve(t.Context(), 3*mib)); err != nil {
			t.Fatal(err)
		}
		var ended []string
		var first, second memory.ClientWait
		first.Begin(reader, func() { ended = append(ended, "first") })
		second.Begin(other, func() { ended = append(ended, "second") })
		if err := open().Reserve(t.Context(), mib); !errors.Is(err, memory.ErrFull) || len(ended) != 0 {
			t.Errorf("%v, ended %v, want it full, and no reader ended that has just begun", err, ended)
		}
		if err := open().Reserve(t.Context(), 1000); err != nil || p.Admit(new(memory.Share), 0) != nil {
			t.Errorf("%v: what is small has room", err)
		}
		time.Sleep(2 * time.Second)
		if err := open().Reserve(t.Context(), mib); !errors.Is(err, memory.ErrFull) || !slices.Equal(ended, []string{"first"}) {
			t.Errorf("%v, ended %v, want the first that began, which is enough", err, ended)
		}
		first.Done()
		reader.Close()
		second.Done()
		if err := open().Reserve(t.Context(), mib); err != nil || p.Refused() != 2 || p.Ended() != 1 {
			t.Errorf("%v, %d refused, %d ended", err, p.Refused(), p.Ended())
		}
	})
}

// TestAnAnswerThatIsLateKeepsNoRoom leaves the room to a call that waits.
func TestAnAnswerThatIsLateKeepsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.New(memory.Limits{Client: 8 * mib}).NewClient()
		var late, next memory.Share
		late.Open(c, nil)
		next.Open(c, nil)
		if late.Ask(8*mib) || !next.Ask(8*mib) {
			t.Error("the first answer has room, the second must wait")
		}
		var awaited memory.Expectation
		if err := errors.Join(late.Expect(t.Context(), &awaited, 8*mib), next.Reserve(t.Context(), 8*mib)); err != nil {
			t.Fatal(err)
		}
		late.Came(&awaited, new(memory.Arrival), mib)
		if got := c.Held(); got != 9*mib {
			t.Errorf("%d bytes held, want those of both", got)
		}
		late.Close()
		next.Close()
		if c.Held() != 0 || late.Ask(8*mib) {
			t.Errorf("%d bytes held after all", c.Held())
		}
	})
}

// TestClientsBehindAProxy are one while they have calls.
func TestClientsBehindAProxy(t *testing.T) {
	p := new(memory.Process)
	a, leaveA := p.Behind("192.0.2.1")
	b, leaveB := p.Behind("192.0.2.1")
	c, leaveC := p.Behind("192.0.2.2")
	if a != b || a == c {
		t.Error("want one client for each address")
	}
	leaveA()
	leaveB()
	leaveC()
	if again, leave := p.Behind("192.0.2.1"); again == a {
		t.Error("a client without calls was kept")
	} else {
		leave()
	}
}

// TestBarrier is told when the last has given the message up.
func TestBarrier(t *testing.T) {
	freed := 0
	b := memory.NewBarrier(func() { freed++ })
	data := mem.BufferSlice{mem.SliceBuffer("abc"), b}
	reader := data.Reader() // as grpc-go's transports read
	data.Free()
	if n, err := reader.Discard(3); n != 3 || err != nil || freed != 0 {
		t.Errorf("%d, %v, freed %d times, want none before the end", n, err, freed)
	}
	if _ = reader.Close(); freed != 1 {
		t.Errorf("freed %d times", freed)
	}
}

// TestPartsLeaveTheirAnswers has the parts of a call hold answers, which the call
// itself holds when they have ended, until its own end.
func TestPartsLeaveTheirAnswers(t *testing.T) {
	p := memory.New(memory.Limits{Client: 8 * mib})
	c := p.NewClient()
	var whole memory.Share
	whole.Open(c, nil)
	for n := range 4 { // more than there is room for: one goes beyond it
		var part memory.Share
		part.OpenWithin(&whole)
		if err := part.ReserveAnswer(t.Context(), 4*mib); err != nil {
			t.Fatal(err)
		}
		part.Close()
		if want := int64(n+1) * 4 * mib; whole.Held() != want || c.Held() != want || p.Held() != want {
			t.Errorf("the call holds %d bytes, its client %d, all %d; want %d", whole.Held(), c.Held(), p.Held(), want)
		}
	}
	whole.Close()
	if c.Held() != 0 || p.Held() != 0 {
		t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
	}
}

// TestNothingIsHeldAfterTheEnd is a goroutine that outlives its call.
func TestNothingIsHeldAfterTheEnd(t *testing.T) {
	p := memory.New(memory.Limits{Client: 8 * mib})
	c := p.NewClient()
	var s, part memory.Share
	s.Open(c, nil)
	part.OpenWithin(&s)
	s.Close()
	part.Hold(mib)
	part.Close()
	s.Hold(mib)
	if err := s.Reserve(t.Context(), mib); err != nil {
		t.Error(err)
	}
	if c.Held() != 0 || p.Held() != 0 {
		t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
	}
}

// TestAnnouncementsCostOthersNothing: what has not arrived counts with the client.
func TestAnnouncementsCostOthersNothing(t *testing.T) {
	p := memory.New(memory.Limits{Client: 8 * mib, Process: 10 * mib})
	c := p.NewClient()
	var s memory.Share
	s.Open(c, nil)
	if err := s.Promise(t.Context(), 4*mib); err != nil || c.Held() != 4*mib || p.Held() != 0 {
		t.Errorf("%v, held %d and %d, want the client's alone", err, c.Held(), p.Held())
	}
	if err := s.Arrived(mib); err != nil || c.Held() != 4*mib || p.Held() != mib {
		t.Errorf("%v, held %d and %d, want what has arrived to count with all", err, c.Held(), p.Held())
	}
	s.Forgo(8 * mib)
	if c.Held() != mib || p.Held() != mib {
		t.Errorf("held %d and %d, want what has arrived", c.Held(), p.Held())
	}
	if err := s.Promise(t.Context(), mib); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if c.Held() != 0 || p.Held() != 0 {
		t.Errorf("%d and %d bytes are left", c.Held(), p.Held())
	}
}

// TestTightHeap refuses calls of clients that have many, and of no others.
func TestTightHeap(t *testing.T) {
	p := memory.New(memory.Limits{Heap: 1})
	runtime.GC() // the runtime knows what is in use after a collection
	busy, other := p.NewClient(), p.NewClient()
	open := func(c *memory.Client) *memory.Share {
		s := new(memory.Share)
		s.Open(c, nil)
		return s
	}
	last := open(busy)
	for range 8 {
		last = open(busy)
	}
	if err := p.Admit(last, 0); !errors.Is(err, memory.ErrFull) {
		t.Errorf("%v for the ninth call of a client, want it refused", err)
	}
	if err := p.Admit(open(other), 0); err != nil {
		t.Errorf("%v for the only call of a client", err)
	}
	last.Close()
	if err := p.Admit(open(busy), 0); !errors.Is(err, memory.ErrFull) {
		t.Errorf("%v for another ninth call", err)
	}
}

// TestRunningCallsAreCounted refuses large headers first when running calls take much,
// and takes a call with an ordinary header.
func TestRunningCallsAreCounted(t *testing.T) {
	p := memory.New(memory.Limits{Calls: 10 * mib})
	admit := func(c *memory.Client, headers int) (*memory.Share, error) {
		s := new(memory.Share)
		s.Open(c, nil)
		return s, p.Admit(s, headers)
	}
	var running []*memory.Share
	for {
		s, err := admit(p.NewClient(), 64<<10)
		running = append(running, s)
		if err != nil {
			break
		}
	}
	if len(running) > 10*mib/(64<<10) {
		t.Errorf("%d calls with headers of 64 KiB had room in 10 MiB", len(running))
	}
	other, err := admit(p.NewClient(), 1<<10)
	if err != nil {
		t.Errorf("%v for a call with an ordinary header", err)
	}
	for _, s := range append(running, other) {
		s.Close()
	}
	if s, err := admit(p.NewClient(), 64<<10); err != nil {
		t.Errorf("%v when all have ended", err)
	} else {
		s.Close()
	}
}

// TestAnswersThatNobodyTakes has answers come for calls that have ended, one after another.
// Their room is given up soon.
func TestAnswersThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(memory.Limits{Process: 100 * mib})
		for range 50 {
			a := new(memory.Arrival)
			if !p.Let(a, mib, nil) {
				t.Fatal("there is room, and the answer must wait")
			}
			a.Landed()
		}
		if p.Held() != 50*mib {
			t.Errorf("%d bytes held, want those of all that have come", p.Held())
		}
		time.Sleep(2 * time.Second)
		if p.Held() != 0 {
			t.Errorf("%d bytes held for calls that have ended", p.Held())
		}
	})
}

// TestSendersAreEndedToo ends calls whose requests do not come, at once when nothing
// else has room.
func TestSendersAreEndedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := memory.New(memory.Limits{Process: 10 * mib})
		var sender, other memory.Share
		sender.Open(p.NewClient(), nil)
		other.Open(p.NewClient(), nil)
		ended := false
		var rest memory.ClientWait
		rest.Begin(&sender, func() { ended = true })
		sender.Hold(11 * mib) // it is full
		time.Sleep(200 * time.Millisecond)
		if err := p.Admit(&other, 0); !errors.Is(err, memory.ErrFull) || !ended {
			t.Errorf("%v, ended %v, want the sender ended whose request does not come", err, ended)
		}
		rest.Done()
		sender.Close()
		if err := p.Admit(&other, 0); err != nil || !rest.Ended() {
			t.Errorf("%v, want room when it has ended", err)
		}
	})
}

// TestTheTighterTheFewer leaves a client fewer calls the more of them run: it may have
// many connections. One call of each is refused last.
func TestTheTighterTheFewer(t *testing.T) {
	p := memory.New(memory.Limits{Calls: 10 * mib})
	open := func(calls int) (taken int) {
		c := p.NewClient()
		for range calls {
			s := new(memory.Share)
			s.Open(c, nil)
			if p.Admit(s, 0) != nil {
				s.Close()
				break
			}
			taken++
		}
		return taken
	}
	had, all := 8, 0
	for had > 1 {
		taken := open(8)
		if taken > had {
			t.Fatalf("a client has %d calls, and those before it no more than %d", taken, had)
		}
		had = taken
		all += taken
	}
	if had != 1 || all > 13*mib/(24<<10) {
		t.Errorf("the last client has %d calls, and all have %d", had, all)
	}
	for had == 1 {
		had = open(1)
		all += had
	}
	if bytes := all * (24 << 10); bytes < 15*mib || bytes > 21*mib {
		t.Errorf("%d calls run when none is taken any more", all)
	}
}

// TestCollectionsEndCalls ends a call whose request does not come, and for which no
// other call makes room, when the heap is found to be full.
func TestCollectionsEndCalls(t *testing.T) {
	p := memory.New(memory.Limits{Process: 100 * mib, Calls: mib, Heap: 1})
	p.Watch()
	for range mib / (24 << 10) {
		s := new(memory.Share)
		s.Open(p.NewClient(), nil)
		_ = p.Admit(s, 0) // it runs
	}
	var waits memory.Share
	waits.Open(p.NewClient(), nil)
	if !waits.Busy() {
		t.Error("want it noted who waits")
	}
	ended := make(chan struct{})
	var rest memory.ClientWait
	rest.Begin(&waits, func() { close(ended) })
	for {
		runtime.GC()
		select {
		case <-ended:
			rest.Done()
			return
		case <-t.Context().Done():
			t.Fatal("no collection has ended it")
		default:
		}
	}
}
