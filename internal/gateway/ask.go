package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/connectivity"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
)

// reflectTimeout bounds the reading of contracts from running backends, which are
// all asked at once.
const reflectTimeout = 10 * time.Second

// reply is a backend's answer when it was asked for its contract.
type reply struct {
	set *contract.Set
	err error
}

// contracts are the replies of the backends that were asked, by their connections.
type contracts map[*upstream.Upstream]reply

// ask asks backends for their contracts, all at once.
func (a contracts) ask(ctx context.Context, backends []*upstream.Upstream) {
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
			a[up] = reply{set, err}
		})
	}
	wg.Wait()
}

// notAsked lists the backends whose contracts the table needs and that were not
// asked for them yet.
func (b *builder) notAsked() []*upstream.Upstream {
	var list []*upstream.Upstream
	for _, u := range b.file.Config.GetUpstreams() {
		switch u.GetSchema().GetSource().(type) {
		case *configv1.Schema_Image, *configv1.Schema_Linked:
			continue
		}
		up := b.upstreams[u.GetName()]
		if _, ok := b.replies[up]; !ok && up != nil && (b.reread || b.known(u) == nil) {
			list = append(list, up)
		}
	}
	return list
}

// known is the contract of a backend that was asked when the table in force was
// built; nil if there is none.
func (b *builder) known(u *configv1.Upstream) *source {
	if b.before == nil || b.before.upstreams[u.GetName()] != b.upstreams[u.GetName()] {
		return nil
	}
	return b.before.schemas[u.GetName()]
}

// reflected is the contract from a backend's reply. A backend that was asked before
// and does not answer now is taken to have the contract that it had.
func (b *builder) reflected(u *configv1.Upstream) (*source, error) {
	known := b.known(u)
	again := func() (*contract.Set, error) { return known.set, nil }
	a, asked := b.replies[b.upstreams[u.GetName()]]
	switch {
	case !asked && known != nil:
		return b.source(known.content, again)
	case !asked:
		return nil, errors.New("the backend was not asked") // notAsked has seen to it that it was
	case a.err == nil:
		return b.source(a.set.Sum(), func() (*contract.Set, error) { return a.set, nil })
	case known != nil:
		b.parts.log.Warn("a contract cannot be asked for: the last one stays", "upstream", u.GetName(), "error", a.err)
		return b.source(known.content, again)
	default:
		return nil, a.err
	}
}

// contractsChanged reports whether a backend has another contract than before. It
// does not wait for a backend that is away, and takes its contract for unchanged.
func (g *Gateway) contractsChanged(ctx context.Context) bool {
	now, replies := g.served(), contracts{}
	var ready []*upstream.Upstream
	for _, u := range now.file.Config.GetUpstreams() {
		if !u.GetSchema().GetReflection() {
			continue
		}
		up := now.upstreams[u.GetName()]
		if state := up.State(); state != connectivity.Ready {
			replies[up] = reply{err: fmt.Errorf("its connection is %v", state)}
			continue
		}
		ready = append(ready, up)
	}
	replies.ask(ctx, ready)
	changed := false
	for _, u := range now.file.Config.GetUpstreams() {
		a, asked := replies[now.upstreams[u.GetName()]]
		switch {
		case !asked:
		case a.err != nil:
			g.reload.unread.Inc()
			g.parts.log.Debug("a contract cannot be asked for: the last one stays", "upstream", u.GetName(), "error", a.err)
		case now.schemas[u.GetName()].content != a.set.Sum():
			changed = true
		}
	}
	return changed
}
