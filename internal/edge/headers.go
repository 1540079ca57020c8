package edge

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// headerNo is shared by all calls: nobody writes to it.
var headerNo = []string{"no"}

// SetHeaders sets the headers of the answer: the backend's, the gateway's own, and
// the media type. They go out with Commit.
func (h *HTTPHalf) SetHeaders(contentType string) {
	header := h.W.Header()
	for key, values := range h.header {
		if h.passes(key) {
			setHeader(header, key, httpValues(key, values))
		}
	}
	for key, values := range h.OwnHeader() {
		if !strings.HasPrefix(key, "grpc-") { // HTTP has names of its own for these
			setHeader(header, key, httpValues(key, values))
		}
	}
	values := [...]string{contentType, h.Call.RequestID}
	header["Content-Type"] = values[0:1:1]
	header["X-Request-Id"] = values[1:2:2]
}

// passes reports whether a header of the backend's goes to the client. Where CORS is
// configured, the gateway alone says which pages may read the answer.
func (h *HTTPHalf) passes(key string) bool {
	return !call.ResponseReserved(key) && (h.Table.CORS == nil || !strings.HasPrefix(key, "access-control-"))
}

// setHeader replaces a header that the gateway has set, but adds to Vary and Link.
func setHeader(h http.Header, key string, values []string) {
	name := textproto.CanonicalMIMEHeaderKey(key)
	if key == "vary" || key == "link" {
		values = append(slices.Clip(h[name]), values...)
	}
	h[name] = values
}

func httpValues(key string, values []string) []string {
	if !strings.HasSuffix(key, "-bin") {
		return values
	}
	encoded := make([]string, len(values))
	for i, v := range values {
		encoded[i] = base64.RawStdEncoding.EncodeToString([]byte(v))
	}
	return encoded
}

// setLength sets the length of a body that is written at once. HTTP/1 has no room for
// trailers behind a body of known length: they are announced instead.
func (h *HTTPHalf) setLength(n int) {
	header := h.W.Header()
	if len(h.trailer) > 0 && h.wantsTrailers() {
		for key := range h.trailer {
			if h.passes(key) {
				header["Trailer"] = append(header["Trailer"], textproto.CanonicalMIMEHeaderKey(key))
			}
		}
	}
	if len(header["Trailer"]) == 0 {
		header["Content-Length"] = []string{strconv.Itoa(n)}
	}
}

// WriteTrailers sends the backend's trailers to a client that wants any.
func (h *HTTPHalf) WriteTrailers() {
	if len(h.trailer) == 0 || !h.wantsTrailers() {
		return
	}
	header := h.W.Header()
	for key, values := range h.trailer {
		if h.passes(key) {
			name := textproto.CanonicalMIMEHeaderKey(key)
			delete(header, name) // a header of that name has gone out; of an announced trailer it would go again
			header[http.TrailerPrefix+name] = httpValues(key, values)
		}
	}
}

// wantsTrailers reports whether the client sent "TE: trailers".
func (h *HTTPHalf) wantsTrailers() bool {
	for _, v := range h.R.Header["Te"] {
		if strings.Contains(strings.ToLower(v), "trailers") {
			return true
		}
	}
	return false
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func joined(values []string) string { return strings.Join(values, ", ") }

// requestIDMax bounds the identifiers of clients, which go into every log.
const requestIDMax = 128

// requestID returns the client's identifier if it is fit for a log and a header, and else
// makes one.
func (s *Settings) requestID(given string) string {
	if given == "" || len(given) > requestIDMax {
		return s.RequestID()
	}
	for i := range len(given) {
		if given[i] <= 0x20 || given[i] > 0x7e {
			return s.RequestID()
		}
	}
	return given
}
