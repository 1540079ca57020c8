package hostile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// startLimit bounds how long a gateway takes to serve, on a machine that is busy.
	startLimit = time.Minute
	// stopLimit bounds how long it takes to end, attacked as it is.
	stopLimit = 5 * time.Second
)

// process is one gateway.
type process struct {
	cmd               *exec.Cmd
	http, grpc, admin string
	config            string        // the file
	ended             chan struct{} // closed when the process has ended
	state             error         // how, written before that

	out    *os.File      // what it writes
	read   chan struct{} // closed when that has been read to its end
	asleep atomic.Bool   // nobody reads what it writes until it has ended
	awake  chan struct{} // closed then
	wrote  atomic.Int64  // bytes that were read

	mu   sync.Mutex
	tail []string // the last lines that it wrote
}

// startGateway starts a gateway with the attack's configuration and waits until it
// serves.
func startGateway(binary, dir string, a Attack, backends []*Backend) (*process, error) {
	path := filepath.Join(dir, "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(a.configuration(backends)), 0o600); err != nil {
		return nil, err
	}
	const free = "127.0.0.1:0"
	command := []string{binary, "serve", "--config", path, "--http", free, "--grpc", free, "--admin", free}
	if a.Files > 0 {
		command = append([]string{"/bin/sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(a.Files)}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // the binary under test, ended by stop
	cmd.Env = append(os.Environ(), a.Env...)
	if a.MemoryLimit > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", a.MemoryLimit))
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = in, in, dieWithParent()
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	p := &process{cmd: cmd, config: path, out: out, ended: make(chan struct{}), read: make(chan struct{}), awake: make(chan struct{})}
	serving := make(chan struct{})
	go p.follow(serving)
	go func() {
		defer close(p.ended)
		p.state = cmd.Wait()
	}()
	late := time.NewTimer(startLimit)
	defer late.Stop()
	select {
	case <-serving:
		return p, nil
	case <-p.ended:
		err = errors.New("it ended")
	case <-late.C:
		err = fmt.Errorf("it did not say so within %v", startLimit)
	}
	_ = cmd.Process.Kill()
	<-p.read
	return nil, fmt.Errorf("the gateway does not serve: %w; it wrote:\n%s", err, p.said())
}

const tailLines = 40

// follow reads what the gateway writes to its end, and its addresses from it.
func (p *process) follow(serving chan<- struct{}) {
	defer close(p.read)
	defer func() { _ = p.out.Close() }()
	lines := bufio.NewScanner(p.out)
	lines.Buffer(nil, 1<<20)
	for served := false; lines.Scan(); {
		if p.asleep.Load() {
			<-p.awake
		}
		p.wrote.Add(int64(len(lines.Bytes()) + 1))
		p.mu.Lock()
		if p.tail = append(p.tail, lines.Text()); len(p.tail) > tailLines {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
		var entry struct{ Msg, HTTP, GRPC, Admin string }
		if !served && json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
			p.http, p.grpc, p.admin = entry.HTTP, entry.GRPC, entry.Admin
			served = true
			close(serving)
		}
	}
	_, _ = io.Copy(io.Discard, p.out) // should a line be too long
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// stop ends the gateway. It fails if the gateway had ended by itself.
func (p *process) stop() error {
	var err error
	alone := false // it ended without being asked
	select {
	case <-p.ended:
		alone = true
	default:
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	kill := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	killed := !kill.Stop()
	if p.asleep.Load() {
		close(p.awake)
		if killed {
			err = fmt.Errorf("SIGTERM did not end it within %v", stopLimit)
		}
	}
	<-p.read
	if alone {
		return fmt.Errorf("the gateway ended during the attack: %w; it wrote:\n%s", p.state, p.said())
	}
	if said := p.said(); strings.Contains(said, "fatal error:") || strings.Contains(said, "panic:") {
		return fmt.Errorf("the gateway ended badly; it wrote:\n%s", said)
	}
	return err
}
