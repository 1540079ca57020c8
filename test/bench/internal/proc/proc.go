// Package proc runs the programs under measurement, each in a process of its
// own, and asks the kernel what they cost. It needs Linux.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running program. Its methods are safe for concurrent use.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output string
	done   chan struct{}
}

// stopWithin is how long a program may take to end when it is asked to.
const stopWithin = 5 * time.Second

// Start runs a program whose output goes to the file output. name stands for
// it in errors. The kernel kills it if this process dies.
func Start(name, output, program string, args ...string) (*Process, error) {
	f, err := os.Create(output)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	cmd := exec.CommandContext(context.Background(), program, args...) // Stop ends it, after its cost has been read
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, output: output, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Errorf makes an error that ends with the last lines of what the program
// wrote, which mostly tell why.
func (p *Process) Errorf(format string, args ...any) error {
	err := fmt.Errorf(p.name+": "+format, args...)
	if tail := p.tail(); tail != "" {
		return fmt.Errorf("%w; its last words:\n%s", err, tail)
	}
	return err
}

func (p *Process) tail() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// Stop asks the program to end, kills it if it does not, and waits for it.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Reload asks the program to read its configuration anew.
func (p *Process) Reload() { _ = p.cmd.Process.Signal(syscall.SIGHUP) }

// CPU is the processor time that the program has used until now: user and
// system, all its threads, those that have ended too. It is read from the
// process's CPU-time clock (clock_getcpuclockid(3)), for which the scheduler
// counts nanoseconds; /proc/PID/stat would count ticks of 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(p.cmd.Process.Pid), &ts); err != nil {
		return 0, p.Errorf("read its CPU clock: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// cpuClock is the kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
func cpuClock(pid int) int32 {
	const sched = 2
	return int32(^pid<<3 | sched)
}

// Peak is the most memory that the program has had resident until now, in
// bytes (VmHWM).
func (p *Process) Peak() (int64, error) {
	return p.memory("VmHWM")
}

// Resident is the memory that the program has resident now, in bytes (VmRSS).
func (p *Process) Resident() (int64, error) {
	return p.memory("VmRSS")
}

func (p *Process) memory(field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, p.Errorf("read its memory: %w", err)
	}
	n, err := ParseMemory(b, field)
	if err != nil {
		return 0, p.Errorf("read its memory: %w", err)
	}
	return n, nil
}

// ParseMemory finds a field such as VmHWM in the text of /proc/PID/status and returns
// it in bytes.
func ParseMemory(status []byte, field string) (int64, error) {
	s := bufio.NewScanner(bytes.NewReader(status))
	for s.Scan() {
		value, ok := strings.CutPrefix(s.Text(), field+":")
		if !ok {
			continue
		}
		kib, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(kib, 10, 64)
		if !ok || err != nil {
			return 0, fmt.Errorf("%s is %q: want a number of kB", field, value)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("no %s: has the process ended?", field)
}

// Await asks again and again, until asking succeeds, the program ends, the time
// within is over or ctx ends. The error of the latter is what was said last.
func (p *Process) Await(ctx context.Context, within, every time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-p.done:
			return fmt.Errorf("it has ended: %s", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}
