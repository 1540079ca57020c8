// Package connect is the door for Connect and gRPC-Web on the HTTP port, by which
// browsers and simple clients call any RPC at its own path. The library
// connectrpc.com/connect speaks the protocols. Messages pass through it as wire bytes,
// or as JSON that package transcode makes of them.
package connect

import (
	"context"
	"net/http"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// The protocols, by the names that they have in logs and metrics.
const (
	Connect call.Protocol = "connect"
	GRPCWeb call.Protocol = "grpc-web"
	GRPC                  = call.GRPC // with messages in JSON
)

// Door returns the door. It takes requests whose media type is one of gRPC-Web's or of
// Connect's streams, or gRPC's with JSON, and at the path of an RPC those that can be Connect's unary calls.
func Door(s *edge.Settings) edge.Door {
	d := &door{settings: s, errors: connecthttp.NewErrorWriter()}
	server := connect.NewServer()
	for shape, t := range [shapes]connect.StreamType{connect.StreamTypeUnary, connect.StreamTypeClient, connect.StreamTypeServer, connect.StreamTypeBidi} {
		path := "/shape/" + t.String()
		server.Register(connect.Method{Spec: connect.Spec{StreamType: t, Procedure: path}, Handler: serve})
		d.paths[shape] = path
	}
	connecthttp.Mount(d, server, options()...)
	return edge.Door{Takes: takes, Serve: d.serve, Announced: announced}
}

// shapes is how many kinds of RPCs there are, by which of their halves are streams. The
// library has one handler for each: a handler for each RPC would take 3 KiB.
const shapes = 4

type door struct {
	settings *edge.Settings
	errors   *connecthttp.ErrorWriter
	paths    [shapes]string // that the handlers are registered at
	handlers [shapes]http.Handler
}

// Handle has the library register its handlers.
func (d *door) Handle(path string, h http.Handler) {
	for shape, p := range d.paths {
		if p == path {
			d.handlers[shape] = h
		}
	}
}

// shape is the index of the handler for the call. In gRPC a unary call is written
// like a stream of answers, whose handler can send headers before an error.
func (s *stream) shape() int {
	shape := 0
	if s.Method.Stream.ClientStreams {
		shape++
	}
	if s.Method.Stream.ServerStreams || s.isGRPC() && shape == 0 {
		shape += 2
	}
	return shape
}

// serve serves one request by one table.
func (d *door) serve(table *edge.Table, w http.ResponseWriter, r *http.Request) {
	s := &stream{door: d}
	s.dialect = dialectOf(r)
	s.BeginHTTP(d.settings, table, s.protocol(), w, r)
	s.out.stream, s.in.stream = s, s
	_ = s.Run(s.carry, s.answer)
}

// streamKey is the key under which a request's context has its stream.
type streamKey struct{}

// serve is what the library calls for each RPC.
func serve(ctx context.Context, _ connect.Spec, wire connect.ServerStream) error {
	s := ctx.Value(streamKey{}).(*stream) //nolint:forcetypeassert // carry has set it
	s.wire = wire
	s.info, _ = connect.CallInfoForServerContext(ctx)
	s.outcome = s.forward()
	s.begun = true
	return s.finish(s.outcome)
}

// announced allows the GET of a preflight where an RPC may be called by it. All doors
// that take RPCs' own paths are called there by POST.
func announced(h *edge.HTTPHalf, method string) (binding string, err error) {
	path := h.R.URL.Path
	m := h.Table.Method(path)
	if method != http.MethodGet || path != edge.SentPath(h.R.URL) || m == nil || !m.Unary() || !m.HasNoSideEffects() {
		return "", call.Unknown(path)
	}
	return "", nil
}
