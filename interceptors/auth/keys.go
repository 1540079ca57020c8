package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-dev/gatehouse/internal/collect"
)

// errNoKeys says that an issuer's keys were never to be had.
var errNoKeys = errors.New("the issuer's keys could not be fetched yet")

// keySource is where an issuer's keys come from. It is safe for concurrent use.
type keySource interface {
	// current are the keys as they are known, nil if they never were.
	current() *keySet
	// newer are keys after old, nil if there are none. It may wait for them.
	newer(ctx context.Context, old *keySet) (*keySet, error)
	close()
}

// fileKeys are keys of a file.
type fileKeys struct{ file *watched[keySet] }

func newFileKeys(path string, log *slog.Logger) (*fileKeys, error) {
	f, err := watch(path, log, func(data []byte, old *keySet) (*keySet, error) {
		set, err := parseKeys(data, true)
		if err == nil {
			err = set.usable()
		}
		if err != nil {
			return nil, err
		}
		if len(set.skipped) > 0 {
			log.Warn("some keys of a file cannot be used", "file", path, "keys", set.skipped)
		}
		set.succeed(old)
		return set, nil
	})
	return &fileKeys{f}, err
}

func (f *fileKeys) current() *keySet { return f.file.get() }

func (f *fileKeys) newer(_ context.Context, old *keySet) (*keySet, error) {
	if set := f.file.get(); set != old {
		return set, nil
	}
	return nil, nil
}

func (f *fileKeys) close() { f.file.close() }

// keptWithout is how long keys serve on for an issuer that answers with a set in
// which no key can be used. That is a fault far more often than it is meant; an
// issuer that means to withdraw all its keys is obeyed by then.
const keptWithout = 24 * time.Hour

// fetchedKeys are keys that are fetched: in the background when they have come of
// age, and when a token names one that is not known. Between two fetches passes
// the least time, whoever asks; while one is under way all wait for it. Old keys
// serve until there are new ones, but see keptWithout.
type fetchedKeys struct {
	name                string
	get                 func(context.Context) ([]byte, error)
	refresh, minRefresh time.Duration
	log                 *slog.Logger
	ok, failed, empty   prometheus.Counter

	set    atomic.Pointer[keySet]
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu         sync.Mutex
	running    chan struct{} // closed when the fetch under way is done
	began      time.Time     // of the last fetch
	next       time.Time     // when the next one is due
	failures   int           // in a row
	emptySince time.Time     // of the first answer without a usable key, of those in a row; zero if the last had one
	skipped    int           // keys of the last set that could not be used
}

// start begins to fetch.
func (f *fetchedKeys) start() {
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.next = time.Now()
	f.wg.Go(f.run)
}

func (f *fetchedKeys) close() {
	f.mu.Lock()
	f.cancel()
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *fetchedKeys) current() *keySet { return f.set.Load() }

// run fetches whenever keys have come of age.
func (f *fetchedKeys) run() {
	for f.ctx.Err() == nil {
		f.mu.Lock()
		due := time.Until(f.next)
		var done <-chan struct{}
		if due <= 0 {
			done = f.begin()
		}
		f.mu.Unlock()
		switch {
		case done != nil:
			<-done // it ends with f.ctx at the latest
		case due > 0:
			f.pause(due)
		default: // somebody else has just asked
			f.pause(f.minRefresh)
		}
	}
}

// pause waits, but not beyond the end.
func (f *fetchedKeys) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.ctx.Done():
	}
}

// begin starts a fetch, or joins the one under way, and returns what is closed
// when it is done; nil if the last one was too short ago. f.mu is held.
func (f *fetchedKeys) begin() <-chan struct{} {
	if f.running != nil {
		return f.running
	}
	now := time.Now()
	if f.ctx.Err() != nil || !f.began.IsZero() && now.Sub(f.began) < f.minRefresh {
		return nil
	}
	done := make(chan struct{})
	f.running, f.began = done, now
	f.wg.Go(func() {
		defer close(done)
		set, err := f.fetch()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = nil
		f.conclude(set, err)
	})
	return done
}

func (f *fetchedKeys) newer(ctx context.Context, old *keySet) (*keySet, error) {
	f.mu.Lock()
	var done <-chan struct{}
	if f.set.Load() == old {
		done = f.begin()
	}
	f.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch set := f.set.Load(); {
	case set == nil:
		return nil, errNoKeys
	case set != old:
		return set, nil
	default:
		return nil, nil
	}
}

func (f *fetchedKeys) fetch() (*keySet, error) {
	ctx, cancel := context.WithTimeout(f.ctx, fetchTimeout)
	defer cancel()
	data, err := f.get(ctx)
	if err != nil {
		return nil, err
	}
	return parseKeys(data, false)
}

// conclude takes in what a fetch has brought. f.mu is held.
func (f *fetchedKeys) conclude(set *keySet, err error) {
	if err != nil {
		f.failed.Inc()
		f.retryLater()
		if f.ctx.Err() == nil {
			f.log.Warn("an issuer's keys could not be fetched", "authenticator", f.name, "error", err, "known", f.set.Load() != nil)
		}
		return
	}
	if err := set.usable(); err != nil {
		f.without(set, err)
		return
	}
	f.ok.Inc()
	f.emptySince = time.Time{}
	f.next = time.Now().Add(f.refresh)
	if f.failures > 0 {
		f.log.Info("an issuer's keys were fetched again", "authenticator", f.name)
	}
	f.failures = 0
	if len(set.skipped) != f.skipped {
		f.log.Info("some of an issuer's keys cannot be used", "authenticator", f.name, "keys", set.skipped)
	}
	f.skipped = len(set.skipped)
	set.succeed(f.set.Load())
	f.set.Store(set)
}

// retryLater plans the fetch after one that has brought nothing. f.mu is held.
func (f *fetchedKeys) retryLater() {
	f.next = time.Now().Add(min(f.minRefresh<<min(f.failures, 10), f.refresh))
	f.failures++
}

// without keeps the keys of before, while they may be kept. f.mu is held.
func (f *fetchedKeys) without(set *keySet, err error) {
	f.empty.Inc()
	f.retryLater()
	old := f.set.Load()
	if old == nil || len(old.all) == 0 {
		f.log.Warn("an issuer has no keys", "authenticator", f.name, "error", err)
		return
	}
	if f.emptySince.IsZero() {
		f.emptySince = time.Now()
	}
	if left := keptWithout - time.Since(f.emptySince); left > 0 {
		f.log.Warn("an issuer has no keys: those of before stay", "authenticator", f.name, "error", err, "for", left.Round(time.Second).String())
		return
	}
	f.log.Error("an issuer has had no keys for too long: those of before are given up", "authenticator", f.name, "error", err, "after", keptWithout.String())
	set.succeed(old)
	f.set.Store(set)
}

// keyFetches counts fetches.
func keyFetches(reg prometheus.Registerer) (*prometheus.CounterVec, error) {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_auth_key_fetches_total", Help: "Fetches of issuers' keys, by authenticator and outcome (ok, failed, empty).",
	}, []string{"authenticator", "outcome"})
	err := collect.Register(reg, v)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if v, ok := known.ExistingCollector.(*prometheus.CounterVec); ok {
			return v, nil // of the gateway before a reload: counters go on
		}
	}
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	return v, nil
}
