package call

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Mirrored is the key of metadata by which a backend knows the copy of a call,
// whose answer nobody will see.
const Mirrored = "gatehouse-mirrored"

// Keys of metadata under which a backend gets the client's User-Agent; user-agent
// itself belongs to grpc-go. The second is the one that grpc-gateway uses.
const (
	UserAgent              = "x-forwarded-user-agent"
	UserAgentOfGRPCGateway = "grpcgateway-user-agent"
)

// Folded returns a key of metadata in the spelling that stands for all spellings
// of it: lower case, with dashes for underscores and dots. Some servers read all
// of these alike, so whoever asks whether a key tells backends who is calling
// compares keys in this form.
func Folded(key string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '.' {
			return '-'
		}
		return c
	}, strings.ToLower(key))
}

// RequestReserved reports whether a key of request metadata belongs to the
// protocol, to one connection, or to the gateway, so that what a client sends
// under it never reaches a backend. Keys are in lower case; [Folded] spellings of
// a key count as the key.
func RequestReserved(key string) bool {
	key = Folded(key)
	switch key {
	case "forwarded", "x-real-ip", Mirrored, UserAgentOfGRPCGateway:
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

// sentKey is the key under which a context has what the client sent.
type sentKey struct{}

// WithSent returns ctx that remembers the metadata as the client sent it, before
// policies take credentials away that are the gateway's own. Nobody writes to md.
func WithSent(ctx context.Context, md metadata.MD) context.Context {
	return context.WithValue(ctx, sentKey{}, md)
}

// Sent is the metadata as the client sent it: what WithSent remembered, else what the
// edge passed on, else what ctx carries now. Nobody writes to it.
func Sent(ctx context.Context) metadata.MD {
	if md, ok := ctx.Value(sentKey{}).(metadata.MD); ok {
		return md
	}
	if c := From(ctx); c != nil && c.Sent != nil {
		return c.Sent
	}
	md, _ := metadata.FromOutgoingContext(ctx)
	return md
}

// SentMetadata is Sent under one key.
func SentMetadata(ctx context.Context, key string) []string {
	if md, ok := ctx.Value(sentKey{}).(metadata.MD); ok {
		return md[key]
	}
	return metadata.ValueFromOutgoingContext(ctx, key)
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
		if !MetadataKey(key) && !strings.HasPrefix(key, ":") {
			return Refuse(Client, codes.InvalidArgument,
				"the key %q of metadata cannot be passed on: use letters, digits, '-', '_' and '.'", key)
		}
		if strings.HasSuffix(key, "-bin") {
			continue
		}
		for _, v := range values {
			if !Printable(v) {
				return Refuse(Client, codes.InvalidArgument,
					"the value of metadata %q cannot be passed on: it must be printable ASCII, or the key must end in \"-bin\"", key)
			}
		}
	}
	return nil
}

// MetadataKey reports whether gRPC can carry metadata under key: lower-case
// letters, digits, '-', '_' and '.' (gRPC over HTTP/2, "Header-Name").
func MetadataKey(key string) bool {
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return key != ""
}

// Printable reports whether text is printable ASCII, as the values of metadata are
// whose key does not end in "-bin".
func Printable(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}
