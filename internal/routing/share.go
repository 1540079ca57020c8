package routing

import (
	"context"

	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// share is how many of a hundred calls a route takes.
type share struct {
	percent float64
	random  func() float64
	key     func(context.Context) (string, error)
	salt    uint64
}

// all is the percentage at which nothing is left to choose.
const all = 100

func (s *share) takes(ctx context.Context) (bool, error) {
	if s.percent >= all {
		return true, nil
	}
	if s.key != nil {
		key, err := s.key(ctx)
		if told := clientsError(err); told != nil {
			return false, told
		}
		if err == nil && !expr.IsEmptyKey(key) {
			return fraction(hash(s.salt, key))*all < s.percent, nil
		}
	}
	return s.random()*all < s.percent, nil
}

// saltOf is what a route adds to its keys, so that those who are chosen for one
// canary are not those who are chosen for every other. It is made of names only:
// all replicas, protocols, and RPCs with a route to the same upstream choose
// alike, and whoever was chosen at 5 % still is at 10 %. Of several routes of one
// RPC to one upstream each has its own, for the first has taken the keys that
// would come first in the others.
func saltOf(upstream string, before int) uint64 {
	return hash(uint64(before), upstream)
}

// The parameters of FNV-1a, 64 bits wide.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// hash is FNV-1a with the finalizer of MurmurHash3, without which keys that
// differ in their last character would fall beside one another. It must never
// change: clients would change sides.
func hash(salt uint64, key string) uint64 {
	h := uint64(fnvOffset)
	for range 8 {
		h = (h ^ salt&0xff) * fnvPrime
		salt >>= 8
	}
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * fnvPrime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// fraction is h as a number in [0, 1).
func fraction(h uint64) float64 { return float64(h>>11) / (1 << 53) }
