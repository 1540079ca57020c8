package edge

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// preflight answers a browser that asks whether a page may call (Fetch, section
// 4.8). It is no call of an RPC: no policy of one is asked, as it carries no
// credentials by definition, and no backend hears of it. Those who look on see
// it as they see what is refused at the door: a request without a method, whose
// binding is that of the path.
func (e *rest) preflight(table *Table, w http.ResponseWriter, r *http.Request) {
	x := new(exchange)
	c, s := &x.call, &x.stream
	e.begin(x, table, w, r)
	m := e.matches.Get().(*match) //nolint:forcetypeassert // the pool holds nothing else
	var err error = errUnanswered
	defer func() { c.Finish(err) }()
	err = s.table.Refuse(s.ctx, e.ask(s, m))
	if err == nil {
		table.CORS.setPreflight(w.Header(), r)
		w.Header()["X-Request-Id"] = []string{c.RequestID}
		s.commit(http.StatusNoContent)
	}
	s.finish(err)
	e.matches.Put(m)
}

// ping answers `OPTIONS *`, by which a client tests the server (RFC 9110, section
// 9.3.7). Those who look on see a request without a method.
func (e *rest) ping(table *Table, w http.ResponseWriter, r *http.Request) {
	x := new(exchange)
	c, s := &x.call, &x.stream
	e.begin(x, table, w, r)
	var err error = errUnanswered
	defer func() { c.Finish(err) }()
	c.Binding = "OPTIONS *"
	_, err = e.checkShape(r)
	if err = s.table.Refuse(s.ctx, err); err == nil {
		w.Header()["X-Request-Id"] = []string{c.RequestID}
		w.Header()["Content-Length"] = []string{"0"}
		s.commit(http.StatusOK)
	}
	s.finish(err)
}

// ask tells whether the request that a preflight announces has a route, and its
// page may make it.
func (e *rest) ask(s *restStream, m *match) error {
	r := s.r
	allowed := s.table.CORS.set(s.w.Header(), r)
	if err := e.checkHost(s.call); err != nil {
		return err
	}
	if _, err := e.checkShape(r); err != nil {
		return err
	}
	if !allowed {
		return call.Refuse(call.Client, codes.PermissionDenied, "pages of origin %q may not call", first(r.Header["Origin"])).By("cors")
	}
	methods := r.Header["Access-Control-Request-Method"]
	if len(methods) != 1 || !isToken(methods[0]) {
		return call.Refuse(call.Client, codes.InvalidArgument, "header access-control-request-method must be one HTTP method")
	}
	err := s.table.Routes.Match(methods[0], sentPath(r.URL), &m.Match)
	if v := s.table.Versions; err != nil && v != nil {
		switch open := v.preflight(methods[0], sentPath(r.URL), m); {
		case open == nil:
			s.call.Binding = "OPTIONS " + m.path.Value.template
			return nil
		case isNotFound(err):
			err = open
		}
	}
	switch {
	case err == nil:
		s.call.Binding = "OPTIONS " + m.Value.Path
		return nil
	case methods[0] == http.MethodPost && isPlainPath(r.URL) && s.table.Method(r.URL.Path) != nil:
		return nil // an RPC's own path, for the protocols that call it there
	default:
		return s.unmatched(methods[0], err)
	}
}
