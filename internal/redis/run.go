package redis

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// Script is a Lua program that Redis runs as one step: nothing else happens
// between its commands. It is immutable and known to Redis by its hash.
type Script struct{ script *goredis.Script }

// NewScript returns the script with this source.
func NewScript(source string) *Script { return &Script{goredis.NewScript(source)} }

// Run runs a script. The names of keys get the store's prefix; in a cluster all
// must have the same hash tag ("{...}"). The reply is nil, an int64, a string or
// a []any of these.
//
// Run takes no longer than the store's timeout, whatever the deadline of ctx.
// It does not end with ctx either: a client that goes away, or that sets a short
// deadline, must not cost a connection, nor make Redis look down to others.
// [ErrDown] means that Redis was not asked, an error that is [Refused] that it did
// not do the whole script. After any other error the outcome is not known, and
// Redis may run the script later.
func (s *Store) Run(ctx context.Context, script *Script, keys []string, args ...any) (any, error) {
	epoch := s.epoch.Load()
	if epoch%2 != 0 {
		s.metrics.skipped.Inc()
		return nil, ErrDown
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = s.prefix + key
	}
	reply, err := script.script.Run(ctx, s.client, full, args...).Result()
	if err == nil {
		return reply, nil
	}
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	s.metrics.failed.Inc()
	if Refused(err) {
		s.doubt(epoch)
	} else {
		s.fail(epoch, err)
	}
	return nil, fmt.Errorf("redis: %w", err)
}

// Refused reports whether err, of Run, is what Redis answered: the script ended
// where the error came up.
func Refused(err error) bool {
	_, ok := errors.AsType[goredis.Error](err)
	return ok
}
