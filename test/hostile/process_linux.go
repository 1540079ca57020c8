package hostile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Measurable tells whether this system can measure another process.
const Measurable = true

// dieWithParent has a process end with this one, whichever way that ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// cpuOf returns the processor time that a process has taken, to the nanosecond:
// the clock of the process that clock_getcpuclockid(3) names.
func cpuOf(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the processor time of %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// resident returns the memory that a process holds, and the most that it held
// since forgetPeak, in bytes.
func resident(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &now, "VmHWM": &peak}[name]
		if into == nil {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*into = kilobytes << 10
	}
	if peak == 0 {
		return 0, 0, fmt.Errorf("process %d has ended", pid)
	}
	return now, peak, nil
}

// forgetPeak has the peak begin at what the process holds now.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// smallBuffer has the system hold little of what a connection's reader does not
// take.
func smallBuffer(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	return errors.Join(err, failed)
}
