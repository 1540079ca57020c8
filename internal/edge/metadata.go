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

// requestMetadata makes metadata of the request's headers: all that is neither
// HTTP's own business nor the gateway's to say. A header that cannot be metadata
// is dropped: to HTTP its value is opaque (RFC 9110, section 5.5), and it may
// have been added on the way, so it does not fail the request.
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
			continue // the header of that name itself says what counts
		}
		values, unfit := metadataValues(key, values)
		if unfit != fits {
			h.Settings.drop(unfit)
			continue
		}
		md[key] = append(slices.Clip(md[key]), values...)
	}
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

// metadataValues are the values of a header as metadata (gRPC over HTTP/2,
// "Custom-Metadata"): printable ASCII, or bytes under a key that ends in "-bin".
// A header passes whole or not at all: what is left of it could mean something
// else. The key is in lower case. The result may be values itself, which nobody
// writes to.
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

// binaryValues decodes the values of a header that ends in "-bin". A line may
// have several, with commas between.
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

// unpadded is a base64 value without what may stand around it.
func unpadded(v string) string { return strings.TrimRight(strings.Trim(v, " \t"), "=") }

// SplitBinary has the values of each header that ends in "-Bin" stand in lines of their
// own and without padding, the form in which grpc-go takes each. It refuses values that
// are not base64.
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

// HeaderSize counts the values that backends may get, and the bytes of the header. The
// values of a binary header of HTTP may stand in one line.
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

// drop counts a header that goes no further.
func (s *Settings) drop(why Unfit) {
	if s.Dropped != nil {
		s.Dropped(why)
	}
}
