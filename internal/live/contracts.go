package live

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// reflectTimeout bounds the reading of contracts from running backends, which are
// all asked at once.
const reflectTimeout = 10 * time.Second

// ask asks backends for their contracts, all at once, and adds what they reply.
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

// contractsChanged reports whether a backend has another contract than before. It
// does not wait for a backend that is away, and takes its contract for unchanged.
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
			g.log.Debug("a contract cannot be asked for: the last one stays", "upstream", u.GetName(), "error", a.Err)
		case now.Contracts[u.GetName()].Content != a.Set.Sum():
			changed = true
		}
	}
	return changed
}
