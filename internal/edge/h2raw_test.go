package edge_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// rawH2 is an HTTP/2 client that sends what no library would.
type rawH2 struct {
	t       *testing.T
	address string
	conn    net.Conn
	framer  *http2.Framer
	stream  uint32
	block   bytes.Buffer
	enc     *hpack.Encoder
}

// rawAnswer is what came back on a stream: header and trailer in one.
type rawAnswer struct {
	fields map[string]string
	body   string
	blocks int // of headers
	reset  bool
}

func newRawH2(t *testing.T, address string) *rawH2 {
	t.Helper()
	c := &rawH2{t: t, address: address}
	t.Cleanup(c.close)
	return c
}

func (c *rawH2) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *rawH2) dial() {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.stream = conn, 1 // the first is 3
	_, _ = io.WriteString(conn, http2.ClientPreface)
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	_ = c.framer.WriteSettings()
	_ = c.framer.WriteWindowUpdate(0, 1<<30) // for all answers together
}

// do sends a request of "name", "value" pairs and reads to the end of its
// stream. A connection that the server ended is dialled anew for the next.
func (c *rawH2) do(body string, fields ...string) rawAnswer {
	c.t.Helper()
	if c.conn == nil {
		c.dial()
	}
	_ = c.conn.SetDeadline(time.Now().Add(gatewaytest.Patience)) // for each request: there are thousands
	c.stream += 2
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: body == ""})
	if body != "" {
		_ = c.framer.WriteData(c.stream, true, []byte(body))
	}
	return c.read()
}

func (c *rawH2) read() rawAnswer {
	c.t.Helper()
	got := rawAnswer{fields: map[string]string{}}
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			c.close()
			got.reset = true
			return got
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != c.stream {
				continue
			}
			got.blocks++
			for _, h := range f.Fields {
				got.fields[h.Name] = strings.TrimPrefix(got.fields[h.Name]+"|"+h.Value, "|")
			}
			if f.StreamEnded() {
				return got
			}
		case *http2.DataFrame:
			if f.StreamID != c.stream {
				continue
			}
			got.body += string(f.Data())
			if f.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == c.stream {
				got.reset = true
				return got
			}
		}
	}
}
