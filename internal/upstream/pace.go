package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// grpc-go waits between attempts to connect that fail, but connects again at once
// when a connection that was ready has ended. So a server that takes connections and
// ends each at once (it drains, or speaks HTTP/2 badly) is connected to a thousand
// times a second.
const (
	// lasting is how long a connection of use lasts, or how many bytes come on it: some
	// servers end connections after a thousand requests, however soon that is.
	lasting      = time.Second
	lastingBytes = 16 << 10
	// freeBreaks are how many connections in a row may break before the next one is not begun.
	freeBreaks = 3
	firstPause = 100 * time.Millisecond
	// breakMemory is how long it counts that a connection broke.
	breakMemory = 10 * time.Second
	// maxBreaking bounds the addresses that are known.
	maxBreaking = 1024
)

var errBreaks = errors.New("its connections end as soon as they are ready")

// pace has connections to a replica fail while its connections break at once.
type pace struct {
	mu     sync.Mutex
	breaks map[string]breaks // by address; of those that have had no lasting one since
}

// breaks are connections in a row that broke.
type breaks struct {
	count int
	last  time.Time
}

// isTooSoon reports whether it is too soon to connect to an address again.
func (p *pace) isTooSoon(address string) bool {
	p.mu.Lock()
	b := p.breaks[address]
	p.mu.Unlock()
	const doublings = 5 // beyond maxRetryDelay
	over := b.count - freeBreaks
	return over >= 0 && time.Since(b.last) < min(firstPause<<min(over, doublings), maxRetryDelay)
}

// ended learns how a connection was.
func (p *pace) ended(address string, broke bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !broke {
		delete(p.breaks, address)
		return
	}
	if p.breaks == nil || len(p.breaks) >= maxBreaking {
		p.breaks = map[string]breaks{}
	}
	b, now := p.breaks[address], time.Now()
	if now.Sub(b.last) > breakMemory {
		b.count = 0
	}
	p.breaks[address] = breaks{b.count + 1, now}
}

// paced are credentials whose handshakes keep the pace, and whose connections leave large
// answers at the backend until there is room.
type paced struct {
	credentials.TransportCredentials

	pace   *pace
	memory *memory.Process // nil: there is always room
}

// ClientHandshake fails where it is too soon: then grpc-go waits, and calls fail.
func (c paced) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	address := raw.RemoteAddr().String()
	if c.pace.isTooSoon(address) {
		return nil, nil, errBreaks
	}
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	conn = &pacedConn{Conn: conn, pace: c.pace, address: address, began: time.Now()}
	return newWindowConn(conn, c.memory), info, nil
}

// Clone makes a copy that keeps the same pace.
func (c paced) Clone() credentials.TransportCredentials {
	return paced{c.TransportCredentials.Clone(), c.pace, c.memory}
}

// UsesXDS is how grpc-go asks whether a mesh may say how connections are secured.
func (c paced) UsesXDS() bool {
	mesh, ok := c.TransportCredentials.(interface{ UsesXDS() bool })
	return ok && mesh.UsesXDS()
}

// pacedConn tells how it was when it ends.
type pacedConn struct {
	net.Conn

	pace    *pace
	address string
	began   time.Time
	came    atomic.Int64 // bytes
	closed  atomic.Bool
}

func (c *pacedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.came.Add(int64(n))
	return n, err
}

func (c *pacedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.pace.ended(c.address, time.Since(c.began) < lasting && c.came.Load() < lastingBytes)
	}
	return c.Conn.Close()
}
