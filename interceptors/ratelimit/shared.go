package ratelimit

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/redis"
)

// keyPrefix begins the names of the keys. Its hash tag puts all of them into one
// slot of a cluster: a script sees one slot only, and any two limits may meet in
// one call.
const keyPrefix = "{ratelimit}:"

// script is [buckets.take] in Redis, with times in microseconds since 1970, which
// fit the 53 bits of Lua's numbers. KEYS are the buckets; ARGV has for each what
// the call takes and how deep the bucket is. It returns whether the call may pass,
// and for each bucket how long it will take to be full. A bucket that is full
// expires.
var script = redis.NewScript(`
local time = redis.call("TIME")
local now = time[1] * 1000000 + time[2]
local debts, known, pass = {}, {}, 1
for i, key in ipairs(KEYS) do
  local take, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  known[i] = (tonumber(redis.call("GET", key) or now) or now) - now
  debts[i] = math.min(math.max(known[i], 0), window)
  if debts[i] + take > window then pass = 0 end
end
local reply = {pass}
for i, key in ipairs(KEYS) do
  if pass == 1 then debts[i] = debts[i] + tonumber(ARGV[2 * i - 1]) end
  if pass == 1 or known[i] > debts[i] then
    redis.call("SET", key, string.format("%.0f", now + debts[i]), "PX", math.ceil(debts[i] / 1000))
  end
  reply[i + 1] = debts[i]
end
return reply`)

// takeShared takes from all buckets in Redis, or from none and reports false. An
// error means that Redis did not say.
func (l *Limits) takeShared(ctx context.Context, now int64, asks []ask) (bool, error) {
	keys, args := make([]string, len(asks)), make([]any, 0, 2*len(asks))
	for i := range asks {
		a := &asks[i]
		keys[i] = keyPrefix + hex.EncodeToString(a.id[:])
		args = append(args, a.rule.take/int64(time.Microsecond), a.rule.window/int64(time.Microsecond))
	}
	reply, err := l.redis.Run(ctx, script, keys, args...)
	if err != nil {
		return false, err
	}
	pass, err := read(reply, asks)
	if err == nil && !pass {
		// As of before Redis was asked: never later than Redis has it.
		l.seen.note(now, asks)
	}
	return pass, err
}

// read takes the answer of the script.
func read(reply any, asks []ask) (pass bool, err error) {
	unlike := func() error {
		return fmt.Errorf("redis: the script of limits answered %v: want %d whole numbers", reply, 1+len(asks))
	}
	list, ok := reply.([]any)
	if !ok || len(list) != 1+len(asks) {
		return false, unlike()
	}
	passed, ok := list[0].(int64)
	pass = passed == 1
	waits := false
	for i := range asks {
		micros, isInt := list[1+i].(int64)
		ok = ok && isInt
		a := &asks[i]
		a.known, a.debt = true, micros*int64(time.Microsecond)
		if !pass {
			a.wait = max(a.debt+a.rule.take-a.rule.window, 0)
			waits = waits || a.wait > 0
		}
	}
	if !ok || pass == waits {
		return false, unlike()
	}
	return pass, nil
}
