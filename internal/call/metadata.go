package call

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Mirrored is the key of metadata by which a backend knows the copy of a call,
// whose answer nobody will see.
const Mirrored = "gatehouse-mirrored"

// RequestReserved reports whether a key of request metadata belongs to the
// protocol, to one connection, or to the gateway, so that what a client sends
// under it never reaches a backend. Keys are in lower case.
func RequestReserved(key string) bool {
	switch key {
	case "forwarded", "x-real-ip", Mirrored:
		return true
	}
	return strings.HasPrefix(key, "grpc-") || strings.HasPrefix(key, "x-forwarded-") || connectionReserved(key)
}

// ResponseReserved reports whether a key of response metadata belongs to the
// protocol or to one connection and so is not passed on to the client.
func ResponseReserved(key string) bool {
	switch key {
	case "grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-encoding", "grpc-accept-encoding", "grpc-timeout":
		return true
	}
	return connectionReserved(key)
}

func connectionReserved(key string) bool {
	switch key {
	case "", "content-type", "content-length", "te", "connection", "keep-alive", "proxy-connection",
		"proxy-authenticate", "proxy-authorization", "transfer-encoding", "upgrade", "trailer", "host", "user-agent":
		return true
	}
	return key[0] == ':'
}

// passable removes from md, in place, what does not go to the client.
func passable(md metadata.MD) metadata.MD {
	for k := range md {
		if ResponseReserved(k) {
			delete(md, k)
		}
	}
	return md
}

// CheckMetadata returns the client's error for metadata that gRPC cannot carry:
// keys are of lower-case letters, digits, '-', '_' and '.'; values are printable
// ASCII, but for keys that end in "-bin". Keys of the protocol's own, which begin
// with a colon, pass.
func CheckMetadata(md metadata.MD) error {
	for key, values := range md {
		if !validKey(key) {
			return Refuse(Client, codes.InvalidArgument,
				"the key %q of metadata cannot be passed on: use letters, digits, '-', '_' and '.'", key)
		}
		if strings.HasSuffix(key, "-bin") {
			continue
		}
		for _, v := range values {
			if !printable(v) {
				return Refuse(Client, codes.InvalidArgument,
					"the value of metadata %q cannot be passed on: it must be printable ASCII, or the key must end in \"-bin\"", key)
			}
		}
	}
	return nil
}

func validKey(key string) bool {
	if key == "" {
		return false
	}
	if key[0] == ':' {
		return true
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func printable(v string) bool {
	for i := range len(v) {
		if v[i] < 0x20 || v[i] > 0x7e {
			return false
		}
	}
	return true
}
