package transcode

import (
	"bytes"
	"hash/maphash"
)

// keySet finds repeated keys. A key is a stretch of a buffer that the caller
// owns and that may move, but does not change before the last key in it.
type keySet struct {
	refs []keyRef
	// table holds 1 + an index into refs, by open addressing; it is empty while
	// comparing with each key is faster.
	table []int32
	seed  maphash.Seed
}

// keyRef is one key with what the caller wants to know of it.
type keyRef struct {
	off, n uint32
	value  int32
}

// newKeyRef is compact, since a hostile map has a key every few bytes; protobuf
// messages end at 2 GiB.
func newKeyRef(off, n, value int) keyRef {
	return keyRef{off: uint32(off), n: uint32(n), value: int32(value)}
}

const (
	fewKeys  = 8
	keptKeys = 1 << 12 // a larger set is not kept for the next document
)

func newKeySet() *keySet { return &keySet{seed: maphash.MakeSeed()} }

// pushSet takes an empty set from the stack; popSet gives it back.
func (s *inState) pushSet() *keySet {
	if s.nsets == len(s.sets) {
		s.sets = append(s.sets, newKeySet())
	}
	set := s.sets[s.nsets]
	s.nsets++
	set.refs, set.table = set.refs[:0], set.table[:0]
	return set
}

func (s *inState) popSet() { s.nsets-- }

func (k *keySet) shrink() {
	if cap(k.refs) > keptKeys {
		k.refs, k.table = nil, nil
	}
}

// find returns the key that equals buf[off:off+n], nil if there is none.
func (k *keySet) find(buf []byte, off, n int) *keyRef {
	key := buf[off : off+n]
	if len(k.table) == 0 {
		for i := range k.refs {
			if k.refs[i].is(buf, key) {
				return &k.refs[i]
			}
		}
		return nil
	}
	for slot := k.slot(key); ; slot = (slot + 1) & (len(k.table) - 1) {
		i := k.table[slot]
		if i == 0 {
			return nil
		}
		if ref := &k.refs[i-1]; ref.is(buf, key) {
			return ref
		}
	}
}

func (r *keyRef) is(buf, key []byte) bool {
	return int(r.n) == len(key) && bytes.Equal(buf[r.off:r.off+r.n], key)
}

// add enters a key that find did not find.
func (k *keySet) add(buf []byte, ref keyRef) {
	k.refs = append(grow(k.refs, 1), ref)
	switch n := len(k.refs); {
	case n <= fewKeys:
	case n*4 > len(k.table)*3:
		k.rehash(buf)
	default:
		k.enter(buf, n-1)
	}
}

// rehash enters all keys in a table at least half as large again.
func (k *keySet) rehash(buf []byte) {
	size := 32
	for size*2 < 3*len(k.refs) {
		size *= 2
	}
	if cap(k.table) < size {
		k.table = make([]int32, size)
	}
	k.table = k.table[:size]
	clear(k.table)
	for i := range k.refs {
		k.enter(buf, i)
	}
}

func (k *keySet) enter(buf []byte, i int) {
	ref := k.refs[i]
	slot := k.slot(buf[ref.off : ref.off+ref.n])
	for k.table[slot] != 0 {
		slot = (slot + 1) & (len(k.table) - 1)
	}
	k.table[slot] = int32(i + 1)
}

func (k *keySet) slot(key []byte) int {
	return int(maphash.Bytes(k.seed, key)) & (len(k.table) - 1)
}
