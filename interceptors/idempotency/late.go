package idempotency

import (
	"context"
	"slices"
	"time"
)

// late is a change of a key that Redis did not confirm: the call that it belongs to
// is over. Until it is made, Redis may hold the key for a call that nobody runs.
type late struct {
	change change
	ticket
	expires time.Time // of the answer
}

// change is what becomes of a key.
type change uint8

const (
	// void takes back a claim that Redis did not answer. It may run the claim later
	// still, when the network delivers it; then the claim has no effect.
	void change = iota
	// free frees a key that the call had.
	free
	// keep puts in the answer that this process keeps.
	keep
)

// maxLate bounds the changes that are remembered. Further keys are free when their
// lease ends.
const maxLate = 1024

// later remembers a change. A goroutine of the store makes it when Redis is up, so
// that no client's call does work for others.
func (h *held) later(change change) {
	k := h.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lateCount == maxLate {
		return
	}
	k.lateCount++
	k.late[h.of] = append(k.late[h.of], late{change, h.ticket, time.Now().Add(h.ttl)})
	if !k.catchingUp {
		k.catchingUp = true
		k.redis.Go(k.catchUp)
	}
}

// catchUp makes all late changes, and returns when there are none.
func (k *Keys) catchUp(ctx context.Context) {
	for k.redis.AwaitUp(ctx) == nil {
		of, ok := k.anyLate()
		if !ok {
			return
		}
		if k.settle(ctx, of) == nil {
			continue
		}
		select { // Redis is down now, or refuses the change
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// anyLate is a key with late changes. If there is none, catchUp is over.
func (k *Keys) anyLate() (of id, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for of := range k.late {
		return of, true
	}
	k.catchingUp = false
	return id{}, false
}

// settle makes the late changes of one key. A call that asks for the key and
// catchUp may both do so: a change that is made twice has no further effect.
func (k *Keys) settle(ctx context.Context, of id) error {
	k.mu.Lock()
	changes := slices.Clone(k.late[of])
	k.mu.Unlock()
	for _, l := range changes {
		if err := k.make(ctx, l); err != nil {
			return err
		}
		k.forget(l)
	}
	return nil
}

func (k *Keys) make(ctx context.Context, l late) error {
	in := remote{k.redis}
	switch l.change {
	case void:
		return in.void(ctx, &l.ticket)
	case free:
		return in.free(ctx, &l.ticket)
	default:
		kept, ok := k.local.peek(l.of)
		if !ok {
			return nil // there was no room for it
		}
		return in.keep(ctx, &l.ticket, kept.answer, time.Until(l.expires))
	}
}

func (k *Keys) forget(l late) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.late[l.of]
	left := slices.DeleteFunc(slices.Clone(before), func(other late) bool { return other == l })
	k.lateCount -= len(before) - len(left)
	if k.late[l.of] = left; len(left) == 0 {
		delete(k.late, l.of)
	}
}
