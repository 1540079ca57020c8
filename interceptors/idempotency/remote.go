package idempotency

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// remote is the store in Redis. Each key has one value there: a letter, the
// request's fingerprint, and then, while the call runs, its token; afterwards its
// answer. The value of a running call is its own, so who still has the key is told
// by comparing. A claim that was taken back has a second key, by its token.
type remote struct{ redis *redis.Store }

var _ store = remote{}

// The letters. Another form of values gets other letters.
const (
	running  = 'r'
	answered = 'a'
)

var (
	claimScript = redis.NewScript(`
if redis.call("EXISTS", KEYS[2]) == 1 then return redis.error_reply("ERR the claim is void") end
local size = redis.call("STRLEN", KEYS[1])
if size > tonumber(ARGV[3]) then return size end
local value = redis.call("GET", KEYS[1])
if not value then redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2]) end
return value`)

	renewScript = redis.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
return false`)

	keepScript = redis.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3]) end
return false`)

	voidScript = redis.NewScript(`
redis.call("SET", KEYS[2], "", "PX", ARGV[2])
if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("DEL", KEYS[1]) end
return false`)

	freeScript = redis.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("DEL", KEYS[1]) end
return false`)
)

// unasked is how many bytes of an answer come before there is room for it.
const unasked = 64 << 10

// claim has room for a large answer before that comes: a client may have many calls
// ask for it at once.
func (r remote) claim(ctx context.Context, t *ticket, lease time.Duration) (claim, error) {
	for most, held := int64(unasked), int64(0); ; {
		reply, err := r.redis.Run(ctx, claimScript, []string{keyName(t.of), voidName(t)}, mark(t), lease.Milliseconds(), most)
		if err != nil || reply == nil {
			return claim{won: err == nil}, err
		}
		switch reply := reply.(type) {
		case string:
			return parseValue(reply)
		case int64: // its length
			if c := call.From(ctx); c != nil {
				if err := c.Memory.ReserveAnswer(ctx, reply-held); err != nil {
					return claim{}, call.MemoryError(err)
				}
			}
			most, held = reply, reply
		default:
			return claim{}, fmt.Errorf("redis: the key has a %T: want a string", reply)
		}
	}
}

func (r remote) renew(ctx context.Context, t *ticket, lease time.Duration) error {
	_, err := r.redis.Run(ctx, renewScript, []string{keyName(t.of)}, mark(t), lease.Milliseconds())
	return err
}

func (r remote) keep(ctx context.Context, t *ticket, a *answers.Answer, ttl time.Duration) error {
	value := a.Append(append([]byte{answered}, t.sent[:]...))
	_, err := r.redis.Run(ctx, keepScript, []string{keyName(t.of)}, mark(t), value, max(ttl.Milliseconds(), 1))
	return err
}

func (r remote) free(ctx context.Context, t *ticket) error {
	_, err := r.redis.Run(ctx, freeScript, []string{keyName(t.of)}, mark(t))
	return err
}

// voidTime is longer than a network keeps trying to deliver what was sent on a
// connection that is closed.
const voidTime = 10 * time.Minute

// void takes back a claim, whether Redis has run it, runs it later, or never gets
// it.
func (r remote) void(ctx context.Context, t *ticket) error {
	_, err := r.redis.Run(ctx, voidScript, []string{keyName(t.of), voidName(t)}, mark(t), voidTime.Milliseconds())
	return err
}

// keyName has a hash tag: what belongs to one key is in one slot of a cluster.
func keyName(of id) string { return "idempotency:{" + hex.EncodeToString(of[:]) + "}" }

// voidName is the key that says that the claim with this token is void.
func voidName(t *ticket) string { return keyName(t.of) + ":" + hex.EncodeToString(t.token[:]) }

// mark is the value of a running call.
func mark(t *ticket) []byte {
	b := make([]byte, 0, 1+len(t.sent)+len(t.token))
	b = append(b, running)
	b = append(b, t.sent[:]...)
	return append(b, t.token[:]...)
}

// parseValue reads what is kept under a key.
func parseValue(value string) (claim, error) {
	var c claim
	if len(value) < 1+len(c.sent) {
		return claim{}, answers.ErrForm
	}
	copy(c.sent[:], value[1:])
	rest := value[1+len(c.sent):]
	switch {
	case value[0] == running && len(rest) == len(token{}):
		return c, nil
	case value[0] == answered:
		var err error
		c.answer, err = answers.Parse([]byte(rest))
		return c, err
	default:
		return claim{}, answers.ErrForm
	}
}
