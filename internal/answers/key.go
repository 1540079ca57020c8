package answers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Key names an answer: a SHA-256 of all that it depends on. It is never made of
// joined strings, of which different ones may be joined to the same.
type Key [sha256.Size]byte

// hasher is reused: a digest is larger than a call's worth of garbage should be.
type hasher struct {
	hash.Hash
	scratch []byte
}

var hashers sync.Pool

// KeyOf is the key of parts and a request message. Each is preceded by its
// length, so that no part reaches into the next. Requests are told apart by
// their bytes: two spellings of one message have two keys.
func KeyOf(request mem.BufferSlice, parts ...string) Key {
	h, ok := hashers.Get().(*hasher)
	if !ok {
		h = &hasher{Hash: sha256.New()}
	}
	defer hashers.Put(h)
	h.Reset()
	b := binary.BigEndian.AppendUint64(h.scratch[:0], uint64(len(parts)))
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(request.Len()))
	_, _ = h.Write(b) // never fails
	for _, buf := range request {
		_, _ = h.Write(buf.ReadOnlyData())
	}
	b = h.Sum(b[:0])
	h.scratch = b
	return Key(b)
}

// Who tells whose an answer is, as parts of a key.
type Who struct {
	Kind, Authenticator, ID string
}

// CallerOf is who calls, as far as a policy proved it; callers of whom nothing
// is known are one. It is not known if the call has a credential of its own
// ([Credentials]), for then the backend may answer each caller differently (RFC
// 9111, section 3.5, of shared caches).
func CallerOf(ctx context.Context) (_ Who, known bool) {
	if len(Credentials(ctx)) > 0 {
		return Who{}, false
	}
	if c := call.From(ctx); c != nil && c.Caller() != nil {
		caller := c.Caller()
		return Who{"caller", caller.Authenticator, caller.ID}, true
	}
	return Who{Kind: "nobody"}, true
}

// Credentials are the credentials in a call's metadata that do not belong to the
// caller that a policy proved: their keys and values, in pairs. The backend may
// tell end users apart by them, for example behind an application's API key. A
// token or password that named the caller leaves none: cookies beside it belong
// to the same user.
func Credentials(ctx context.Context) []string {
	if c := call.From(ctx); c != nil {
		if caller := c.Caller(); caller != nil && caller.ByAuthorization && caller.ID != "" {
			return nil
		}
	}
	var pairs []string
	for _, key := range [...]string{"authorization", "cookie"} {
		for _, value := range metadata.ValueFromOutgoingContext(ctx, key) {
			pairs = append(pairs, key, value)
		}
	}
	return pairs
}
