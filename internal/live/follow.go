package live

import (
	"context"
	"os"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
)

// Follow reloads whenever the configuration, a contract or a certificate has
// changed, and when asked to, until ctx ends. Files are looked at every
// reload.interval: what the system could tell of changes differs from one system
// and file system to the next, and says nothing on many that are mounted, of which
// Kubernetes' are, where a folder of links is swapped.
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
		tick := time.NewTimer(conf.GetInterval().AsDuration())
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-asked:
			_, _ = g.Reload(ctx, compile.BySignal) // it was logged
		case <-changed:
			_, _ = g.Reload(ctx, compile.ByReflection)
		case <-tick.C:
			if !conf.GetDisabled() {
				g.checkFiles(ctx)
			}
		}
		tick.Stop()
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

// pollContracts asks backends for their contracts. One that does not answer has
// not changed its own.
func (g *Gateway) pollContracts(ctx context.Context, changed chan<- struct{}) {
	for {
		conf := g.Table().File.Config.GetReload()
		wait := conf.GetReflectionInterval().AsDuration()
		never := conf.GetDisabled() || wait == 0
		if never {
			wait = conf.GetInterval().AsDuration() // until that changes
		}
		tick := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
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
