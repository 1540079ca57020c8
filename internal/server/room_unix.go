//go:build unix

package server

import (
	"net"
	"syscall"
)

// fileLimit is how many file descriptors the process may have, 0 if that is not
// known.
func fileLimit() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur) //nolint:unconvert // it is an int64 on some systems
}

// fileNumber is the number of a connection, 0 if it is closed.
func fileNumber(c *net.TCPConn) (number uint64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	if raw.Control(func(fd uintptr) { number = uint64(fd) }) != nil {
		return 0
	}
	return number
}
