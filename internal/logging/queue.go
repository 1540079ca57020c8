package logging

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A line of a call waits at most gatherTime for others, so that a busy gateway
// makes one system call for many; gatherBytes of lines do not wait.
const (
	gatherTime  = 100 * time.Millisecond
	gatherBytes = 32 << 10
)

const (
	// queueBytes bounds the lines that wait to be written, those in the hands of
	// the writer included: some 9,000, or half a second of a very busy gateway.
	queueBytes = 4 << 20
	// chunkBytes is what one write has at most.
	chunkBytes = 64 << 10
	// freeChunks are kept for the next lines.
	freeChunks = 4
)

// queue is a bounded queue of lines, which run writes. It is safe for concurrent
// use.
type queue struct {
	to           io.Writer
	sumOf        func(lines uint64) []byte // the line that tells of lost ones
	full, failed prometheus.Counter

	wake  chan struct{} // something waits
	hurry chan struct{} // and for long enough
	ended chan struct{} // run has returned

	mu      sync.Mutex
	room    sync.Cond       // of those that wait for room
	wait    bool            // for room
	waiting [][]byte        // chunks of whole lines
	free    [][]byte        // empty chunks
	held    int             // bytes of lines, in waiting and in the hands of run
	lost    uint64          // lines that no line has told of
	flushes []chan struct{} // to be closed when all that waits is written
	closed  bool
}

func newQueue(to io.Writer, wait bool, sumOf func(uint64) []byte) *queue {
	q := &queue{
		to: to, wait: wait, sumOf: sumOf,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	q.room.L = &q.mu
	return q
}

// push queues a copy of line, or drops it if there is no room. An urgent line is
// written at once, and all before it.
func (q *queue) push(line []byte, urgent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.closed || q.held+len(line) > queueBytes {
		if q.closed || !q.wait || len(line) > queueBytes {
			q.lost++
			q.full.Inc()
			return
		}
		q.room.Wait()
	}
	q.held += len(line)
	last := len(q.waiting) - 1
	if last < 0 {
		signal(q.wake)
	}
	if last < 0 || len(q.waiting[last])+len(line) > cap(q.waiting[last]) {
		q.waiting = append(q.waiting, q.chunk(len(line)))
		last++
	}
	before := len(q.waiting[last])
	q.waiting[last] = append(q.waiting[last], line...)
	if urgent || before < gatherBytes && before+len(line) >= gatherBytes {
		signal(q.hurry)
	}
}

// chunk is an empty chunk with room for n bytes.
func (q *queue) chunk(n int) []byte {
	if last := len(q.free) - 1; last >= 0 && n <= chunkBytes {
		c := q.free[last]
		q.free = q.free[:last]
		return c
	}
	return make([]byte, 0, max(n, chunkBytes))
}

// signal does not wait for anybody: one signal is as good as two.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes what comes until the queue is closed.
func (q *queue) run() {
	defer close(q.ended)
	patience := time.NewTimer(gatherTime)
	defer patience.Stop()
	for closed := false; !closed; {
		<-q.wake
		patience.Reset(gatherTime)
		select {
		case <-q.hurry:
		case <-patience.C:
		}
		var batch batch
		batch, closed = q.take()
		q.write(batch)
	}
}

// batch is what one turn of run writes.
type batch struct {
	chunks  [][]byte
	told    uint64 // lost lines of which the last chunk tells, if there are any
	flushes []chan struct{}
}

// take takes all that waits, with the sum of what was lost before.
func (q *queue) take() (b batch, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b = batch{chunks: q.waiting, told: q.lost, flushes: q.flushes}
	q.waiting, q.lost, q.flushes = nil, 0, nil
	if b.told > 0 {
		line := q.sumOf(b.told)
		b.chunks = append(b.chunks, line)
		q.held += len(line)
	}
	return b, q.closed
}

// write writes the batch, each chunk at once. Lines that cannot be written are
// lost.
func (q *queue) write(b batch) {
	for i, c := range b.chunks {
		n, err := q.to.Write(c)
		var lost uint64
		switch {
		case err == nil:
		case b.told > 0 && i == len(b.chunks)-1:
			lost = b.told
		default:
			lost = uint64(bytes.Count(c[min(max(n, 0), len(c)):], []byte("\n")))
			q.failed.Add(float64(lost))
		}
		q.release(c, lost)
	}
	for _, f := range b.flushes {
		close(f)
	}
}

// release makes room where a chunk was.
func (q *queue) release(chunk []byte, lost uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held -= len(chunk)
	q.lost += lost
	if cap(chunk) == chunkBytes && len(q.free) < freeChunks {
		q.free = append(q.free, chunk[:0])
	}
	q.room.Broadcast()
}

func (q *queue) waitingBytes() float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return float64(q.held)
}

// flush returns when all that waits is written, or after the bound.
func (q *queue) flush(bound time.Duration) {
	done := make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.flushes = append(q.flushes, done)
	q.mu.Unlock()
	signal(q.wake)
	signal(q.hurry)
	within(bound, done)
}

// within waits for done, and not longer than the bound.
func within(bound time.Duration, done <-chan struct{}) {
	late := time.NewTimer(bound)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// stopWaiting has nobody wait for room any more, after the bound.
func (q *queue) stopWaiting(bound time.Duration) {
	time.AfterFunc(bound, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.wait = false
		q.room.Broadcast()
	})
}

// close writes what waits and ends run, or leaves it to its write after the bound.
func (q *queue) close(bound time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.room.Broadcast()
	q.mu.Unlock()
	signal(q.wake)
	signal(q.hurry)
	within(bound, q.ended)
}
