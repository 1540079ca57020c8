package upstream

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// A call for a large answer costs its client little. So thousands of answers could come
// at once, and be in memory before any of them is accounted for: the transport takes what
// the window of a stream allows, and grpc-go opens the window for the whole answer as
// soon as it knows how large that is.
//
// Here the process has its say. When grpc-go opens a window for a large answer, this waits
// until there is room. Until then the backend has the answer. And while many calls run,
// all streams have small windows: without asking, little comes on each. While few do, most
// answers come in one go.

// smallWindow is enough for a stream, though grpc-go believes that its window is larger: it
// opens a window again when a quarter of that has been read.
const smallWindow = streamWindow / 4

// steady is how long the windows of streams stay as they are, at least.
const steady = time.Second

// windowConn is a connection on which windows open like that.
type windowConn struct {
	net.Conn

	memory *memory.Process

	in frames // of what is read, which one goroutine does

	writing sync.Mutex // also guards the next ones
	out     frames
	inBlock bool // headers go on in the next frame, and no other may come between
	narrow  bool // streams have small windows
	since   time.Time
	rest    []byte       // the beginning of a frame whose rest has not been written yet
	due     bytes.Buffer // frames that wait for the end of the one that is being written
	joined  []byte       // a buffer

	count   atomic.Int32 // len(answers), for those without the lock
	mu      sync.Mutex
	answers map[uint32]*answer // that wait or come, by stream
	ended   [lastEnded]uint32  // streams, the last ones
	next    int                // in ended
	closed  bool
}

// lastEnded is how many streams are known to have ended: grpc-go may open the window of
// one a moment later, and of that nothing more is heard.
const lastEnded = 1024

// answer is a large answer.
type answer struct {
	memory.Arrival

	coming bool // the window was opened
	left   int  // bytes that are to come beside what the window held before
}

func newWindowConn(conn net.Conn, m *memory.Process) net.Conn {
	if m == nil || m.Limit() <= 0 {
		return conn
	}
	c := &windowConn{Conn: conn, memory: m, answers: map[uint32]*answer{}}
	c.out.left = len(http2.ClientPreface)
	return c
}

// Write writes b, but for frames that must wait.
func (c *windowConn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.pass(b)
	if len(out) == 0 {
		return len(b), nil
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// pass returns what of b may be written now. The caller holds the lock of writing.
func (c *windowConn) pass(b []byte) []byte {
	if len(c.rest) > 0 {
		b, c.rest = append(c.rest, b...), nil
	}
	c.joined = c.joined[:0]
	begin := 0 // of what is not in joined yet
	for at := c.out.skip(b); at < len(b); at += c.out.skip(b[at:]) {
		h, ok := parseFrame(b[at:])
		if !ok || h.kind == http2.FrameWindowUpdate && len(b) < at+frameHeader+h.length {
			c.rest = slices.Clone(b[at:])
			b = b[:at]
			break
		}
		payload := b[at+frameHeader:]
		switch h.kind {
		case http2.FrameWindowUpdate:
			if !c.mayOpen(h.stream, int(binary.BigEndian.Uint32(payload)&mask)) {
				c.joined = append(c.joined, b[begin:at]...)
				at += frameHeader + h.length
				begin = at
				continue
			}
		case http2.FrameHeaders, http2.FrameContinuation:
			c.inBlock = !h.flags.Has(http2.FlagHeadersEndHeaders)
			c.fit()
		case http2.FrameRSTStream:
			c.ends(h)
		}
		at += frameHeader
		c.out.left = h.length
	}
	return c.withDue(b, begin)
}

// withDue joins what is not in joined yet, and what is due.
func (c *windowConn) withDue(b []byte, begin int) []byte {
	due := c.due.Len() > 0 && c.out.left == 0 && len(c.rest) == 0 && !c.inBlock
	if !due && begin == 0 {
		return b
	}
	c.joined = append(c.joined, b[begin:]...)
	if due {
		c.joined = append(c.joined, c.due.Bytes()...)
		c.due.Reset()
	}
	return c.joined
}

// fit has the windows of streams be as large as the number of running calls allows.
func (c *windowConn) fit() {
	if narrow := !c.memory.Quiet(); narrow == c.narrow || time.Since(c.since) < steady {
		return
	}
	c.narrow, c.since = !c.narrow, time.Now()
	size := uint32(streamWindow)
	if c.narrow {
		size = smallWindow
	}
	// Into a buffer, which takes everything.
	_ = http2.NewFramer(&c.due, nil).WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: size})
}

