// Package edge is where clients come in: one file per protocol. An edge turns
// what a client sent into the client's half of a call, a [grpc.ServerStream],
// has [call.Forward] carry it, and turns the outcome into what its protocol
// calls an answer. It sees neither policies nor upstreams.
package edge

import (
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Table is all that the edges serve: the RPCs, and how HTTP shows them. It is
// immutable; [Current] holds the one in force.
type Table struct {
	*call.Table
	Routes *httprule.Router[*Route]
	// Versions are asked for what Routes do not have.
	Versions *Versions
	// VersionOf has the version of each RPC that belongs to one, by its full name.
	VersionOf map[string]*Version
	Errors    *Errors
	// WrapStreams writes each message of a stream as {"result": ...}, as
	// grpc-gateway does.
	WrapStreams bool
	// Reserved are the keys that policies tell backends things under.
	Reserved Reserved
	// UserAgentKey is the key of metadata for the client's User-Agent; "" stands
	// for [call.UserAgent].
	UserAgentKey string
	// CORS tells which pages may call; nil is none.
	CORS *CORS
	// Security are the headers that tell browsers to be careful; nil is none.
	Security *SecurityHeaders
	// Description is what the table's maker knows of it beyond what the edges
	// need. It stands in the table so that both are published at once; the edges
	// never read it.
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
		t.Leave() // it was replaced meanwhile, and may be given up already
	}
}

// Settings are what all edges share. They are fixed when the listeners open.
type Settings struct {
	Table *Current
	// MaxBody bounds an HTTP request's body and each JSON value in it, in bytes.
	MaxBody int64
	// MaxMessage bounds what a request becomes, in wire bytes. JSON may grow: a
	// zero in a Struct is one byte there and eleven here. 0 bounds nothing.
	MaxMessage int64
	// MaxHeaders bounds the number of header fields of a request.
	MaxHeaders int
	// Stall ends a request of which nothing comes for so long.
	Stall time.Duration
	// WriteTimeout ends an answer of which a client takes less than 64 KiB in this
	// time.
	WriteTimeout time.Duration
	// Memory is what clients hold together.
	Memory *memory.Process
	// Proxies are the networks whose X-Forwarded-For, X-Forwarded-Host and
	// X-Forwarded-Proto are believed.
	Proxies []netip.Prefix
	// Hosts are the hosts that are served; none are all.
	Hosts call.Hosts
	// RequestID makes an identifier for a call that came without one.
	RequestID func() string
	// Dropped counts a request's header that cannot be metadata; nil counts none.
	Dropped func(Unfit)
}

// Handler serves every protocol that comes over HTTP: it tells them apart by
// content type and hands each request to its edge. It takes the handler that
// speaks gRPC over HTTP.
func Handler(s *Settings) func(grpc http.Handler) http.Handler {
	return func(grpc http.Handler) http.Handler {
		rest, grpc := newREST(s), &grpcOverHTTP{s, grpc}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor < 2 { // the time to take an earlier answer ended with it, by net/http
				s.boundUnread(w, r)
				endAfterFraming(w, r)
			}
			if isGRPC(r) && !isPreflight(r) { // which no page can speak: it has no use for what follows
				grpc.ServeHTTP(w, r)
				return
			}
			table := Enter(s.Table)
			defer table.Leave()
			table.Security.set(w.Header(), s.schemeOf(r) == schemeHTTPS)
			if r.Method == http.MethodOptions && r.RequestURI == "*" {
				rest.ping(table, w, r)
				return
			}
			if table.CORS != nil && isPreflight(r) {
				rest.preflight(table, w, r)
				return
			}
			table.CORS.set(w.Header(), r)
			rest.serveHTTP(table, w, r)
		})
	}
}

// isGRPC tells native gRPC: "application/grpc", alone or with a message format
// ("+proto") or parameters. gRPC-Web has a type of its own. A gRPC content type over
// HTTP/1 or with GET is refused by grpc-go.
func isGRPC(r *http.Request) bool {
	ct := r.Header.Get("Content-Type")
	rest, ok := strings.CutPrefix(ct, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
