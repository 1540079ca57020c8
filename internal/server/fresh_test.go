package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// silent connects to both listeners and sends nothing. It returns when the
// gateway has accepted: whoever came later has an answer.
func silent(t *testing.T, g *gatewaytest.Gateway, addresses ...string) []net.Conn {
	t.Helper()
	var all []net.Conn
	for _, address := range addresses {
		all = append(all, connect(t, address))
	}
	gatewaytest.Do(t, gatewaytest.Client(t, func(tr *http.Transport) { tr.DisableKeepAlives = true }), g.Request(t, "GET", "/v1/products/boots", ""))
	cc := gatewaytest.Dial(t, g.GRPC, nil)
	if _, err := catalogv1.NewCatalogServiceClient(cc).GetProduct(t.Context(), new(catalogv1.GetProductRequest)); err != nil {
		t.Fatal(err)
	}
	_ = cc.Close()
	return all
}

// refusing waits until the gateway takes no new connections.
func refusing(t *testing.T, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		gatewaytest.Eventually(t, "no more connections", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
	}
}

// TestDrainAnswersFirstRequests: who has connected before the gateway was asked
// to end, and speaks after, has an answer, and knows that it is the last.
func TestDrainAnswersFirstRequests(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking)))
	all := silent(t, g, g.HTTP, g.HTTP, g.GRPC)
	g.Stop()
	refusing(t, g.HTTP, g.GRPC)
	if _, err := io.WriteString(all[0], "GET /v1/products/boots HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(all[0]), nil)
	if err != nil {
		t.Fatalf("HTTP/1.1: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || !resp.Close {
		t.Errorf("HTTP/1.1: status %d, last: %v", resp.StatusCode, resp.Close)
	}
	for name, c := range map[string]net.Conn{"HTTP/2": all[1], "native gRPC": all[2]} {
		if status, last := overHTTP2(t, c); status != "200" || !last {
			t.Errorf("%s: status %q, last: %v", name, status, last)
		}
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

// TestDrainAnswersFirstRequestsOverTLS: the same behind a handshake, be it made
// before or after the gateway was asked to end.
func TestDrainAnswersFirstRequestsOverTLS(t *testing.T) {
	t.Parallel()
	a := gatewaytest.NewAuthority(t)
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), secured(a, "", 0)))
	over := func(protocol string) *tls.Conn {
		return tls.Client(connect(t, g.HTTP), &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1", NextProtos: []string{protocol}})
	}
	late, shaken, h2 := over("http/1.1"), over("http/1.1"), over("h2")
	for _, c := range []*tls.Conn{shaken, h2} { // the gateway has accepted late before these
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
	}
	g.Stop()
	refusing(t, g.HTTP)
	for name, c := range map[string]*tls.Conn{"after the handshake": shaken, "before the handshake": late} {
		if _, err := io.WriteString(c, "GET /v1/products/boots HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !resp.Close {
			t.Errorf("%s: status %d, last: %v", name, resp.StatusCode, resp.Close)
		}
	}
	if status, last := overHTTP2(t, h2); status != "200" || !last {
		t.Errorf("HTTP/2: status %q, last: %v", status, last)
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

// overHTTP2 makes a gRPC call on a connection that is not in use yet, and reads
// to its end.
func overHTTP2(t *testing.T, c net.Conn) (status string, goAway bool) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(gatewaytest.Patience))
	_, _ = io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = fr.WriteSettings()
	var block strings.Builder
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", getProduct}, {":authority", "shop"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true})
	_ = fr.WriteData(1, true, make([]byte, 5)) // one empty message
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return status, goAway
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if status == "" {
				status = f.PseudoValue("status")
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = fr.WritePing(true, f.Data)
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			goAway = true
			if status != "" {
				return status, goAway
			}
		}
	}
}

// TestDrainTellsKeptConnections: a connection that a client keeps is not closed
// under a request of its own; the answer says that it was the last.
func TestDrainTellsKeptConnections(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), func(c *configv1.Config) {
		c.Drain = &configv1.Drain{Timeout: durationpb.New(gatewaytest.Patience), Delay: durationpb.New(3 * time.Second)}
	}))
	c := connect(t, g.HTTP)
	r := bufio.NewReader(c)
	ask := func() (status int, last bool) {
		if _, err := io.WriteString(c, "GET /v1/products/boots HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Close
	}
	if status, last := ask(); status != 200 || last {
		t.Fatalf("status %d, last: %v", status, last)
	}
	g.Stop()
	gatewaytest.Eventually(t, "the drain", func() bool { return strings.Contains(g.Log.String(), "msg=draining") })
	if status, last := ask(); status != 200 || !last {
		t.Errorf("status %d, last: %v", status, last)
	}
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
}

// TestDrainEndsSilentConnections: those who connect and say nothing do not hold
// it up for ever, whatever the timeout.
func TestDrainEndsSilentConnections(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, taking), func(c *configv1.Config) {
		c.Drain = &configv1.Drain{Timeout: durationpb.New(10 * time.Minute)}
		c.Limits = &configv1.Limits{HeaderTimeout: durationpb.New(time.Second)}
	}))
	all := silent(t, g, g.HTTP, g.GRPC, g.Admin)
	g.Stop()
	if err := g.Wait(t); err != nil {
		t.Error(err)
	}
	for i, c := range all {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d is open", i)
		}
	}
}
