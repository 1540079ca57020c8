package edge

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Page is what the gateway shows of the table itself: its OpenAPI document, or a file of
// the console. It is shared: read it only.
type Page struct {
	Body        []byte
	ContentType string
	// Encoding is the content coding of the body, "" for none. It is not negotiated:
	// browsers take gzip, and others do not ask for such pages.
	Encoding string
	// ETag tells pages apart, as HTTP has it; "" is of a page that must not be kept.
	ETag string
	// Policy is the Content-Security-Policy of a page that browsers show; "" for the
	// one that every answer has.
	Policy string
}

var headerNoCache = []string{"no-cache"}

// setHeaders sets the page's headers, all but the media type and the length.
func (p *Page) setHeaders(h http.Header) {
	h["Cache-Control"] = headerNoStore
	if p.ETag != "" {
		h["Cache-Control"], h["Etag"] = headerNoCache, []string{p.ETag}
	}
	if p.Encoding != "" {
		h["Content-Encoding"] = []string{p.Encoding}
	}
	if p.Policy != "" {
		h["Content-Security-Policy"] = []string{p.Policy}
	}
}

// isKnown reports whether the client has the page already (RFC 9110, section 13.1.2).
func (p *Page) isKnown(r *http.Request) bool {
	for one := range strings.SplitSeq(strings.Join(r.Header["If-None-Match"], ","), ",") {
		if one = strings.TrimSpace(one); p.ETag != "" && (one == "*" || strings.TrimPrefix(one, "W/") == p.ETag) {
			return true
		}
	}
	return false
}

// ServeHTTP serves the page to GET and HEAD where there is no table's port.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	p.setHeaders(h)
	if p.isKnown(r) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["X-Content-Type-Options"], h["Referrer-Policy"] = headerNoSniff, headerNoReferrer
	h["Content-Type"], h["Content-Length"] = []string{p.ContentType}, []string{strconv.Itoa(len(p.Body))}
	_, _ = w.Write(p.Body) // a client that is gone gets nothing
}

// pageOf returns what writes the page at the request's path; nil if there is no page. A
// page has one spelling, which proxies in front can know.
func (t *Table) pageOf(r *http.Request) func(query string) (*Page, error) {
	if r.URL.RawPath != "" {
		return nil
	}
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
			page, err = read(r.URL.RawQuery)
		}
		if _, known := errors.AsType[*call.Error](err); err != nil && !known {
			err = call.Refuse(call.Gateway, codes.Internal, "the page could not be made").Because(err)
		}
		return h.Refuse(err)
	}, func(err error) {
		if err != nil {
			h.WriteError(err)
			return
		}
		page.setHeaders(w.Header())
		if table.Guard != nil && page.ETag != "" { // the guard must see the next reader too
			w.Header()["Cache-Control"] = headerPrivate
		}
		if page.isKnown(r) {
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
