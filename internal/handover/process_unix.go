//go:build unix

package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Asked is told when the process is asked to be replaced, by SIGUSR2, until
// stop is called. From then on the signal is ignored rather than deadly.
func Asked() (asked <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	return c, func() { signal.Ignore(syscall.SIGUSR2) }
}

// pair is a connected pair of sockets, the far one to be passed to a child.
func pair() (near *net.UnixConn, far *os.File, err error) {
	syscall.ForkLock.RLock() // no child may get a copy by chance
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	near, err = unixConn(f)
	if err != nil {
		return nil, nil, errors.Join(err, far.Close())
	}
	return near, far, nil
}

// unixConn makes a connection of a file, which it closes.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UnixConn); ok {
		return u, nil
	}
	return nil, errors.Join(fmt.Errorf("is of %s: want a unix socket", c.LocalAddr().Network()), c.Close())
}

// File is a copy of a listener's descriptor, to be passed to a child. It is not
// what TCPListener.File gives: os/exec makes a file of that kind block, and so
// the socket for all who share it, upon which Accept never returns.
func File(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var failed error
	err = raw.Control(func(fd uintptr) { file, failed = dup(int(fd), l.Addr().String()) })
	return file, errors.Join(err, failed)
}

// duplicate copies the descriptor of a file, for this process alone.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var copied *os.File
	var failed error
	err = raw.Control(func(fd uintptr) { copied, failed = dup(int(fd), f.Name()) })
	return copied, errors.Join(err, failed)
}

func dup(fd int, name string) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	copied, err := syscall.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(copied)
	return os.NewFile(uintptr(copied), name), nil
}

// unasked is how a process ended, nil if it was asked to.
func unasked(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && (status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGINT) {
		return nil
	}
	return err
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// isEOF reports whether the other side went away without a word.
func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
