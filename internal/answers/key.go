package answers

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"google.golang.org/grpc/mem"

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

// KeyOf is the key of parts and a request message. Each part is preceded by its
// length, so that none reaches into the next; the request is the rest. Requests
// are told apart by their bytes: two spellings of one message have two keys.
func KeyOf(request mem.BufferSlice, parts ...string) Key {
	h, ok := hashers.Get().(*hasher)
	if !ok {
		h = &hasher{Hash: sha256.New()}
	}
	defer hashers.Put(h)
	h.Reset()
	b := binary.AppendUvarint(h.scratch[:0], uint64(len(parts)))
	for _, p := range parts {
		b = call.AppendPart(b, p)
	}
	_, _ = h.Write(b) // never fails
	for _, buf := range request {
		_, _ = h.Write(buf.ReadOnlyData())
	}
	b = h.Sum(b[:0])
	h.scratch = b
	return Key(b)
}
