package answers

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// VaryOf are the request headers that an answer depends on, as its header Vary says
// (RFC 9110, section 12.5.5): in lower case, sorted. all is true for "*": it
// depends on more than the request shows, and no other request can have it.
func VaryOf(header metadata.MD) (names []string, all bool) {
	for _, v := range header["vary"] {
		for name := range strings.SplitSeq(v, ",") {
			switch name = strings.ToLower(strings.TrimSpace(name)); name {
			case "":
			case "*":
				return nil, true
			default:
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// Variant is the key, of those of k, for requests that have the same values as the
// one in ctx in the headers that an answer depends on. It is k if there are none.
// What the gateway itself tells backends of a header that it does not pass on, as
// in x-forwarded-host or grpcgateway-user-agent, counts as that header.
func (k Key) Variant(ctx context.Context, names []string) Key {
	if len(names) == 0 {
		return k
	}
	parts := []string{"vary", string(k[:])}
	for _, name := range names {
		for _, key := range [...]string{name, "x-forwarded-" + name, "grpcgateway-" + name} {
			values := call.SentMetadata(ctx, key)
			parts = append(append(parts, key, strconv.Itoa(len(values))), values...)
		}
	}
	return KeyOf(nil, parts...)
}
