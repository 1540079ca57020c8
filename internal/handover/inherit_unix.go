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

// readLink reads DEVICE:INODE:FD. If another file or none has that descriptor, it is
// nothing: the variable has come down to a process that it was not meant for.
func (i *Inheritance) readLink(value string) (fd int, err error) {
	if value == "" {
		return 0, nil
	}
	at := strings.LastIndexByte(value, ':')
	if fd, err = strconv.Atoi(value[at+1:]); err != nil || at < 0 {
		return 0, fmt.Errorf("%s=%q: want DEVICE:INODE:FD", envLink, value)
	}
	is, err := identity(fd)
	i.handed = err == nil && is == value[:at]
	return fd, nil
}

// identity tells a file from all others that are open.
func identity(fd int) (string, error) {
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return "", os.NewSyscallError("fstat", err)
	}
	return fmt.Sprintf("%d:%d", info.Dev, info.Ino), nil
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
	c, err := unixConn(os.NewFile(uintptr(fd), envLink))
	if err != nil {
		return fmt.Errorf("%s: the file descriptor %d %w", envLink, fd, err)
	}
	i.link = newLink(c)
	return nil
}
