package live

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// Follow reloads when the configuration, a contract or a certificate changes, and when
// asked to, until ctx ends. It polls files every reload.interval, because notifications of
// changes differ between systems and do not work on many mounted file systems, such as
// Kubernetes' volumes, where a folder of links is swapped.
func (g *Gateway) Follow(ctx context.Context, asked <-chan os.Signal) {
	changed := make(chan struct{})
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		g.pollContracts(ctx, changed)
	}()
	defer func() { <-polled }()
	for {
		conf := g.Table().File.Config.GetReload()
		select {
		case <-ctx.Done():
			return
		case <-asked:
			_, _ = g.Reload(ctx, compile.BySignal) // it was logged
		case <-changed:
			_, _ = g.Reload(ctx, compile.ByReflection)
		case <-time.After(conf.GetInterval().AsDuration()):
			if !conf.GetDisabled() {
				g.checkFiles(ctx)
			}
		}
	}
}

func (g *Gateway) checkFiles(ctx context.Context) {
	g.building.Lock()
	changed := g.files.haveChanged()
	g.building.Unlock()
	if changed {
		_, _ = g.Reload(ctx, compile.ByFile) // it was logged
		return
	}
	_ = g.certs.Look() // it was logged
}

// pollContracts asks backends for their contracts. The contract of a backend that does not
// answer counts as unchanged.
func (g *Gateway) pollContracts(ctx context.Context, changed chan<- struct{}) {
	for {
		conf := g.Table().File.Config.GetReload()
		wait := conf.GetReflectionInterval().AsDuration()
		never := conf.GetDisabled() || wait == 0
		if never {
			wait = conf.GetInterval().AsDuration() // until that changes
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if never || !g.contractsChanged(ctx) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case changed <- struct{}{}:
		}
	}
}

// reflectTimeout bounds the reading of contracts from running backends, which are
// all asked at once.
const reflectTimeout = 10 * time.Second

// ask asks backends for their contracts, all at once, and adds their replies.
func ask(ctx context.Context, replies compile.Replies, backends []*upstream.Upstream) {
	ctx, cancel := context.WithTimeout(ctx, reflectTimeout)
	defer cancel()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	for _, up := range backends {
		wg.Go(func() {
			set, err := contract.Reflect(ctx, up.Raw())
			mu.Lock()
			defer mu.Unlock()
			replies[up] = compile.Reply{Set: set, Err: err}
		})
	}
	wg.Wait()
}

// contractsChanged reports whether a backend has another contract than before. It does not
// wait for a backend that is not connected: the contract of that one counts as unchanged.
func (g *Gateway) contractsChanged(ctx context.Context) bool {
	now, replies := g.Table(), compile.Replies{}
	var ready []*upstream.Upstream
	for _, u := range now.File.Config.GetUpstreams() {
		if !u.GetSchema().GetReflection() {
			continue
		}
		up := now.Upstreams[u.GetName()]
		if state := up.State(); state != connectivity.Ready {
			replies[up] = compile.Reply{Err: fmt.Errorf("its connection is %v", state)}
			continue
		}
		ready = append(ready, up)
	}
	ask(ctx, replies, ready)
	changed := false
	for _, u := range now.File.Config.GetUpstreams() {
		a, asked := replies[now.Upstreams[u.GetName()]]
		switch {
		case !asked:
		case a.Err != nil:
			g.reports.unread.Inc()
			g.log.Debug("could not read the contract by reflection; keeping the last one", "upstream", u.GetName(), "error", a.Err)
		case now.Contracts[u.GetName()].Content != a.Set.Sum():
			changed = true
		}
	}
	return changed
}
