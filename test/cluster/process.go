package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit bounds how long a process takes to say that it serves, on a machine
// that is busy.
const startLimit = time.Minute

// process is a part of the cluster that can be killed and started again. Its
// methods are for one goroutine at a time.
type process struct {
	name    string
	command func() (*exec.Cmd, error) // anew for each start
	// serving looks for what says that the process serves, and takes from it where.
	serving func(line string) bool

	cmd    *exec.Cmd // nil while it does not run
	paused bool
	read   chan struct{} // closed when its output has ended

	mu   sync.Mutex
	tail []string // the last lines of all its lives
	bad  []string // lines that no process may write
}

// start starts the process and waits until it serves.
func (p *process) start() error {
	cmd, err := p.command()
	if err != nil {
		return err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = dieWithParent()
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.read = cmd, make(chan struct{})
	ready := make(chan struct{})
	go p.follow(out, ready, p.read)
	late := time.NewTimer(startLimit)
	defer late.Stop()
	select {
	case <-ready:
		return nil
	case <-p.read:
		err = errors.New("it ended")
	case <-late.C:
		err = fmt.Errorf("it did not say so within %v", startLimit)
	}
	p.kill()
	return fmt.Errorf("%s does not serve: %w; it wrote:\n%s", p.name, err, p.said())
}

// follow reads what the process writes, to its end.
func (p *process) follow(out io.ReadCloser, ready, read chan<- struct{}) {
	defer close(read)
	defer func() { _ = out.Close() }()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for served := false; lines.Scan(); {
		p.note(lines.Text())
		if !served && p.serving(lines.Text()) {
			served = true
			close(ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // should a line be too long
}

const tailLines = 60

func (p *process) note(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tail = append(p.tail, line); len(p.tail) > tailLines {
		p.tail = p.tail[1:]
	}
	for _, sign := range [...]string{"DATA RACE", "panic:", "panic recovered", "fatal error:"} {
		if strings.Contains(line, sign) {
			p.bad = append(p.bad, p.name+" wrote: "+line)
		}
	}
}

// said is the end of what the process wrote.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// misbehaved is what it should never have written.
func (p *process) misbehaved() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
	<-p.read
	p.cmd, p.paused = nil, false
}

// pause has the process do nothing, with its connections open.
func (p *process) pause() error {
	p.paused = true
	return p.cmd.Process.Signal(syscall.SIGSTOP)
}

// resume has it go on.
func (p *process) resume() error {
	p.paused = false
	return p.cmd.Process.Signal(syscall.SIGCONT)
}

// heal has the process run, whatever was done to it.
func (p *process) heal() error {
	if p.cmd == nil {
		return p.start()
	}
	if p.paused {
		return p.resume()
	}
	return nil
}
