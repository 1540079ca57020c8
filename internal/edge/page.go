package edge

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Page is a document about the table itself, such as its OpenAPI document. It is shared:
// read it only.
type Page struct {
	Body        []byte
	ContentType string
	ETag        string
}

// pageOf returns what writes the page at the request's path; nil if there is no page.
func (t *Table) pageOf(r *http.Request) func(query string) (*Page, error) {
	return t.pageAt(r.Method, r.URL.Path)
}

func (t *Table) pageAt(method, path string) func(query string) (*Page, error) {
	if len(t.Pages) == 0 || method != http.MethodGet && method != http.MethodHead {
		return nil
	}
	return t.Pages[path]
}

// page serves a page to those whom the table's guard lets in. It is not a call of an RPC,
// so no other policy is asked. Observers see a request without a method, whose binding is
// the page's path.
func (p *port) page(table *Table, w http.ResponseWriter, r *http.Request, read func(query string) (*Page, error)) {
	h := new(HTTPHalf)
	h.BeginHTTP(p.settings, table, call.REST, w, r)
	h.Call.Binding = r.Method + " " + r.URL.Path
	var page *Page
	_ = h.Run(func() error {
		err := h.admitReader()
		if err == nil {
			if page, err = read(r.URL.RawQuery); err != nil {
				err = call.Refuse(call.Client, codes.NotFound, "%v", err)
			}
		}
		return h.Refuse(err)
	}, func(err error) {
		if err != nil {
			h.WriteError(err)
			return
		}
		w.Header()["Etag"] = []string{page.ETag}
		if table.Guard != nil { // whoever reads it next is asked again
			w.Header()["Cache-Control"] = headerPrivate
		}
		if isKnown(r.Header["If-None-Match"], page.ETag) {
			h.Commit(http.StatusNotModified)
			return
		}
		_ = h.WriteWhole(page.Body, page.ContentType) // a client that is gone gets nothing
	})
}

// headerPrivate keeps an answer out of shared caches. A browser must ask again before it
// shows the answer a second time (RFC 9111, section 5.2.2).
var headerPrivate = []string{"private, no-cache"}

// admitReader refuses a request that no door would take, and one of a client that may not
// read pages.
func (h *HTTPHalf) admitReader() error {
	if err := h.AdmitHTTP(); err != nil || h.Table.Guard == nil {
		return err
	}
	if err := h.SetOutgoingHTTP(); err != nil { // where policies look for credentials
		return err
	}
	return h.Table.Guard.Invoke(h.Context(), h.Call.Binding, new(call.Refusal), nil)
}

// isKnown reports whether If-None-Match has the entity tag (RFC 9110, section 13.1.2).
func isKnown(values []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
