//go:build !unix

package server

import "net"

// fileLimit is not known.
func fileLimit() uint64 { return 0 }

// fileNumber is not asked for.
func fileNumber(*net.TCPConn) uint64 { return 0 }
