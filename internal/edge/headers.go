package edge

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// headerNo is shared by all calls: nobody writes to it.
var headerNo = []string{"no"}

// requestMetadata makes metadata of the request's headers: all that is neither
// HTTP's own business nor the gateway's to say. A header that cannot be metadata
// is dropped: to HTTP its value is opaque (RFC 9110, section 5.5), and it may
// have been added on the way, so it does not fail the request.
func (e *rest) requestMetadata(s *restStream) metadata.MD {
	r := s.r
	md := make(metadata.MD, len(r.Header)+6)
	named := connectionNamed(r.Header["Connection"])
	for name, values := range r.Header {
		key := metadataKey(name)
		if httpOnly(key) || s.table.Reserved.has(key) || named[key] || s.route.Version.owns(key) {
			continue
		}
		if prefixed(name) && r.Header[textproto.CanonicalMIMEHeaderKey(key)] != nil {
			continue // the header of that name itself says what counts
		}
		values, unfit := metadataValues(key, values)
		if unfit != fits {
			e.drop(unfit)
			continue
		}
		md[key] = append(slices.Clip(md[key]), values...)
	}
	if v := s.route.Version; v != nil {
		md[v.API.Header] = v.values
	}
	e.stamp(md, s.table, s.call, &s.lineage, r.RemoteAddr, r.Header["X-Forwarded-For"])
	return md
}

// metadataKey is the key for a header: gRPC's are lower case. A header
// "Grpc-Metadata-X" means the key "x", as with grpc-gateway.
func metadataKey(name string) string {
	switch name { // the usual ones, without allocation
	case "Accept":
		return "accept"
	case "Authorization":
		return "authorization"
	case "Content-Type":
		return "content-type"
	case "Content-Length":
		return "content-length"
	case "User-Agent":
		return "user-agent"
	case "Accept-Encoding":
		return "accept-encoding"
	}
	key := strings.ToLower(name)
	return strings.TrimPrefix(key, "grpc-metadata-")
}

// prefixed tells a header that means a key by another name.
func prefixed(name string) bool { return strings.HasPrefix(name, "Grpc-Metadata-") }

// httpOnly are headers that concern the HTTP exchange and say nothing about the
// call: negotiation, caching, ranges, and the deadline, which gRPC carries itself.
func httpOnly(key string) bool {
	switch key {
	case "accept", "accept-encoding", "content-encoding", "content-language", "content-location", "content-range",
		"content-md5", "expect", "range", "if-range", "if-match", "if-none-match", "if-modified-since",
		"if-unmodified-since", "x-server-timeout", "connect-timeout-ms":
		return true
	}
	return false
}

// connectionNamed are the headers that belong to this connection only, by the
// client's own word (RFC 9110, section 7.6.1).
func connectionNamed(values []string) map[string]bool {
	if len(values) == 0 {
		return nil
	}
	named := map[string]bool{}
	for name := range strings.SplitSeq(joined(values), ",") {
		named[strings.ToLower(strings.TrimSpace(name))] = true
	}
	return named
}

// writeHeaders writes the call's headers.
func (s *restStream) writeHeaders(contentType string) {
	h := s.w.Header()
	for key, values := range s.header {
		if s.passes(key) {
			setHeader(h, key, httpValues(key, values))
		}
	}
	for key, values := range s.call.Header() {
		if !strings.HasPrefix(key, "grpc-") { // which HTTP has names of its own for
			setHeader(h, key, httpValues(key, values))
		}
	}
	said := [...]string{contentType, s.call.RequestID}
	h["Content-Type"] = said[0:1:1]
	h["X-Request-Id"] = said[1:2:2]
}

// passes tells the backend's headers that go to the client. Which pages may read
// them is the gateway's to say, where it says it.
func (s *restStream) passes(key string) bool {
	return !call.ResponseReserved(key) && (s.table.CORS == nil || !strings.HasPrefix(key, "access-control-"))
}

// setHeader sets a header in the place of the gateway's own; but what an answer
// depends on adds up, and so do links.
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

// wantsTrailers tells a client that said "TE: trailers".
func (s *restStream) wantsTrailers() bool {
	for _, v := range s.r.Header["Te"] {
		if strings.Contains(strings.ToLower(v), "trailers") {
			return true
		}
	}
	return false
}

// setLength tells the length of a body that is written at once. HTTP/1 has no
// room for trailers behind a body of known length: they are announced instead.
func (s *restStream) setLength(n int) {
	h := s.w.Header()
	if len(s.trailer) > 0 && s.wantsTrailers() {
		for key := range s.trailer {
			if s.passes(key) {
				h["Trailer"] = append(h["Trailer"], textproto.CanonicalMIMEHeaderKey(key))
			}
		}
	}
	if len(h["Trailer"]) == 0 {
		h["Content-Length"] = []string{strconv.Itoa(n)}
	}
}

func (s *restStream) writeTrailers() {
	if len(s.trailer) == 0 || !s.wantsTrailers() {
		return
	}
	h := s.w.Header()
	for key, values := range s.trailer {
		if s.passes(key) {
			name := textproto.CanonicalMIMEHeaderKey(key)
			delete(h, name) // a header of that name has gone out; of an announced trailer it would go again
			h[http.TrailerPrefix+name] = httpValues(key, values)
		}
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func joined(values []string) string { return strings.Join(values, ", ") }

// requestIDMax bounds what a client may have us write into every log.
const requestIDMax = 128

// requestID takes the client's identifier if it is fit for a log and a header,
// or makes one.
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
