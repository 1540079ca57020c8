package idempotency

import "context"

// orphan is a key that Redis may hold for a call of this process that is over, or
// that never had it: Redis did not say that it heard.
type orphan struct {
	of    id
	sent  fingerprint
	token token
}

// maxOrphans bounds what is remembered of them; others are free when their time is
// over.
const maxOrphans = 1024

// orphan remembers the key, to be freed when Redis is there again. A lease would
// free it soon enough; without one it would be taken for as long as an answer.
func (h *held) orphan() {
	if !h.once {
		return
	}
	h.keys.mu.Lock()
	defer h.keys.mu.Unlock()
	if len(h.keys.orphans) < maxOrphans {
		h.keys.orphans = append(h.keys.orphans, orphan{h.id, h.sent, h.token})
	}
}

// freeOrphans frees them in Redis, which has just answered.
func (k *Keys) freeOrphans(ctx context.Context, in store) {
	k.mu.Lock()
	list := k.orphans
	k.orphans = nil
	k.mu.Unlock()
	for i, o := range list {
		if err := in.free(ctx, o.of, o.sent, o.token); err != nil {
			k.mu.Lock()
			k.orphans = append(k.orphans, list[i:]...)
			k.mu.Unlock()
			return
		}
	}
}
