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
	// enough calls are made while the attack stands, unless that takes standLimit.
	enough     = 40
	standLimit = 15 * time.Second
)

// innocents call Get over connections of their own, one natively and one by REST.
type innocents struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	ok, all atomic.Int64
}

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

func startInnocents(t *Target) (*innocents, error) {
	all, err := t.callers()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.ctx)
	i := &innocents{cancel: cancel}
	for _, call := range all {
		i.done.Go(func() { i.run(ctx, call) })
	}
	return i, nil
}

func (i *innocents) run(ctx context.Context, call caller) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, patience)
		err := call(one)
		cancel()
		if ctx.Err() != nil {
			return // which is no fault of the gateway's
		}
		if i.all.Add(1); err == nil {
			i.ok.Add(1)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// share lets them make enough calls while the attack stands, and returns which
// share of all their calls was answered.
func (i *innocents) share() (float64, int) {
	until := i.all.Load() + enough
	late := time.NewTimer(standLimit)
	defer late.Stop()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for waiting := true; waiting && i.all.Load() < until; {
		select {
		case <-tick.C:
		case <-late.C:
			waiting = false
		}
	}
	i.stop()
	all := i.all.Load()
	return float64(i.ok.Load()) / float64(max(all, 1)), int(all)
}

func (i *innocents) stop() {
	i.cancel()
	i.done.Wait()
}
