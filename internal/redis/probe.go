package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The times between two signs of life asked for. The first is asked for at once,
// since what failed may have been one connection.
const (
	firstBackoff = 20 * time.Millisecond
	maxBackoff   = time.Second
)

// fail marks the store as down, if nothing has changed since the epoch in which
// the operation that failed began, and has one goroutine look for it.
func (s *Store) fail(epoch int64, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.epoch.CompareAndSwap(epoch, epoch+1) {
		return
	}
	s.metrics.up.Set(0)
	s.log.Warn("redis is down", "error", cause)
	s.probing.Go(s.probe)
}

// probe asks for a sign of life until there is one or the store is closed.
func (s *Store) probe() {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for backoff := firstBackoff; ; backoff = min(2*backoff, maxBackoff) {
		select {
		case <-timer.C:
		case <-s.closing.Done():
			return
		}
		if s.ping() == nil {
			s.recovered(time.Since(began))
			return
		}
		timer.Reset(backoff)
	}
}

func (s *Store) recovered(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.epoch.Add(1)
	s.metrics.up.Set(1)
	s.log.Info("redis is up", "after", after)
}

// ping asks the server, or each master of a cluster, since a limit may be kept
// by any of them.
func (s *Store) ping() error {
	ctx, cancel := context.WithTimeout(s.closing, dialTimeout)
	defer cancel()
	if cluster, ok := s.client.(*goredis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error {
			return c.Ping(ctx).Err()
		})
	}
	return s.client.Ping(ctx).Err()
}
