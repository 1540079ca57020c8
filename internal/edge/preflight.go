package edge

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// preflight answers a browser that asks whether a page may call (Fetch, section
// 4.8). It is not a call of an RPC: it has no credentials by definition, so no policy is
// asked, and no backend gets it. Observers see a request without a method, whose binding is
// that of the path.
func (p *port) preflight(table *Table, w http.ResponseWriter, r *http.Request) {
	h := new(HTTPHalf)
	h.BeginHTTP(p.settings, table, call.REST, w, r)
	_ = h.Run(func() error { return h.Refuse(p.checkPreflight(h)) }, func(err error) {
		if err != nil {
			h.WriteError(err)
			return
		}
		table.CORS.setPreflight(w.Header(), r)
		w.Header()["X-Request-Id"] = []string{h.Call.RequestID}
		h.Commit(http.StatusNoContent)
	})
}

// checkPreflight refuses a preflight of a request that is not served, or that its page
// may not make.
func (p *port) checkPreflight(h *HTTPHalf) error {
	r := h.R
	allowed := h.Table.CORS.set(h.W.Header(), r)
	if err := h.CheckHost(); err != nil {
		return err
	}
	if _, err := h.checkShape(); err != nil {
		return err
	}
	if !allowed {
		return call.Refuse(call.Client, codes.PermissionDenied, "pages of origin %q may not call", first(r.Header["Origin"])).By("cors")
	}
	methods := r.Header["Access-Control-Request-Method"]
	if len(methods) != 1 || !isToken(methods[0]) {
		return call.Refuse(call.Client, codes.InvalidArgument, "header access-control-request-method must be one HTTP method")
	}
	return p.find(h, methods[0])
}

// find refuses a preflight of a request that is for no page and that no door serves. All doors that take RPCs'
// own paths are called there by POST.
func (p *port) find(h *HTTPHalf, method string) (err error) {
	if h.Table.pageAt(method, h.R.URL.Path) != nil {
		h.Call.Binding = method + " " + h.R.URL.Path
		return nil
	}
	for i := range p.doors {
		if announced := p.doors[i].Announced; announced != nil {
			if h.Call.Binding, err = announced(h, method); err == nil {
				return nil
			}
		}
	}
	if u := h.R.URL; method == http.MethodPost && IsPlainPath(u) && h.Table.Method(u.Path) != nil {
		return nil
	}
	return err
}

// ping answers `OPTIONS *`, by which a client tests the server (RFC 9110, section
// 9.3.7). Observers see a request without a method.
func (p *port) ping(table *Table, w http.ResponseWriter, r *http.Request) {
	h := new(HTTPHalf)
	h.BeginHTTP(p.settings, table, call.REST, w, r)
	h.Call.Binding = "OPTIONS *"
	_ = h.Run(func() error {
		_, err := h.checkShape()
		return h.Refuse(err)
	}, func(err error) {
		if err != nil {
			h.WriteError(err)
			return
		}
		w.Header()["X-Request-Id"] = []string{h.Call.RequestID}
		w.Header()["Content-Length"] = []string{"0"}
		h.Commit(http.StatusOK)
	})
}
