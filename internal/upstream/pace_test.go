package upstream_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// TestConnectionsThatBreakAtOnce: a server that ends each connection as soon as it is
// ready is not connected to without end, and is found again once it is well.
func TestConnectionsThatBreakAtOnce(t *testing.T) {
	const (
		seconds = 60
		atMost  = 60 // one a second, with what grpc-go adds by chance
		atLeast = 10
	)
	for name, end := range map[string]func(*http2.Framer) error{
		"goodbye": func(f *http2.Framer) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"nothing": func(*http2.Framer) error { return nil },
		"garbage": func(f *http2.Framer) error { return f.WriteRawFrame(http2.FrameData, 0, 0, []byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var connected atomic.Int64
				var well atomic.Bool
				var servers sync.WaitGroup
				defer servers.Wait()
				good := &named{Listener: bufconn.Listen(1 << 16), name: "a:1"}
				b := newBackend(t, good)
				dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					if well.Load() {
						return good.DialContext(ctx)
					}
					near, far := net.Pipe()
					servers.Go(func() {
						if greeted(far) && connected.Add(1) <= atMost { // more are not answered, so that time passes
							breakAtOnce(far, end)
						}
					})
					return near, nil
				})
				o := options([]*backend{b})
				o.Dial = []grpc.DialOption{dialer}
				up := dial(t, o)
				defer up.Close()
				time.Sleep(seconds * time.Second)
				if n := connected.Load(); n > atMost || n < atLeast {
					t.Errorf("%d connections in %d seconds, want %d to %d", n, seconds, atLeast, atMost)
				}
				well.Store(true)
				wait(t, up, 1)
				if err := send(t.Context(), up); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// greeted reports whether a client speaks HTTP/2.
func greeted(c net.Conn) bool {
	_, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
	return err == nil
}

// breakAtOnce is a server that ends a connection when it is ready.
func breakAtOnce(c net.Conn, end func(*http2.Framer) error) {
	defer func() { _ = c.Close() }()
	go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the connection
	f := http2.NewFramer(c, nil)
	if f.WriteSettings() == nil && f.WriteSettingsAck() == nil && end(f) == nil {
		time.Sleep(time.Millisecond) // until the client has seen it
	}
}
