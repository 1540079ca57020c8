package hostile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// H2 tells how a connection of HTTP/2 behaves. The zero value reads all that it is
// sent, and gives the bytes of windows back as they come.
type H2 struct {
	// Window is the window of each stream, in bytes; 0 is that of the protocol,
	// 65535, and -1 a window of no byte.
	Window int
	// Closed has the client give back nothing of what it was sent, so that the
	// connection's window stays closed once 65535 bytes came.
	Closed bool
}

// Conn is a connection whose frames the attacker forms. It acknowledges settings and
// pings, keeps to the windows that the gateway gives, and notes what it is sent.
type Conn struct {
	net    net.Conn
	how    H2
	out    *bufio.Writer
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder

	writing sync.Mutex // of out, framer and hpack
	next    uint32

	mu      sync.Mutex
	changed *sync.Cond
	conn    int64 // the window for what is sent
	initial int64 // of a new stream
	frame   int   // the largest
	streams map[uint32]*Stream
	err     error // the connection's end
}

// Stream is one call. What it notes is guarded by its connection.
type Stream struct {
	ID uint32

	conn   *Conn
	window int64
	header map[string]string // trailers among them
	body   []byte
	got    int // bytes of body, of which body holds the first
	ended  bool
	reset  error
}

// keep is how much of a body is kept.
const keep = 1 << 20

// Dial opens a connection of HTTP/2 to one of the doors, which ends with the attack.
func (t *Target) Dial(door string, how H2) (*Conn, error) {
	nc, err := new(net.Dialer).DialContext(t.ctx, "tcp", t.Address(door))
	if err != nil {
		return nil, err
	}
	t.OnEnd(func() { _ = nc.Close() })
	out := bufio.NewWriterSize(nc, 64*KiB)
	c := &Conn{net: nc, how: how, out: out, framer: http2.NewFramer(out, nc), next: 1, conn: 65535, initial: 65535, frame: 16384, streams: map[uint32]*Stream{}}
	c.changed = sync.NewCond(&c.mu)
	c.hpack = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return nil, err
	}
	var settings []http2.Setting
	if how.Window != 0 {
		settings = append(settings, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(max(how.Window, 0))})
	}
	if err := errors.Join(c.framer.WriteSettings(settings...), out.Flush()); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(t.ctx, func() { _ = nc.Close() })
	go func() {
		defer stop()
		c.read()
	}()
	return c, nil
}

// GRPCHeader is the header of a gRPC call to one of the RPCs. More are further
// fields: name, value, name, value.
func GRPCHeader(rpc string, more ...string) []string { return CallHeader(GRPC, rpc, more...) }

// CallHeader is the header of a call to one of the RPCs by a door at its own path.
func CallHeader(door, rpc string, more ...string) []string {
	service := Service
	if rpc == "Page" {
		service = Pages
	}
	contentType := "application/grpc"
	switch {
	case door == GRPCWeb:
		contentType = "application/grpc-web+proto"
	case door == Connect && streams[rpc]:
		contentType = "application/connect+proto"
	case door == Connect:
		contentType = "application/proto"
	}
	return append([]string{":method", "POST", ":scheme", "http", ":path", "/" + service + "/" + rpc, ":authority", "gatehouse", "content-type", contentType, "te", "trailers"}, more...)
}

// streams are the RPCs that are not unary.
var streams = map[string]bool{"Watch": true, "Upload": true, "Chat": true}

// CallBody is the body of a call of one message by a door at the RPC's own path.
func CallBody(door, rpc string, message []byte) []byte {
	if door == Connect && !streams[rpc] {
		return message
	}
	return Framed(message)
}

// RESTHeader is the header of an HTTP request.
func RESTHeader(verb, path string, more ...string) []string {
	return append([]string{":method", verb, ":scheme", "http", ":path", path, ":authority", "gatehouse"}, more...)
}

// Open begins a call. end says that no body follows.
func (c *Conn) Open(header []string, end bool) (*Stream, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.block.Reset()
	for i := 0; i+1 < len(header); i += 2 {
		if err := c.hpack.WriteField(hpack.HeaderField{Name: header[i], Value: header[i+1]}); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	s := &Stream{ID: c.next, conn: c, window: c.initial, header: map[string]string{}}
	c.next += 2
	c.streams[s.ID] = s
	c.mu.Unlock()
	block, first := c.block.Bytes(), true
	for first || len(block) > 0 {
		part := block[:min(len(block), 16384)]
		block = block[len(part):]
		var err error
		if first {
			err = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.ID, BlockFragment: part, EndStream: end, EndHeaders: len(block) == 0})
		} else {
			err = c.framer.WriteContinuation(s.ID, len(block) == 0, part)
		}
		if first = false; err != nil {
			return nil, err
		}
	}
	return s, c.out.Flush()
}

// Call begins a call and sends its whole body, as far as windows allow it.
func (c *Conn) Call(header []string, body []byte) (*Stream, error) {
	s, err := c.Open(header, false)
	if err != nil {
		return nil, err
	}
	return s, s.Send(body, true)
}

// Send sends a part of the body. It waits for windows.
func (s *Stream) Send(body []byte, end bool) error { return s.SendInFrames(body, 1<<14, end) }

