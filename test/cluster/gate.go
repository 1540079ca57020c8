package cluster

import (
	"sync"
	"time"
)

// gate is one direction of a link. It is safe for concurrent use.
type gate struct {
	mu   sync.Mutex
	free chan struct{} // closed while the gate is open
	late time.Duration
}

func newGate() *gate {
	g := &gate{free: make(chan struct{})}
	close(g.free)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.free:
		g.free = make(chan struct{})
	default: // it is
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.free: // it is
	default:
		close(g.free)
	}
}

func (g *gate) delay(by time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.late = by
}

// wait returns when something may pass.
func (g *gate) wait() {
	g.mu.Lock()
	late := g.late
	g.mu.Unlock()
	if late > 0 {
		<-time.After(late)
	}
	g.mu.Lock()
	free := g.free
	g.mu.Unlock()
	<-free
}
