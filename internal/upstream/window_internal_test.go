package upstream

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"golang.org/x/net/http2"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// FuzzWindowConn writes and reads frames in parts of any size, and wants them to be
// treated like whole ones.
func FuzzWindowConn(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Add([]byte{24, 8, 1, 200, 3})
	f.Fuzz(func(t *testing.T, parts []byte) {
		for name, held := range map[string]int64{"room": 0, "no room": 1 << 20} {
			out := play(t, held, parts)
			want := []string{
				"SETTINGS 4=98304", "SETTINGS ack", "WINDOW_UPDATE 0 4000000",
				"HEADERS 1 false", "CONTINUATION 1 true",
				"DATA 1 1000", "HEADERS 3 true", "WINDOW_UPDATE 1 24600",
			}
			if held == 0 {
				want = append(want, "WINDOW_UPDATE 3 200000")
			} else {
				want = append(want, "SETTINGS 4=24576")
			}
			want = append(want, "RST_STREAM 1", "DATA 3 20")
			if slices.Sort(want); !slices.Equal(out, want) {
				t.Errorf("%s, in parts of %v: got %q, want %q", name, parts, out, want)
			}
		}
	})
}

// play writes the frames of a client and reads those of a server, and returns what went
// out, sorted: where windows are opened and made smaller depends on the parts.
func play(t *testing.T, held int64, parts []byte) (out []string) {
	t.Helper()
	m := memory.New(memory.Limits{Process: 1 << 20, Calls: 1})
	if held > 0 { // and a call runs, which is much
		var other memory.Share
		other.Open(m.NewClient(), nil)
		other.Hold(held)
		_ = m.Admit(&other, 0)
	}
	raw := &wire{in: serverFrames()}
	c := newWindowConn(raw, m)
	b := clientFrames()
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(parts) > 0 {
			n = min(n, int(parts[i%len(parts)])+1)
		}
		if _, err := c.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, n)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil { // grpc-go may ask for more of a stream that has ended
		t.Fatal(err)
	}
	if got := m.Held(); got != held {
		t.Errorf("%d bytes are held, want %d", got, held)
	}
	return described(t, raw.out.Bytes()[len(http2.ClientPreface):])
}

func clientFrames() []byte {
	var b bytes.Buffer
	_, _ = b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow})
	_ = f.WriteSettingsAck()
	_ = f.WriteWindowUpdate(0, 4_000_000)
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("headers")})
	_ = f.WriteContinuation(1, true, make([]byte, 300))
	_ = f.WriteData(1, false, make([]byte, 1000))
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndHeaders: true, BlockFragment: []byte("headers")})
	_ = f.WriteWindowUpdate(1, 24_600)
	_ = f.WriteWindowUpdate(3, 200_000)
	_ = f.WriteRSTStream(1, http2.ErrCodeCancel)
	_ = f.WriteData(3, true, make([]byte, 20))
	return b.Bytes()
}

// serverFrames are such that the large answer ends before it is whole.
func serverFrames() *bytes.Buffer {
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	_ = f.WriteSettings()
	for range 4 {
		_ = f.WriteData(3, false, make([]byte, 16_000))
	}
	_ = f.WriteRSTStream(3, http2.ErrCodeInternal)
	return &b
}

// described tells of each frame what matters. An illegal order is an error.
func described(t *testing.T, frames []byte) (out []string) {
	t.Helper()
	f := http2.NewFramer(nil, bytes.NewReader(frames))
	for {
		frame, err := f.ReadFrame()
		if err == io.EOF {
			slices.Sort(out)
			return out
		}
		if err != nil {
			t.Fatalf("after %q: %v", out, err)
		}
		h, what := frame.Header(), ""
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			what = "SETTINGS ack"
			if v, ok := frame.Value(http2.SettingInitialWindowSize); ok {
				what = fmt.Sprintf("SETTINGS %d=%d", http2.SettingInitialWindowSize, v)
			}
		case *http2.WindowUpdateFrame:
			what = fmt.Sprintf("%v %d %d", h.Type, h.StreamID, frame.Increment)
		case *http2.DataFrame:
			what = fmt.Sprintf("%v %d %d", h.Type, h.StreamID, h.Length)
		case *http2.HeadersFrame:
			what = fmt.Sprintf("%v %d %v", h.Type, h.StreamID, frame.HeadersEnded())
		case *http2.ContinuationFrame:
			what = fmt.Sprintf("%v %d %v", h.Type, h.StreamID, frame.HeadersEnded())
		default:
			what = fmt.Sprintf("%v %d", h.Type, h.StreamID)
		}
		out = append(out, what)
	}
}

// wire is a connection that keeps what is written.
type wire struct {
	net.Conn

	in  *bytes.Buffer
	out bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error)  { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error) { return w.out.Write(b) }
func (w *wire) Close() error                { return nil }
