package hostile_test

import (
	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

// ofProcess says what the figures are of where the promise is about less.
const ofProcess = " (the figures are the whole process's, with its garbage and what it takes for itself)"

const (
	promiseConnection = "One client connection holds at most 16 MiB" + ofProcess
	promiseReader     = "A slow reader of a stream holds at most 256 KiB on HTTP/2 and 128 KiB on HTTP/1 beyond the message in flight" + ofProcess
	promiseProcess    = "With a limit of 512 MiB no client ends the process"
	promiseAnnounced  = "What a client announces and does not send keeps nothing from others"
)

// tight has the gateway collect its garbage early, so that the memory that it takes
// is what it holds and little more. As it is shipped it collects later (GOGC=400).
var tight = []string{"GOGC=25"}

// holding is the bound of memory for clients that the gateway holds so many bytes
// for, with [tight]: Go lets the heap grow by a quarter until it collects, and the
// process takes some for itself: stacks, the buffers of transports, what was read
// and not collected yet.
func holding(bytes int64) int64 { return bytes*5/4 + 32*hostile.MiB }

const connectionLimit = 16 * hostile.MiB

// processLimit is what the process may take beyond what it takes at rest, with a
// limit of 512 MiB.
const (
	processLimit = 470 * hostile.MiB
	memoryLimit  = 512 * hostile.MiB
)

// mostInnocents is the least share of calls that innocent callers complete.
const mostInnocents = 0.9
