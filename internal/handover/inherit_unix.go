//go:build unix

package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// inherit reads the environment. What is meant for another process is nothing.
func inherit(env func(string) string) (*Inheritance, error) {
	i := new(Inheritance)
	linkFD, err := i.readLink(env(envLink))
	if err != nil {
		return nil, err
	}
	if !i.handed && env(envPID) != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, err := strconv.Atoi(env(envFDs))
	if err != nil || count < 0 {
		return nil, fmt.Errorf("%s=%q: want a number of sockets", envFDs, env(envFDs))
	}
	passed := strings.Split(env(envNames), ":")
	for n := range count {
		name := ""
		if n < len(passed) {
			name = passed[n]
		}
		if err := i.add(firstFD+n, name); err != nil {
			return nil, errors.Join(err, i.Rest())
		}
	}
	if i.handed {
		err = i.connect(linkFD)
	}
	return i, err
}

// readLink reads PID:FD. Another parent's is nothing: the variable has come down
// to a process that it was not meant for.
func (i *Inheritance) readLink(value string) (fd int, err error) {
	if value == "" {
		return 0, nil
	}
	parent, rest, _ := strings.Cut(value, ":")
	pid, err1 := strconv.Atoi(parent)
	fd, err2 := strconv.Atoi(rest)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("%s=%q: want PID:FD: %w", envLink, value, err)
	}
	i.handed = pid == os.Getppid()
	return fd, nil
}

func (i *Inheritance) add(fd int, name string) error {
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return fmt.Errorf("the file descriptor %d that was passed as %q is no listening socket: want ListenStream=, and Accept=no", fd, name)
	}
	f := os.NewFile(uintptr(fd), name)
	l, err := net.FileListener(f) // of a copy, which no child inherits
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("the socket %q that was passed: %w", name, err)
	}
	i.sockets = append(i.sockets, &socket{name, l})
	if _, ok := l.(*net.TCPListener); !ok {
		return fmt.Errorf("the socket %q that was passed is on %s: want TCP, host:port", name, l.Addr())
	}
	return nil
}

func (i *Inheritance) connect(fd int) error {
	link, err := unixConn(os.NewFile(uintptr(fd), envLink))
	if err != nil {
		return fmt.Errorf("%s: the file descriptor %d %w", envLink, fd, err)
	}
	i.link = link
	return nil
}
