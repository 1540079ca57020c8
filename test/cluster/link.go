package cluster

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// link is the way from one part of the cluster to another: it listens where the
// one dials, and dials where the other listens. What it passes can be held up,
// delayed and cut. It is safe for concurrent use.
type link struct {
	name     string
	listener net.Listener
	up, down *gate // towards the target, and back

	mu     sync.Mutex
	target string // "" for none: what dials is reset
	conns  map[net.Conn]struct{}
	closed bool
	all    sync.WaitGroup
}

// newLink listens on a free port of an address of this machine.
func newLink(name, host string) (*link, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	k := &link{name: name, listener: l, up: newGate(), down: newGate(), conns: map[net.Conn]struct{}{}}
	k.all.Go(k.accept)
	return k, nil
}

// address is where the link listens.
func (k *link) address() string { return k.listener.Addr().String() }

// point has new connections go to target.
func (k *link) point(target string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.target = target
}

// hold passes nothing from now on, in one direction or both. Connections stay,
// and what is sent waits, as in a network whose packets are lost and sent again.
func (k *link) hold(up, down bool) {
	if up {
		k.up.shut()
	}
	if down {
		k.down.shut()
	}
}

// pass passes what was held, and all that comes.
func (k *link) pass() {
	k.up.open()
	k.down.open()
}

// slow delays what passes; zero does not.
func (k *link) slow(by time.Duration) {
	k.up.delay(by)
	k.down.delay(by)
}

// reset ends all connections at once, and drops what was held.
func (k *link) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		abort(c)
	}
}

// heal has the link pass all, without delay.
func (k *link) heal() {
	k.slow(0)
	k.pass()
}

// close ends the link and waits for what it did.
func (k *link) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	_ = k.listener.Close()
	k.reset()
	k.heal()
	k.all.Wait()
}

func (k *link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return
		}
		if k.keep(c) {
			k.all.Go(func() { k.join(c) })
		}
	}
}

// keep notes a connection, so that it can be reset.
func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		abort(c)
		return false
	}
	k.conns[c] = struct{}{}
	return true
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
	_ = c.Close() // it may have been closed
}

// join passes what comes on a connection to one of its own, and back.
func (k *link) join(near net.Conn) {
	defer k.drop(near)
	k.up.wait() // a connection needs both
	k.down.wait()
	k.mu.Lock()
	target := k.target
	k.mu.Unlock()
	far, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", target)
	if err != nil {
		abort(near)
		return
	}
	if !k.keep(far) {
		return
	}
	defer k.drop(far)
	back := make(chan struct{})
	go func() {
		defer close(back)
		k.pump(near, far, k.down)
	}()
	k.pump(far, near, k.up)
	<-back
}

// pump copies from one connection to another through a gate, the end included.
func (k *link) pump(to, from net.Conn, g *gate) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.wait()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				abort(from)
				return
			}
		}
		switch {
		case err == io.EOF:
			if c, ok := to.(*net.TCPConn); ok {
				_ = c.CloseWrite() // the other end may be gone
			}
			return
		case err != nil:
			abort(to)
			return
		}
	}
}

// abort resets a connection.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it may have been closed
	}
	_ = c.Close()
}
