//go:build !linux

package cluster

import "syscall"

// dieWithParent has nothing to ask for here: processes are ended by the test.
func dieWithParent() *syscall.SysProcAttr { return nil }

// loopback is the one address that every system has.
func loopback(int) string { return "127.0.0.1" }
