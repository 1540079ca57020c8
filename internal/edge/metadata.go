package edge

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Unfit is why a header cannot be metadata.
type Unfit uint8

// The reasons; fits is none.
const (
	fits Unfit = iota
	// UnfitName is a name with other characters than gRPC's keys have.
	UnfitName
	// UnfitValue is a value that is not printable ASCII.
	UnfitValue
	// UnfitBinary is a value that is not base64, under a name that ends in "-bin".
	UnfitBinary
)

// String gives the reason as it stands in metrics.
func (u Unfit) String() string { return [...]string{"", "name", "value", "binary"}[u] }

// idempotencyKey is the header that must not be dropped without a word: the call would be
// carried out as one without a key, and again when it is repeated. An empty one is refused
// where keys mean something.
const idempotencyKey = "idempotency-key"

// requestMetadata makes metadata of the request's headers, but for those that concern
// only HTTP and those that the gateway sets itself. A header that cannot be metadata is
// dropped and does not fail the request: its value is opaque to HTTP (RFC 9110, section
// 5.5), and a proxy may have added it.
func (h *HTTPHalf) requestMetadata() metadata.MD {
	r := h.R
	md := make(metadata.MD, len(r.Header)+6)
	named := connectionNamed(r.Header["Connection"])
	for name, values := range r.Header {
		key := metadataKey(name)
		if httpOnly(key) || h.Table.Reserved.Has(key) || named[key] || h.Version.owns(key) {
			continue
		}
		if prefixed(name) && r.Header[textproto.CanonicalMIMEHeaderKey(key)] != nil {
			continue // the header without the prefix counts
		}
		values, unfit := metadataValues(key, values)
		if unfit != fits {
			h.Settings.drop(unfit)
			if key == idempotencyKey {
				md[key] = []string{""}
			}
			continue
		}
		md[key] = append(slices.Clip(md[key]), values...)
	}
	return md
}

// metadataKey returns the key for a header, in lower case. A header "Grpc-Metadata-X"
// stands for the key "x", as in grpc-gateway.
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

// prefixed reports whether a header stands for the key without the prefix.
func prefixed(name string) bool { return strings.HasPrefix(name, "Grpc-Metadata-") }

// httpOnly reports whether a header concerns HTTP and not the call: negotiation, caching,
// ranges, and the deadline, which gRPC carries itself.
func httpOnly(key string) bool {
	switch key {
	case "accept", "accept-encoding", "content-encoding", "content-language", "content-location", "content-range",
		"content-md5", "expect", "range", "if-range", "if-match", "if-none-match", "if-modified-since",
		"if-unmodified-since", "x-server-timeout", "connect-timeout-ms":
		return true
	}
	return false
}

// connectionNamed returns the headers that the client declares to belong to this
// connection only (RFC 9110, section 7.6.1).
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

// metadataValues returns the values of a header as metadata (gRPC over HTTP/2,
// "Custom-Metadata"): printable ASCII, or bytes under a key that ends in "-bin". A header
// passes whole or not at all, because a part of it could mean something else. The key is
// in lower case. The result may be values itself, and must not be written to.
func metadataValues(key string, values []string) ([]string, Unfit) {
	if !call.MetadataKey(key) {
		return nil, UnfitName
	}
	if isBinary(key) {
		return binaryValues(values)
	}
	if !allPrintable(values) {
		return nil, UnfitValue
	}
	return values, fits
}

func allPrintable(values []string) bool {
	for _, v := range values {
		if !call.Printable(v) {
			return false
		}
	}
	return true
}

func isBinary(key string) bool { return strings.HasSuffix(key, "-bin") }

// binaryValues decodes the values of a header that ends in "-bin". One line may have
// several, separated by commas.
func binaryValues(lines []string) ([]string, Unfit) {
	decoded := make([]string, 0, len(lines))
	for _, line := range lines {
		for v := range strings.SplitSeq(line, ",") {
			b, err := base64.RawStdEncoding.DecodeString(unpadded(v))
			if err != nil {
				return nil, UnfitBinary
			}
			decoded = append(decoded, string(b))
		}
	}
	return decoded, fits
}

// unpadded returns a base64 value without spaces and padding.
func unpadded(v string) string { return strings.TrimRight(strings.Trim(v, " \t"), "=") }

// SplitBinary puts each value of a header that ends in "-Bin" on a line of its own,
// without padding, as grpc-go expects it. It refuses values that are not base64.
func SplitBinary(h http.Header) error {
	for name, lines := range h {
		if !strings.HasSuffix(name, "-Bin") {
			continue
		}
		if _, unfit := binaryValues(lines); unfit != fits {
			return call.Refuse(call.Client, codes.InvalidArgument, "header %q must be base64", strings.ToLower(name))
		}
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.ContainsAny(line, ", \t=") }) {
			continue
		}
		split := make([]string, 0, len(lines)+1)
		for _, line := range lines {
			for v := range strings.SplitSeq(line, ",") {
				split = append(split, unpadded(v))
			}
		}
		h[name] = split
	}
	return nil
}

// HeaderSize counts the values that backends may get, and the bytes of the header. One
// line of a binary HTTP header may have several values.
func HeaderSize[H ~map[string][]string](h H) (values, bytes int) {
	for name, lines := range h {
		values += len(lines)
		bytes += len(name)
		binary := strings.HasSuffix(name, "-Bin")
		for _, line := range lines {
			bytes += len(line)
			if binary {
				values += strings.Count(line, ",")
			}
		}
	}
	return values, bytes
}

// drop counts a header that is not passed on.
func (s *Settings) drop(why Unfit) {
	if s.Dropped != nil {
		s.Dropped(why)
	}
}
