package conformance

import (
	"bytes"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// grace is how long a process may take to end after SIGTERM before it is
// killed. It is less than the runner's own patience with a server (5 s), so
// that an adapter never leaves a process behind.
const grace = 4 * time.Second

// process is a started command that ends with its context.
type process struct {
	name   string
	output *output
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended; read after done
}

// start starts a command, to end with SIGTERM when the command's context does.
// What it writes to standard error goes to out, and to standard output too if
// the caller has not set that.
func start(cmd *exec.Cmd, out *output) (*process, error) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	cmd.Stderr = out
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: cmd.Path, output: out, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		if cmd.ProcessState.Success() {
			p.err = nil // else it is the context's, though that only asked it to end
		}
	}()
	return p, nil
}

// failed tells how a process ended, with what it last wrote to standard error.
func (p *process) failed() error {
	if p.err == nil {
		return fmt.Errorf("%s ended early: %v", p.name, p.output)
	}
	return fmt.Errorf("%s ended early: %w: %v", p.name, p.err, p.output)
}

// output keeps the last few kilobytes written to it, and shows each line to a
// function. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text []byte
	rest []byte // of a line without its end
	line func([]byte)
}

const outputSize = 8 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	o.text = o.text[max(0, len(o.text)-outputSize):]
	if o.line == nil {
		return len(b), nil
	}
	o.rest = append(o.rest, b...)
	for {
		line, rest, whole := bytes.Cut(o.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		o.line(line)
		o.rest = rest
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.text))
}
