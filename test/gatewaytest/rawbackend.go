package gatewaytest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Frames writes HTTP/2 frames to one stream of a backend's.
type Frames struct {
	*http2.Framer
	Conn   net.Conn
	Stream uint32

	enc *hpack.Encoder
	buf *bytes.Buffer
}

// Headers writes a header block of "name", "value" pairs.
func (f *Frames) Headers(end bool, pairs ...string) {
	f.buf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.Stream, BlockFragment: f.buf.Bytes(), EndHeaders: true, EndStream: end})
}

// Begin writes the headers with which every gRPC answer begins.
func (f *Frames) Begin() { f.Headers(false, ":status", "200", "content-type", "application/grpc") }

// End writes the trailers of a call that went well.
func (f *Frames) End() { f.Headers(true, "grpc-status", "0") }

// Message writes b as one message, length and all.
func (f *Frames) Message(b []byte) {
	n := len(b)
	_ = f.WriteData(f.Stream, false, append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...))
}

// FrameBackend is a server that speaks HTTP/2 well and then does with each
// request what answer says, frame by frame.
func FrameBackend(t testing.TB, answer func(*Frames)) string {
	t.Helper()
	return RawBackend(t, func(c net.Conn) { serveFrames(c, answer) })
}

// RawBackend gives each connection to serve, and closes it after that or when
// the test ends.
func RawBackend(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l := Listen(t)
	var mu sync.Mutex
	var open []net.Conn
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

func serveFrames(c net.Conn, answer func(*Frames)) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	fr := http2.NewFramer(c, c)
	if fr.WriteSettings() != nil {
		return
	}
	buf := new(bytes.Buffer)
	out := &Frames{Framer: fr, Conn: c, buf: buf, enc: hpack.NewEncoder(buf)}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = fr.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			if f.StreamEnded() {
				out.Stream = f.StreamID
				answer(out)
			}
		}
	}
}
