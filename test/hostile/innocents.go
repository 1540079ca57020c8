package hostile

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// patience is how long an innocent caller waits for an answer.
	patience = 5 * time.Second
	// pace is how long it waits between two calls.
	pace = 5 * time.Millisecond
	// enough calls are made by each caller while the attack stands, unless that takes
	// standLimit.
	enough     = 20
	standLimit = 15 * time.Second
	// A short Play leaves time for few calls: failures of fewer than these count as if
	// there were so many, since an attacker may rightly take what is there for a moment.
	few = 20
)

// innocents call Get over connections of their own, one natively and one by REST.
type innocents struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	each   []*innocent
}

// innocent is one caller and its calls. Those that end during Play are counted apart
// from those that end while the attack stands: a long Play must not hide that nothing
// is answered when the harm is at its fullest.
type innocent struct {
	call     caller
	standing atomic.Bool // Play has ended
	play     tally
	stand    tally
}

// tally counts calls.
type tally struct{ all, failed atomic.Int64 }

// caller makes one call, over its own connection.
type caller func(context.Context) error

// callers returns an innocent caller of each door. Their connections end with the
// attack.
func (t *Target) callers() ([]caller, error) {
	conn, err := grpc.NewClient(t.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		return nil, err
	}
	t.OnEnd(func() { _ = conn.Close() })
	web := &http.Client{Transport: &http.Transport{}}
	t.OnEnd(web.CloseIdleConnections)
	return []caller{
		func(ctx context.Context) error {
			var answer []byte
			return conn.Invoke(ctx, "/"+Service+"/Get", Thing{Name: "innocent"}.Wire(), &answer)
		},
		func(ctx context.Context) error {
			return get(ctx, web, "http://"+t.HTTP+"/v1/things/innocent")
		},
	}, nil
}

func get(ctx context.Context, web *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := web.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := drain(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", answer.StatusCode)
	}
	return nil
}

// warm has the gateway answer a few calls, so that it holds at rest what it holds
// with every client.
func (t *Target) warm() error {
	all, err := t.callers()
	if err != nil {
		return err
	}
	for _, call := range all {
		for range 20 {
			if err := call(t.ctx); err != nil {
				return fmt.Errorf("a call before the attack: %w", err)
			}
		}
	}
	return nil
}

func (t *Target) startInnocents() (*innocents, error) {
	all, err := t.callers()
	if err != nil {
		return nil, err
	}
	return startInnocents(t.ctx, all), nil
}

func startInnocents(ctx context.Context, callers []caller) *innocents {
	ctx, cancel := context.WithCancel(ctx)
	i := &innocents{cancel: cancel}
	for _, call := range callers {
		one := &innocent{call: call}
		i.each = append(i.each, one)
		i.done.Go(func() { one.run(ctx) })
	}
	return i
}

func (i *innocent) run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, patience)
		err := i.call(one)
		cancel()
		if ctx.Err() != nil {
			return // which is no fault of the gateway's
		}
		calls := &i.play
		if i.standing.Load() {
			calls = &i.stand
		}
		if err != nil {
			calls.failed.Add(1)
		}
		calls.all.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// stands says that Play has ended, and the attack stands from now on.
func (i *innocents) stands() {
	for _, one := range i.each {
		one.standing.Store(true)
	}
}

// share lets each make enough calls while the attack stands, and returns the lowest
// share of calls that were answered: of each caller, during Play and since. calls are
// those of all.
func (i *innocents) share() (lowest float64, calls int) {
	late := time.NewTimer(standLimit)
	defer late.Stop()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for waiting := true; waiting && i.fewest() < enough; {
		select {
		case <-tick.C:
		case <-late.C:
			waiting = false
		}
	}
	i.stop()
	lowest = 1
	for _, one := range i.each {
		lowest = min(lowest, one.play.share(few), one.stand.share(1))
		if one.stand.all.Load() == 0 {
			lowest = 0
		}
		calls += int(one.play.all.Load() + one.stand.all.Load())
	}
	return lowest, calls
}

// fewest is how many calls the slowest caller has made while the attack stands.
func (i *innocents) fewest() int64 {
	fewest := int64(enough)
	for _, one := range i.each {
		fewest = min(fewest, one.stand.all.Load())
	}
	return fewest
}

// share is the share that was answered, of at least so many calls.
func (t *tally) share(least int64) float64 {
	all := max(t.all.Load(), least)
	return float64(all-t.failed.Load()) / float64(all)
}

func (i *innocents) stop() {
	i.cancel()
	i.done.Wait()
}
