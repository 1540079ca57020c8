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
	if len(t.Pages) == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	return t.Pages[r.URL.Path]
}

// page serves a page. It is not a call of an RPC, so no policy is asked. Observers see a
// request without a method, whose binding is the page's path.
func (p *port) page(table *Table, w http.ResponseWriter, r *http.Request, read func(query string) (*Page, error)) {
	h := new(HTTPHalf)
	h.BeginHTTP(p.settings, table, call.REST, w, r)
	h.Call.Binding = r.Method + " " + r.URL.Path
	var page *Page
	_ = h.Run(func() error {
		err := h.AdmitHTTP()
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
		if isKnown(r.Header["If-None-Match"], page.ETag) {
			h.Commit(http.StatusNotModified)
			return
		}
		_ = h.WriteWhole(page.Body, page.ContentType) // a client that is gone gets nothing
	})
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
