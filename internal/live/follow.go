package live

import (
	"context"
	"crypto/sha256"
	"os"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/files"
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
				g.lookAtFiles(ctx)
			}
		}
		tick.Stop()
	}
}

func (g *Gateway) lookAtFiles(ctx context.Context) {
	g.building.Lock()
	changed := g.reload.changed()
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

// settled is how old a file must be for its time to tell of every change: clocks
// of file systems tick coarsely.
const settled = 2 * time.Second

// mark is what is known of a file, so that it need not be read to see that it is
// the same.
type mark struct {
	info    os.FileInfo // nil: it cannot be read
	settled bool
	sum     [sha256.Size]byte
}

// markOf looks at a file that was as before when it was last looked at. Of what
// is not there, or is no plain file, it only tells that.
func markOf(path string, before mark) mark {
	info, err := files.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return mark{}
	}
	if b := before.info; b != nil && before.settled && os.SameFile(b, info) && b.ModTime().Equal(info.ModTime()) && b.Size() == info.Size() {
		return before
	}
	now := mark{info: info, settled: time.Since(info.ModTime()) > settled}
	if now.sum, err = files.Sum(path, contract.MaxImageBytes); err != nil {
		return mark{}
	}
	return now
}

// marks are those of all files that matter.
type marks map[string]mark

// look looks at the same files again, and tells whether one has changed.
func (p marks) look() (now marks, changed bool) {
	now = make(marks, len(p))
	for path, before := range p {
		now[path] = markOf(path, before)
		changed = changed || (now[path].info == nil) != (before.info == nil) || now[path].sum != before.sum
	}
	return now, changed
}

// filesOf are the files on which the table depends.
func filesOf(file *config.File, read []string) map[string]bool {
	all := map[string]bool{}
	for _, path := range read {
		all[path] = true
	}
	if file != nil {
		for _, path := range file.Files() {
			all[path] = true
		}
	}
	return all
}
