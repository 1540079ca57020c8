// Package rest is the door for REST: the HTTP bindings of the contract, with JSON or
// raw bodies.
package rest

import (
	"net"
	"net/http"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Door returns the door. It takes every request.
func Door(s *edge.Settings) edge.Door {
	d := &door{settings: s, matches: sync.Pool{New: func() any { return new(edge.Match) }}}
	return edge.Door{
		Takes: func(*edge.Table, *http.Request) bool { return true }, Serve: d.serve,
		Announced: (*edge.HTTPHalf).Announced,
	}
}

type door struct {
	settings *edge.Settings
	matches  sync.Pool // of *edge.Match, which do not allocate when used again
}

// serve serves one request by one table.
func (d *door) serve(table *edge.Table, w http.ResponseWriter, r *http.Request) {
	m := d.matches.Get().(*edge.Match) //nolint:forcetypeassert // the pool holds nothing else
	s := new(stream)
	s.begin(d.settings, table, w, r, m)
	_ = s.Run(s.carry, s.answer)
	d.matches.Put(m)
	if s.broken {
		abort(w, r)
	}
}

// begin starts the call's record. The stream uses m until the answer is written.
func (s *stream) begin(settings *edge.Settings, table *edge.Table, w http.ResponseWriter, r *http.Request, m *edge.Match) {
	s.match = m
	s.BeginHTTP(settings, table, call.REST, w, r)
	s.Call.Transcoded = true
}

// carry finds the binding and carries the call.
func (s *stream) carry() error {
	if err := s.prepare(); err != nil {
		return s.Refuse(err)
	}
	if s.Method.Stream.ClientStreams {
		s.Body.BeginUpload()
		defer s.Body.EndUpload()
	}
	return call.Forward(s.Method, s)
}

// prepare finds the binding, and reads metadata and deadline from the header. Its errors
// refuse the call before the chain of policies begins.
func (s *stream) prepare() error {
	if err := s.admit(); err != nil {
		return err
	}
	s.route, s.vars = s.match.Value, s.match.Vars
	s.ServeRoute(s.route)
	if !s.route.View.RawBody() {
		s.Body.Growth = edge.JSONGrowth
	}
	return s.SetOutgoingHTTP()
}

// admit matches the path, and refuses what can be refused without reading the body.
func (s *stream) admit() error {
	if err := s.AdmitHTTP(); err != nil {
		return err
	}
	if err := s.Route(s.match); err != nil {
		return err
	}
	r, most := s.R, s.Settings.MaxBody
	if !s.match.Value.Method.Stream.ClientStreams && r.ContentLength > most { // the messages of a stream are bounded one by one
		return edge.BodyTooLarge(most)
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return edge.RefuseHTTP(http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"content-encoding %q is not supported: send the body as it is", enc)
	}
	if len(r.Header["Upgrade"]) > 0 && r.ContentLength != 0 {
		return call.Refuse(call.Client, codes.InvalidArgument, "a request with a body cannot ask for an upgrade")
	}
	return nil
}

// answer tells the client how the call ended. It is the one place where an outcome
// becomes an HTTP status and an error body.
func (s *stream) answer(err error) {
	switch {
	case s.Failed():
	case err == nil && !s.Committed(): // a stream of nothing
		s.SetHeaders(s.streamType())
		s.Commit(http.StatusOK)
	case err != nil && !s.Committed():
		s.refuse(err)
		return
	case err != nil && s.route.View.RawAnswer(): // an error document would look like a part of the file
		s.broken = true
		return
	case err != nil: // the status has been sent: the last message is the error
		_ = s.WritePart(s.Table.Errors.AppendFrame(nil, err), "")
	}
	s.WriteTrailers()
	if s.route != nil && s.route.Method.Stream.ServerStreams {
		s.BoundWriting() // net/http writes the rest
	}
}

// refuse answers with an error document. Clients of grpc-gateway expect a stream's error
// in a frame, even if it is all that the stream has.
func (s *stream) refuse(err error) {
	body, contentType := s.Table.Errors.Body(err, s.R.Header["Accept"])
	if s.requested && s.Table.WrapStreams && s.Method.Stream.ServerStreams && contentType == edge.TypeJSON {
		body = s.Table.Errors.AppendFrame(nil, err)
	}
	s.WriteErrorBody(err, body, contentType)
}

// abort ends an unfinished answer without the last chunk, or by RST_STREAM, so that the
// client sees that it is not whole. It does not return.
func abort(w http.ResponseWriter, r *http.Request) {
	if !r.ProtoAtLeast(1, 1) { // the answer ends with the connection
		reset(w)
	}
	panic(http.ErrAbortHandler) // net/http has no other way
}

// reset closes the client's connection so that the client's read fails.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn() // TLS would announce a regular end
	}
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // closing it anyway
	}
	_ = c.Close()
}
