package server

import (
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// File descriptors that connections of clients do not get, so that the admin listener
// answers, files are read and backends are connected to while clients hold all
// others. The admin listener has half of them.
const (
	leastReserve = 64
	mostReserve  = 1024
	reservePart  = 8 // of all
)

func reserve(limit uint64) uint64 {
	return min(max(limit/reservePart, leastReserve), mostReserve, limit/2)
}

// sayFull is how often the log says at most that there is no room.
const sayFull = 10 * time.Second

// room is how many file descriptors may be in use for a listener to keep what it accepts.
// The system gives the lowest number that is free, so that the number of a connection
// tells how many are: nothing must be counted, whatever it is that they are used for.
type room struct {
	name    string
	limit   uint64 // of the process; 0 if there is none
	most    uint64
	log     *slog.Logger
	refused func(listener string)

	began time.Time
	said  atomic.Int64 // nanoseconds since began, of the last line
}

func newRoom(name string, o *Options) *room {
	r := &room{name: name, log: o.Log, refused: o.Refused, began: time.Now()}
	r.said.Store(int64(-sayFull))
	r.limit = fileLimit()
	r.most = r.limit - reserve(r.limit)
	if name == o.AdminOn.Name {
		r.most = r.limit - reserve(r.limit)/2
	}
	return r
}

// keeps reports whether a connection may stay. One that may not is reset: its client
// knows at once, and its port is free.
func (r *room) keeps(c *net.TCPConn) bool {
	if r.limit == 0 || fileNumber(c) < r.most {
		return true
	}
	_ = c.SetLinger(0)
	_ = c.Close()
	if r.refused != nil {
		r.refused(r.name)
	}
	now, last := int64(time.Since(r.began)), r.said.Load()
	if now-last >= int64(sayFull) && r.said.CompareAndSwap(last, now) {
		r.log.Warn("connections are refused: nearly all file descriptors of the process are in use", "listener", r.name, "limit", r.limit, "reserved", r.limit-r.most)
	}
	return false
}
