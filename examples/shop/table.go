package shop

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"google.golang.org/protobuf/proto"
)

// How many resources a page has when nobody says, and at most.
const (
	defaultPageSize = 50
	maxPageSize     = 200
)

// table holds the resources of one kind in the order of their keys. What is in
// it is never written again: to change a resource, put a changed copy. It is
// guarded by the lock of the service that owns it.
type table[M proto.Message] struct {
	rows  map[string]M
	keys  map[string]string // by name
	order []string          // keys
	names map[string]string // by key
}

func newTable[M proto.Message]() *table[M] {
	return &table[M]{rows: map[string]M{}, keys: map[string]string{}, names: map[string]string{}}
}

// get returns the resource of a name.
func (t *table[M]) get(name string) (M, bool) {
	m, ok := t.rows[name]
	return m, ok
}

// put stores a resource where its key belongs. A resource keeps the key it was
// first stored with.
func (t *table[M]) put(name, key string, m M) {
	if _, ok := t.rows[name]; !ok {
		i, _ := slices.BinarySearch(t.order, key)
		t.order = slices.Insert(t.order, i, key)
		t.keys[name], t.names[key] = key, name
	}
	t.rows[name] = m
}

// remove forgets a resource.
func (t *table[M]) remove(name string) {
	key, ok := t.keys[name]
	if !ok {
		return
	}
	if i, found := slices.BinarySearch(t.order, key); found {
		t.order = slices.Delete(t.order, i, i+1)
	}
	delete(t.rows, name)
	delete(t.keys, name)
	delete(t.names, key)
}

// all returns the resources in order.
func (t *table[M]) all() []M {
	list := make([]M, 0, len(t.order))
	for _, key := range t.order {
		list = append(list, t.rows[t.names[key]])
	}
	return list
}

// paging is the part of a List request that all have (AIP-158).
type paging interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
}

// page is a part of a list.
type page[M any] struct {
	items []M
	next  string // token; empty on the last page
	total int
}

// list returns the page that a request asks for, of the resources to keep.
func (t *table[M]) list(request paging, keep func(M) bool) (page[M], error) {
	var kept []M
	for _, m := range t.all() {
		if keep(m) {
			kept = append(kept, m)
		}
	}
	return paginate(request, kept)
}

// paginate cuts the page that a request asks for out of a list. A token tells
// the place and belongs to one question: with other conditions it is refused.
func paginate[M any](request paging, list []M) (page[M], error) {
	size := int(request.GetPageSize())
	switch {
	case size < 0:
		return page[M]{}, invalid("page_size", "got %d, want 0 to %d", size, maxPageSize)
	case size == 0:
		size = defaultPageSize
	}
	size = min(size, maxPageSize)
	question := fingerprint(request)
	start, ok := parseToken(request.GetPageToken(), question)
	if !ok {
		return page[M]{}, invalid("page_token", "not one that this list has given for this request")
	}
	start = min(start, len(list))
	end := min(start+size, len(list))
	result := page[M]{items: list[start:end], total: len(list)}
	if end < len(list) {
		result.next = formatToken(end, question)
	}
	return result, nil
}

// fingerprint tells apart requests that differ in more than the page.
func fingerprint(request proto.Message) uint32 {
	question := proto.Clone(request).ProtoReflect()
	fields := question.Descriptor().Fields()
	question.Clear(fields.ByName("page_size"))
	question.Clear(fields.ByName("page_token"))
	return uint32(digest64(question.Interface()))
}

func formatToken(start int, question uint32) string {
	data := binary.BigEndian.AppendUint32(nil, question)
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(data, uint64(start)))
}

func parseToken(token string, question uint32) (start int, ok bool) {
	if token == "" {
		return 0, true
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(data) < 5 || binary.BigEndian.Uint32(data) != question {
		return 0, false
	}
	place, n := binary.Uvarint(data[4:])
	return int(place), n == len(data)-4 && place < 1<<31
}

// etag tells versions of a resource apart.
func etag(m proto.Message) string {
	return fmt.Sprintf("%016x", digest64(m))
}

func digest64(m proto.Message) uint64 {
	hash := fnv.New64a()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 0
	}
	_, _ = hash.Write(data) // never fails
	return hash.Sum64()
}
