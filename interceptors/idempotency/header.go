package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// header is what names a call.
const header = "idempotency-key"

// maxKey bounds a key. A UUID has 36.
const maxKey = 255

// keyOf is the key that the client gave its call, "" if none. The error says what
// is wrong with it.
func keyOf(ctx context.Context) (string, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	switch values := md[header]; len(values) {
	case 0:
		return "", nil
	case 1:
		return parseKey(values[0])
	default:
		return "", fmt.Errorf("came %d times: want one", len(values))
	}
}

// parseKey reads a String of Structured Fields (RFC 9651, section 3.3.3). Since
// many clients send a bare UUID, text without quotes is taken as it stands.
func parseKey(value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("is empty: want 1 to %d characters", maxKey)
	}
	key := value
	if value[0] == '"' {
		var ok bool
		if key, ok = unquote(value); !ok {
			return "", fmt.Errorf(`is not a string: want printable ASCII in quotes, with \ only before " and \, and nothing after`)
		}
	} else if !bare(value) {
		return "", fmt.Errorf(`has characters that need quotes: want letters, digits and the like, or "..."`)
	}
	if key == "" || len(key) > maxKey {
		return "", fmt.Errorf("has %d characters: want 1 to %d", len(key), maxKey)
	}
	return key, nil
}

// unquote reads a string in quotes that is all there is.
func unquote(value string) (string, bool) {
	key := make([]byte, 0, min(len(value), maxKey+1))
	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			return string(key), i == len(value)-1
		case c < 0x20 || c > 0x7e:
			return "", false
		case c == '\\':
			if i++; i == len(value) || value[i] != '"' && value[i] != '\\' {
				return "", false
			}
			key = append(key, value[i])
		default:
			key = append(key, c)
		}
	}
	return "", false
}

// bare reports whether text is plain without quotes. A comma would join two
// headers, a semicolon begin parameters.
func bare(value string) bool {
	for i := range len(value) {
		switch c := value[i]; {
		case c <= 0x20 || c > 0x7e, c == '"', c == ',', c == ';', c == '\\':
			return false
		}
	}
	return true
}

// id names the answer to one caller's call: a hash of parts that cannot run into
// each other.
type id [sha256.Size]byte

// owner is whose memory a key takes: a caller with an id, or else an address.
// Credentials that anybody can make up, or ask for as many as they like, are not in
// it: each would have a share of its own.
type owner [sha256.Size]byte

func ownerOf(c *call.Call) owner {
	if c == nil {
		return owner{}
	}
	b := make([]byte, 0, 128)
	if id, known := c.Caller().Identity(); known && !id.ByCredential {
		b = call.AppendPart(call.AppendPart(append(b, 'c'), id.Authenticator), id.ID)
	} else {
		b = appendAddress(b, c)
	}
	return sha256.Sum256(b)
}

func identify(ctx context.Context, method, key string) id {
	b := make([]byte, 0, 256)
	b = appendCaller(b, call.From(ctx))
	credentials := answers.Credentials(ctx)
	b = binary.AppendUvarint(b, uint64(len(credentials)))
	for _, part := range credentials {
		b = call.AppendPart(b, part)
	}
	b = call.AppendPart(b, method)
	b = call.AppendPart(b, key)
	return sha256.Sum256(b)
}

func appendCaller(b []byte, c *call.Call) []byte {
	if c == nil {
		return append(b, 'n')
	}
	if id, known := c.Caller().Identity(); known {
		kind := byte('c')
		if id.ByCredential {
			kind = 'h'
		}
		return call.AppendPart(call.AppendPart(append(b, kind), id.Authenticator), id.ID)
	}
	if caller := c.Caller(); caller != nil { // of whom nothing tells who it is
		b = call.AppendPart(append(b, 'u'), caller.Authenticator)
	}
	return appendAddress(b, c)
}

func appendAddress(b []byte, c *call.Call) []byte {
	b = append(b, 'a')
	return call.AppendPart(b, c.PeerNetwork().String())
}
