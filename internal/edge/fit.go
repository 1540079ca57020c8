package edge

import (
	"encoding/base64"
	"slices"
	"strings"

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

// splitBinary has the values of a header that ends in "-bin" stand in lines of
// their own and without padding, the form in which grpc-go takes each.
func splitBinary(lines []string) []string {
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.ContainsAny(line, ", \t=") }) {
		return lines
	}
	split := make([]string, 0, len(lines)+1)
	for _, line := range lines {
		for v := range strings.SplitSeq(line, ",") {
			split = append(split, unpadded(v))
		}
	}
	return split
}

// sizeOf counts the values that backends may get, and the bytes of the header. The
// values of a binary header of HTTP may stand in one line.
func sizeOf[H ~map[string][]string](h H) (values, bytes int) {
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
