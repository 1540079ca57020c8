package redis

import (
	"context"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The times between two checks. The first is made at once, since what failed may
// have been one connection.
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
	s.recovery = make(chan struct{})
	s.metrics.up.Set(0)
	s.log.Warn("redis is down", "error", cause)
	s.background.Go(s.probe)
}

// probe checks until Redis is up or the store is closed.
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
		if s.check() == nil {
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
	close(s.recovery)
	s.metrics.up.Set(1)
	s.log.Info("redis is up", "after", after)
}

// doubt checks whether Redis takes writes, after it refused an operation that
// began in this epoch. One goroutine at a time does so, and not more often than
// every maxBackoff while Redis proves to be up.
func (s *Store) doubt(epoch int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.doubted || s.epoch.Load() != epoch || time.Since(s.checked) < maxBackoff {
		return
	}
	s.doubted = true
	s.background.Go(func() {
		err := s.check()
		s.mu.Lock()
		s.doubted = false
		if err == nil {
			s.checked = time.Now()
		}
		s.mu.Unlock()
		if err != nil {
			s.fail(epoch, err)
		}
	})
}

// probeScript writes as operations do: by a script, and a key with the prefix. A
// server that only reads, or that has no memory left, answers PING all the same.
var probeScript = goredis.NewScript(`return redis.call("SET", KEYS[1], "", "PX", 1)`)

// check writes to the server, or to each master of a cluster, since a limit may be
// kept by any of them.
func (s *Store) check() error {
	ctx, cancel := context.WithTimeout(s.closing, dialTimeout)
	defer cancel()
	if cluster, ok := s.client.(*goredis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return s.write(ctx, c) })
	}
	return s.write(ctx, s.client)
}

// probeNames is how many names a master is offered. One that has a tenth of a
// cluster's slots refuses as many once in 10^11 times.
const probeNames = 256

// write writes a key to one server. A master of a cluster takes only keys of its
// own slots, so it is offered other names until one fits.
func (s *Store) write(ctx context.Context, c goredis.Scripter) error {
	for i := range probeNames {
		err := probeScript.Eval(ctx, c, []string{s.prefix + "probe:" + strconv.Itoa(i)}).Err()
		if !goredis.HasErrorPrefix(err, "MOVED") && !goredis.HasErrorPrefix(err, "ASK") {
			return err
		}
	}
	return nil // it has few slots or none: operations go to others
}
