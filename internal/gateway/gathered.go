package gateway

import (
	"io"
	"sync"
	"time"
)

// A line of the log waits at most logDelay for others, so that a busy gateway
// makes one system call for many; a full buffer does not wait.
const (
	logDelay  = 100 * time.Millisecond
	logBuffer = 32 << 10
)

// gathered is a writer that writes some time later. It is safe for concurrent
// use.
type gathered struct {
	to io.Writer

	mu    sync.Mutex
	buf   []byte
	timer *time.Timer
}

func newGathered(to io.Writer) *gathered { return &gathered{to: to, buf: make([]byte, 0, logBuffer)} }

// Write keeps one line, which is never torn. Nobody reads the error of a log.
func (g *gathered) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.buf)+len(line) > logBuffer {
		g.flush()
	}
	if len(g.buf) == 0 {
		g.arm()
	}
	g.buf = append(g.buf, line...)
	return len(line), nil
}

func (g *gathered) arm() {
	if g.timer == nil {
		g.timer = time.AfterFunc(logDelay, g.Flush)
		return
	}
	g.timer.Reset(logDelay)
}

// Flush writes what waits.
func (g *gathered) Flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
}

func (g *gathered) flush() {
	if len(g.buf) > 0 {
		_, _ = g.to.Write(g.buf) // there is nobody to tell
		g.buf = g.buf[:0]
	}
}
