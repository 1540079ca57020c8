package edge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// rest serves the HTTP bindings of the contract.
type rest struct {
	*Settings
	matches sync.Pool // of *match, which do not allocate when used again
}

func newREST(s *Settings) *rest {
	return &rest{Settings: s, matches: sync.Pool{New: func() any { return new(match) }}}
}

// exchange is all that one request needs, in one allocation.
type exchange struct {
	call   call.Call
	stream restStream
}

// errUnanswered is the outcome of a call whose answer could not be made: the code
// that makes it panicked, and net/http aborts the response.
var errUnanswered = call.Refuse(call.Gateway, codes.Internal, "internal error")

// serveHTTP serves one request by one table. Observers are told how it ended, also
// where the code that answers panics.
func (e *rest) serveHTTP(table *Table, w http.ResponseWriter, r *http.Request) {
	x := new(exchange)
	c, s := &x.call, &x.stream
	var err error = errUnanswered
	defer func() { c.Finish(err) }()
	e.begin(x, table, w, r)
	m := e.matches.Get().(*match) //nolint:forcetypeassert // the pool holds nothing else
	outcome := e.serve(s, m)
	if outcome != nil {
		err = outcome
	}
	s.finish(outcome)
	err = outcome
	e.matches.Put(m)
	if s.broken {
		abort(w, r)
	}
}

// begin notes what is known of the request.
func (e *rest) begin(x *exchange, table *Table, w http.ResponseWriter, r *http.Request) {
	c, s := &x.call, &x.stream
	c.Table = table.Table
	s.ctx = e.beginHTTP(c, call.REST, &s.lineage, r)
	s.settings, s.table, s.call, s.w, s.r = e.Settings, table, c, w, r
}

// serve finds the binding and carries the call. A panic is an outcome too.
func (e *rest) serve(s *restStream, m *match) (err error) {
	defer call.Rescue(&err)
	cancel, err := e.prepare(s, m)
	if err != nil {
		return s.table.Refuse(s.ctx, err)
	}
	defer cancel()
	if s.route.Method.Stream.ClientStreams {
		if s.r.ProtoMajor < 2 {
			// An answer that comes before the upload has ended leaves net/http
			// reading: another request on the connection would get in its way.
			s.w.Header()["Connection"] = headerClose
		}
		defer s.endUpload()
	}
	return call.Forward(s.route.Method, s)
}

// prepare finds the binding, and makes metadata and deadline of the header. It
// refuses all that is refused before the chain begins.
func (e *rest) prepare(s *restStream, m *match) (context.CancelFunc, error) {
	if err := e.admit(s, m); err != nil {
		return nil, err
	}
	s.route, s.vars = m.Value, m.Vars
	c := s.call
	c.Method, c.Binding, c.Upstream = s.route.Method.Name, s.route.Name, s.route.Method.Upstream
	ctx, cancel, err := withDeadline(s.ctx, s.r.Header)
	if err != nil {
		return nil, err
	}
	c.Sent = e.requestMetadata(s)
	s.ctx = metadata.NewOutgoingContext(ctx, c.Sent)
	return cancel, nil
}

// admit refuses what can be refused without reading the body, and matches the
// path. The path is taken as it was sent: decoded it would have lost %2F.
func (e *rest) admit(s *restStream, m *match) error {
	r := s.r
	if err := e.checkHost(s.call); err != nil {
		return err
	}
	headers, err := e.checkShape(r)
	if err != nil {
		return err
	}
	if err := e.Memory.Admit(&s.call.Memory, headers); err != nil {
		return call.MemoryError(err)
	}
	if err := s.routeTo(m); err != nil {
		return err
	}
	if !m.Value.Method.Stream.ClientStreams && r.ContentLength > e.MaxBody { // the messages of a stream are bounded one by one
		return tooLarge(e.MaxBody)
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return httpRefusal(http.StatusUnsupportedMediaType, codes.InvalidArgument,
			"content-encoding %q is not supported: send the body as it is", enc)
	}
	if len(r.Header["Upgrade"]) > 0 && r.ContentLength != 0 {
		return call.Refuse(call.Client, codes.InvalidArgument, "a request with a body cannot ask for an upgrade")
	}
	return nil
}

// checkShape refuses a request line and a header that nobody should send. It returns how
// many bytes the header has.
func (e *rest) checkShape(r *http.Request) (headers int, err error) {
	n, headers := sizeOf(r.Header)
	if n > e.MaxHeaders {
		return headers, httpRefusal(http.StatusRequestHeaderFieldsTooLarge, codes.InvalidArgument,
			"the request has %d header fields: at most %d are taken", n, e.MaxHeaders)
	}
	if r.Method == http.MethodPost {
		for _, name := range methodOverrides {
			if len(r.Header[name]) > 0 {
				return headers, call.Refuse(call.Client, codes.InvalidArgument, "header %s is not supported: send the request with the method that it means", name)
			}
		}
	}
	if u := r.URL; u.Scheme != "" || u.Host != "" { // RFC 9112, section 3.2.2: a server takes it
		if r.ProtoMajor >= 2 || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return headers, call.Refuse(call.Client, codes.InvalidArgument, `bad path: the path must start with "/"`)
		}
	}
	return headers, nil
}

// methodOverrides are headers by which a client has POST stand for another method.
// To ignore them would run an RPC that the client did not mean.
var methodOverrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// isPlainPath tells a path that has one spelling: nothing in it is encoded, and
// nothing stands beside it.
func isPlainPath(u *url.URL) bool {
	return u.Path == sentPath(u) && u.RawQuery == "" && !u.ForceQuery && u.Scheme == "" && u.Host == ""
}

// sentPath is the path as it was sent. EscapedPath is not: where it finds a
// character that should have been encoded, it encodes the decoded path anew, in
// which %2F has become a separator.
func sentPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}

// unmatched turns the router's verdict into a refusal.
func (s *restStream) unmatched(method string, err error) error {
	r := s.r
	var e *httprule.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Kind == httprule.MethodNotAllowed:
		refusal := httpRefusal(http.StatusMethodNotAllowed, codes.Unimplemented,
			"%s is not allowed on %s: use %s", method, sentPath(r.URL), joined(e.Allow))
		refusal.allow = joined(e.Allow)
		return refusal
	case e.Kind == httprule.BadPath:
		return call.Refuse(call.Client, codes.InvalidArgument, "bad path: %s", e.Reason)
	case r.URL.Path == sentPath(r.URL) && s.table.Method(r.URL.Path) != nil:
		refusal := httpRefusal(http.StatusUnsupportedMediaType, codes.Unimplemented,
			"%s is an RPC's own path: call it by gRPC, with content-type application/grpc", r.URL.Path)
		refusal.plain = true
		return refusal
	default:
		return call.Refuse(call.Client, codes.NotFound, "nothing is served at %s %s", method, sentPath(r.URL))
	}
}

func tooLarge(limit int64) error {
	return httpRefusal(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"the request body is too large: at most %d bytes are taken", limit)
}