// SendInFrames is Send in DATA frames of at most so many bytes.
func (s *Stream) SendInFrames(body []byte, size int, end bool) error {
	for {
		n, err := s.take(min(len(body), max(size, 1<<14)))
		if err != nil {
			return err
		}
		part := body[:n]
		body = body[n:]
		if err := s.conn.writeData(s.ID, part, size, end && len(body) == 0); err != nil || len(body) == 0 {
			return err
		}
	}
}

func (c *Conn) writeData(id uint32, part []byte, size int, end bool) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		frame := part[:min(len(part), size)]
		part = part[len(frame):]
		if err := c.framer.WriteData(id, end && len(part) == 0, frame); err != nil {
			return err
		}
		if len(part) == 0 {
			return c.out.Flush()
		}
	}
}

// take waits for a window and takes up to n bytes of it.
func (s *Stream) take(n int) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.err != nil:
			return 0, c.err
		case s.reset != nil:
			return 0, s.reset
		case n == 0:
			return 0, nil
		case s.window > 0 && c.conn > 0:
			n = int(min(int64(n), s.window, c.conn, int64(c.frame)))
			s.window -= int64(n)
			c.conn -= int64(n)
			return n, nil
		}
		c.changed.Wait()
	}
}

// Reset ends the call as a client does that wants it no longer.
func (s *Stream) Reset() error {
	s.conn.writing.Lock()
	defer s.conn.writing.Unlock()
	return errors.Join(s.conn.framer.WriteRSTStream(s.ID, http2.ErrCodeCancel), s.conn.out.Flush())
}

// Release gives n bytes of the stream's window to the gateway, or of the
// connection's with a nil stream.
func (c *Conn) Release(s *Stream, n uint32) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	id := uint32(0)
	if s != nil {
		id = s.ID
	}
	return errors.Join(c.framer.WriteWindowUpdate(id, n), c.out.Flush())
}

// Answer is what a call was answered.
type Answer struct {
	Header map[string]string // with the trailers
	Body   []byte            // its first MiB
	Bytes  int               // of the whole body
}

// Wait waits for the call's end. A call that was reset, or whose connection ended,
// is an error.
func (s *Stream) Wait() (Answer, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for !s.ended && s.reset == nil && c.err == nil {
		c.changed.Wait()
	}
	switch {
	case s.ended:
		return Answer{Header: s.header, Body: s.body, Bytes: s.got}, nil
	case s.reset != nil:
		return Answer{}, s.reset
	}
	return Answer{}, c.err
}

// Begun waits until the call's answer has begun or the call has ended.
func (s *Stream) Begun() error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.header) == 0 && !s.ended && s.reset == nil && c.err == nil {
		c.changed.Wait()
	}
	if s.reset != nil {
		return s.reset
	}
	return c.err
}

// read notes what the gateway sends, to the connection's end.
func (c *Conn) read() {
	for {
		f, err := c.framer.ReadFrame()
		if _, only := errors.AsType[http2.StreamError](err); only {
			continue
		}
		if err == nil {
			err = c.note(f)
		}
		if err != nil {
			c.mu.Lock()
			if c.err == nil {
				c.err = fmt.Errorf("the connection ended: %w", err)
			}
			c.changed.Broadcast()
			c.mu.Unlock()
			_ = c.net.Close()
			return
		}
	}
}

func (c *Conn) note(f http2.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	s := c.streams[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.noteSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.reply(func() error { return c.framer.WritePing(true, f.Data) })
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.conn += int64(f.Increment)
		} else if s != nil {
			s.window += int64(f.Increment)
		}
	case *http2.GoAwayFrame:
		c.err = fmt.Errorf("the gateway ended the connection: %v %s", f.ErrCode, f.DebugData())
	}
	if s == nil {
		return nil
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		for _, h := range f.Fields {
			s.header[h.Name] = h.Value
		}
		s.ended = s.ended || f.StreamEnded()
	case *http2.DataFrame:
		s.got += len(f.Data())
		s.body = append(s.body, f.Data()[:min(len(f.Data()), keep-len(s.body))]...)
		s.ended = s.ended || f.StreamEnded()
		if n := f.Length; n > 0 && !c.how.Closed {
			return c.reply(func() error {
				return errors.Join(c.framer.WriteWindowUpdate(0, n), c.framer.WriteWindowUpdate(s.ID, n))
			})
		}
	case *http2.RSTStreamFrame:
		s.reset = fmt.Errorf("the gateway reset the call: %v", f.ErrCode)
	}
	return nil
}

// reply writes frames, while what is noted is not guarded: others may hold the
// framer and wait for it.
func (c *Conn) reply(write func() error) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	c.writing.Lock()
	defer c.writing.Unlock()
	return errors.Join(write(), c.out.Flush())
}

func (c *Conn) noteSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, s := range c.streams {
			s.window += int64(v) - c.initial
		}
		c.initial = int64(v)
	}
	if v, ok := f.Value(http2.SettingMaxFrameSize); ok {
		c.frame = int(v)
	}
	return c.reply(c.framer.WriteSettingsAck)
}
