package cluster

import (
	"strconv"
	"syscall"
)

// dieWithParent has a process end with this one, whichever way that ends.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// loopback is an address of this machine, for each part of the cluster its own.
func loopback(part int) string { return "127.0.77." + strconv.Itoa(part+1) }
