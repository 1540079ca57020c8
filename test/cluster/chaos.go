package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// The times of a round.
const (
	trouble = 6 * time.Second // in which faults begin and end
	rest    = 1500 * time.Millisecond
	longest = 3500 * time.Millisecond // of one fault
	least   = 200 * time.Millisecond
	faults  = 9 // in a round
)

// Chaos does harm to a cluster, as the package comment tells.
type Chaos struct {
	world  *World
	random *rand.Rand
	counts map[string]int
	log    func(format string, args ...any)
}

// NewChaos returns one whose schedule is that of the seed.
func NewChaos(w *World, seed uint64, log func(string, ...any)) *Chaos {
	return &Chaos{world: w, random: rand.New(rand.NewPCG(seed, 0)), counts: map[string]int{}, log: log}
}

// Counts tell how often each kind of fault has happened.
func (c *Chaos) Counts() map[string]int { return c.counts }

// fault is one thing that is done, and undone.
type fault struct {
	kind  string
	what  string
	from  time.Duration // the beginning of the round
	lasts time.Duration
	do    func() error
	undo  func() error
}

// Round has one round of trouble and the rest after it. The error says that a part
// did not come back.
func (c *Chaos) Round() error {
	plan := c.plan()
	errs := make([]error, len(plan))
	var all sync.WaitGroup
	for i, f := range plan {
		c.counts[f.kind]++
		c.log("  %5.1fs for %.1fs: %s %s", f.from.Seconds(), f.lasts.Seconds(), f.kind, f.what)
		all.Go(func() { errs[i] = f.happen() })
	}
	all.Wait()
	<-time.After(rest)
	return errors.Join(errs...)
}

func (f fault) happen() error {
	<-time.After(f.from)
	if err := f.do(); err != nil {
		return fmt.Errorf("%s %s: %w", f.kind, f.what, err)
	}
	<-time.After(f.lasts)
	if err := f.undo(); err != nil {
		return fmt.Errorf("after %s %s: %w", f.kind, f.what, err)
	}
	return nil
}

// plan chooses who is spared, and faults for others. Each part and each link has
// one at most.
func (c *Chaos) plan() []fault {
	spared := c.spare()
	parts := c.others(spared)
	links := c.exposed(spared)
	var plan []fault
	for len(plan) < faults && len(parts)+len(links) > 0 {
		var f fault
		switch part := c.random.IntN(2) == 0; {
		case part && len(parts) > 0:
			f, parts = c.partFault(parts[0]), parts[1:]
		case !part && len(links) > 0:
			f, links = c.linkFault(links[0]), links[1:]
		default:
			continue
		}
		f.lasts = least + c.upTo(longest-least)
		f.from = c.upTo(trouble - f.lasts)
		plan = append(plan, f)
	}
	return plan
}

func (c *Chaos) upTo(d time.Duration) time.Duration { return time.Duration(c.random.Int64N(int64(d))) }

// spare chooses a gateway and a replica of each backend.
func (c *Chaos) spare() map[*part]bool {
	spared := map[*part]bool{nil: true} // the clients
	for _, kind := range append([]string{"gateway"}, backends[:]...) {
		var some []*part
		for _, p := range c.world.parts {
			if p.kind == kind {
				some = append(some, p)
			}
		}
		spared[some[c.random.IntN(len(some))]] = true
	}
	return spared
}

func (c *Chaos) others(spared map[*part]bool) (some []*part) {
	for _, p := range c.world.parts {
		if !spared[p] {
			some = append(some, p)
		}
	}
	c.random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some
}

// exposed are the links of which not both ends are spared.
func (c *Chaos) exposed(spared map[*part]bool) (some []*wire) {
	for _, l := range c.world.links {
		if !spared[l.from] || !spared[l.to] {
			some = append(some, l)
		}
	}
	c.random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some
}

func (c *Chaos) partFault(p *part) fault {
	if c.random.IntN(2) == 0 {
		return fault{kind: "kill " + p.kind, what: p.name, do: func() error { p.kill(); return nil }, undo: p.heal}
	}
	return fault{kind: "pause " + p.kind, what: p.name, do: p.pause, undo: p.heal}
}

func (c *Chaos) linkFault(l *wire) fault {
	f := fault{what: l.name, undo: func() error { l.heal(); return nil }}
	switch c.random.IntN(8) {
	case 0:
		f.kind, f.do = "reset", func() error { l.reset(); return nil }
	case 1:
		by := time.Duration(20+c.random.IntN(180)) * time.Millisecond
		f.kind, f.do = "delay", func() error { l.slow(by); return nil }
	case 2:
		f.kind, f.do = "partition one way, there", func() error { l.hold(true, false); return nil }
	case 3:
		f.kind, f.do = "partition one way, back", func() error { l.hold(false, true); return nil }
	case 4, 5:
		f.kind, f.do = "partition, then reset", func() error { l.hold(true, true); return nil }
		f.undo = func() error { l.reset(); l.heal(); return nil }
	default:
		f.kind, f.do = "partition", func() error { l.hold(true, true); return nil }
	}
	return f
}
