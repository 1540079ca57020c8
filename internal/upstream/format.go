package upstream

import (
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// isProto reports whether a content type of gRPC's, which grpc-go has checked so
// far, says that messages are in protobuf: application/grpc alone does.
func isProto(contentType []string) bool {
	for _, ct := range contentType {
		media, _, _ := strings.Cut(ct, ";")
		_, format, ok := strings.Cut(media, "+")
		if format = strings.TrimSpace(format); ok && format != "" && !strings.EqualFold(format, "proto") {
			return false
		}
	}
	return true
}

// contentType is that of an answer that has begun.
func contentType(up grpc.ClientStream) string {
	header, _ := up.Header() // known to be there
	return strings.Join(header["content-type"], ", ")
}

// grpc-go has words only for the two facts below, and no event. The tests of
// broken backends find out if the words change.

// saysTooLarge reports whether RESOURCE_EXHAUSTED of grpc-go's own is about the size
// of a message, packed or unpacked, and not about a reset.
func saysTooLarge(err error) bool {
	return strings.Contains(status.Convert(err).Message(), "larger than max")
}

// saysHTTP reports whether UNKNOWN of grpc-go's own stands for an HTTP status, one of
// those that grpc-go has no code for.
func saysHTTP(err error, httpStatus int) bool {
	return status.Code(err) == codes.Unknown && strings.Contains(status.Convert(err).Message(), fmt.Sprintf("received from server: %d (", httpStatus))
}