// mayOpen reports whether the window of a stream may be opened by so many bytes now. It
// is opened later otherwise.
func (c *windowConn) mayOpen(stream uint32, by int) bool {
	if stream == 0 || by <= streamWindow {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || slices.Contains(c.ended[:], stream) {
		return true
	}
	if old := c.answers[stream]; old != nil {
		c.forget(stream, old)
	}
	a := &answer{left: by - streamWindow}
	c.answers[stream] = a
	c.count.Store(int32(len(c.answers)))
	a.coming = c.memory.Let(&a.Arrival, int64(by), func() { c.open(stream, a, by) })
	return a.coming
}

// open opens the window of a stream after its answer had to wait.
func (c *windowConn) open(stream uint32, a *answer, by int) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	a.coming = true
	waits := c.answers[stream] == a
	c.mu.Unlock()
	if !waits {
		return
	}
	_ = http2.NewFramer(&c.due, nil).WriteWindowUpdate(stream, uint32(by)) // as above
	if b := c.pass(nil); len(b) > 0 {
		_, _ = c.Conn.Write(b) // reading finds that the connection is broken
	}
}

// Read reads, and notes what comes of answers.
func (c *windowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for b = b[:n]; ; {
		h, rest, ok := c.in.next(b)
		if !ok {
			return n, err
		}
		b = rest
		switch ends := h.kind == http2.FrameRSTStream || h.endsStream(); {
		case ends:
			c.ends(h)
		case h.kind == http2.FrameData && c.count.Load() > 0:
			c.came(h)
		}
	}
}

// came notes a part of an answer.
func (c *windowConn) came(h frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[h.stream]
	if a == nil || !a.coming {
		return
	}
	if a.left -= h.length; a.left > 0 {
		a.Moves()
	} else {
		c.lands(h.stream, a)
	}
}

// ends notes that nothing more comes on a stream.
func (c *windowConn) ends(h frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[c.next] = h.stream
	c.next = (c.next + 1) % lastEnded
	switch a := c.answers[h.stream]; {
	case a == nil:
	case a.coming && h.kind != http2.FrameRSTStream:
		c.lands(h.stream, a)
	default:
		c.forget(h.stream, a)
	}
}

// lands notes that an answer has come. The caller holds the lock.
func (c *windowConn) lands(stream uint32, a *answer) {
	a.Landed()
	c.remove(stream)
}

// forget gives up the room of an answer. The caller holds the lock.
func (c *windowConn) forget(stream uint32, a *answer) {
	a.Over()
	c.remove(stream)
}

func (c *windowConn) remove(stream uint32) {
	delete(c.answers, stream)
	c.count.Store(int32(len(c.answers)))
}

// Close closes the connection: nothing comes any more.
func (c *windowConn) Close() error {
	c.mu.Lock()
	c.closed = true
	for stream, a := range c.answers {
		c.forget(stream, a)
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// frames finds where the frames of one direction begin (RFC 9113, 4.1).
type frames struct {
	left  int // bytes of the frame that are to come
	begun [frameHeader]byte
	has   int // bytes of begun
}

// skip returns how many bytes at the beginning of b belong to the last frame.
func (f *frames) skip(b []byte) int {
	n := min(f.left, len(b))
	f.left -= n
	return n
}

// next returns the next frame that begins in b, and what comes after its header.
func (f *frames) next(b []byte) (h frame, rest []byte, ok bool) {
	b = b[f.skip(b):]
	n := copy(f.begun[f.has:], b)
	f.has += n
	if f.has < frameHeader {
		return frame{}, nil, false
	}
	f.has = 0
	h, _ = parseFrame(f.begun[:])
	f.left = h.length
	return h, b[n:], true
}

// frame is the header of a frame.
type frame struct {
	length int
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
}

const (
	frameHeader = 9         // bytes
	mask        = 1<<31 - 1 // of streams and window sizes
)

func parseFrame(b []byte) (h frame, ok bool) {
	if len(b) < frameHeader {
		return frame{}, false
	}
	return frame{
		length: int(binary.BigEndian.Uint32(b) >> 8), //nolint:mnd // of 24 bits
		kind:   http2.FrameType(b[3]),
		flags:  http2.Flags(b[4]),
		stream: binary.BigEndian.Uint32(b[5:]) & mask,
	}, true
}

// endsStream reports whether nothing comes on the stream after the frame.
func (h frame) endsStream() bool {
	return (h.kind == http2.FrameData || h.kind == http2.FrameHeaders) && h.flags.Has(http2.FlagDataEndStream)
}
