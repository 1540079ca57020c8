//go:build unix

package files

import "syscall"

// nonBlocking has open return at once where the path is a pipe.
const nonBlocking = syscall.O_NONBLOCK
