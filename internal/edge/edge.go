// Package edge is where clients come in. It has what all doors share: the table that
// they serve, the client's half of a call ([Half], and [HTTPHalf] for doors that speak
// HTTP themselves), what is read of a request's head, how HTTP shows errors, and the
// HTTP port. Each door is a folder of its own, which turns one protocol into calls for
// [call.Forward] and their outcomes back into that protocol. Package doors lists them.
// A door sees neither policies nor upstreams, nor another door.
package edge

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// Table is all that the doors serve: the RPCs, and how HTTP shows them. It is
// immutable; [Current] holds the one in force.
type Table struct {
	*call.Table
	Routes *httprule.Router[*Route]
	// Versions are asked for paths that Routes do not have.
	Versions *Versions
	// VersionOf has the version of each RPC that belongs to one, by its full name.
	VersionOf map[string]*Version
	Errors    *Errors
	// Plans has what makes JSON of the whole messages of an upstream's RPCs, by the
	// upstream's name.
	Plans func(upstream string) *transcode.Compiler
	// WrapStreams writes each message of a stream as {"result": ...}, as
	// grpc-gateway does.
	WrapStreams bool
	// Reserved are the keys of metadata that clients may not set.
	Reserved Reserved
	// UserAgentKey is the key of metadata for the client's User-Agent; "" stands
	// for [call.UserAgent].
	UserAgentKey string
	// CORS says which pages may call; nil is none.
	CORS *CORS
	// Security are the headers that restrict browsers; nil is none.
	Security *SecurityHeaders
	// Pages are the documents about the table, by their paths. Each is written for a
	// query; an error is a query that names no document.
	Pages map[string]func(query string) (*Page, error)
	// Guard is the chain of policies that says who may read Pages; nil lets anybody.
	Guard grpc.ClientConnInterface
	// Description is what the compiler of the table knows about it beyond what the doors
	// need. It is here so that both are published at once; the doors never read it.
	Description any
}

// Route is one HTTP binding of one method, and what serves it.
type Route struct {
	*contract.Binding
	Method *call.Method
	View   call.View
	// Version is the one that the method belongs to; nil is none.
	Version *Version
}

// Current is the table in force. A request takes it once, by [Enter], and is
// served by that table to its end.
type Current = atomic.Pointer[Table]

// Enter takes the table in force for one call, which must end with Leave of the
// table: until then all that the table needs stays.
func Enter(c *Current) *Table {
	for {
		t := c.Load()
		t.Hold()
		if c.Load() == t {
			return t
		}
		t.Leave() // it was replaced meanwhile, and may be closed already
	}
}

// Settings are what all doors share. They are fixed when the listeners open.
type Settings struct {
	Table *Current
	// MaxBody bounds an HTTP request's body and each JSON value in it, in bytes.
	MaxBody int64
	// MaxMessage bounds a request message, in wire bytes. JSON may grow: a zero in a
	// Struct is one byte of JSON and eleven wire bytes. 0 bounds nothing.
	MaxMessage int64
	// MaxHeaders bounds the number of header fields of a request.
	MaxHeaders int
	// WriteTimeout ends an answer of which the client takes less than 64 KiB in this
	// time.
	WriteTimeout time.Duration
	// Memory accounts for what all clients hold.
	Memory *memory.Process
	// Proxies are the networks whose X-Forwarded-For, X-Forwarded-Host and
	// X-Forwarded-Proto are believed.
	Proxies []netip.Prefix
	// Hosts are the hosts that are served; none are all.
	Hosts call.Hosts
	// RequestID makes an identifier for a call that came without one.
	RequestID func() string
	// Dropped counts a header that cannot be metadata; nil counts none.
	Dropped func(Unfit)
}

// Door is one protocol on the HTTP port. A door has a folder of its own, and a line in
// package doors. It is safe for concurrent use.
type Door struct {
	// Takes reports whether a request is of this protocol, by its head and by what the
	// table serves.
	Takes func(table *Table, r *http.Request) bool
	// Serve serves a request that the door takes, by the table. It sets no headers
	// for browsers: they are there.
	Serve func(table *Table, w http.ResponseWriter, r *http.Request)
	// Announced returns the binding that would serve a request that a preflight
	// announces: one of the path of h, with that HTTP method. It is nil for a door
	// whose clients only POST to RPCs' own paths.
	Announced func(h *HTTPHalf, method string) (binding string, err error)
	// NoPages says that no web page can speak the protocol: answers have no headers for
	// browsers.
	NoPages bool
}
