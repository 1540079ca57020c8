package edge

import (
	"bytes"
	"net/http"
	"time"

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

// servePage serves the page of the table at the request's path, if there is one.
func (t *Table) servePage(w http.ResponseWriter, r *http.Request) bool {
	if len(t.Pages) == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	write, ok := t.Pages[r.URL.Path]
	if !ok {
		return false
	}
	page, err := write(r.URL.RawQuery)
	if err != nil {
		body, contentType := t.Errors.Body(call.Refuse(call.Client, codes.NotFound, "%v", err), r.Header["Accept"])
		w.Header()["Content-Type"] = []string{contentType}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write(body)
		return true
	}
	w.Header()["Content-Type"] = []string{page.ContentType}
	w.Header()["Etag"] = []string{page.ETag}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page.Body))
	return true
}
