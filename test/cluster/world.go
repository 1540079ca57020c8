package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// Programs are what the cluster is made of.
type Programs struct {
	Gateway string // of cmd/gatehouse
	Backend string // of test/cluster/backend
}

// World is a cluster that runs.
type World struct {
	contract *contract.Contract
	dir      string
	parts    []*part
	links    []*wire
	doors    [gateways]door
}

// part is a process and what it is in the cluster.
type part struct {
	process
	kind string // gateway, alpha, beta or redis
}

// wire is a link with both its ends; a nil end is the clients'.
type wire struct {
	*link
	from, to *part
}

// door is where clients reach a gateway.
type door struct{ http, grpc *link }

// NewWorld starts a cluster, which keeps its files in dir. Close ends it, also
// one that comes with an error.
func NewWorld(p Programs, dir string) (*World, error) {
	w := &World{dir: dir}
	var err error
	if w.contract, err = contract.Load(); err != nil {
		return w, err
	}
	if err := w.writeImage(); err != nil {
		return w, err
	}
	redis := w.addRedis()
	upstreams := map[string][]*part{}
	for _, name := range backends {
		for i := range replicas {
			upstreams[name] = append(upstreams[name], w.addReplica(p.Backend, name, i))
		}
	}
	for i := range gateways {
		if err := w.addGateway(p.Gateway, i, upstreams, redis); err != nil {
			return w, err
		}
	}
	return w, w.start()
}

func (w *World) writeImage() error {
	image, err := w.contract.Image()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "cluster.binpb"), image, 0o600)
}

// start starts all parts at once.
func (w *World) start() error {
	errs := make([]error, len(w.parts))
	var all sync.WaitGroup
	for i, p := range w.parts {
		all.Go(func() { errs[i] = p.start() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close ends all parts and links.
func (w *World) Close() {
	for _, p := range w.parts {
		p.kill()
	}
	for _, l := range w.links {
		l.close()
	}
}

// Misbehaved is what no part should ever have written: data races and panics.
func (w *World) Misbehaved() (bad []string) {
	for _, p := range w.parts {
		bad = append(bad, p.misbehaved()...)
	}
	return bad
}

// Said is the end of what the gateways wrote.
func (w *World) Said() string {
	var all strings.Builder
	for _, p := range w.parts {
		if p.kind == "gateway" {
			fmt.Fprintf(&all, "%s wrote:\n%s\n", p.name, p.said())
		}
	}
	return all.String()
}

// Journals are the executions of all replicas.
func (w *World) Journals() ([]contract.Entry, error) {
	files, err := filepath.Glob(filepath.Join(w.dir, "*.journal"))
	if err != nil {
		return nil, err
	}
	var all []contract.Entry
	for _, f := range files {
		some, err := contract.ReadJournal(f)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// add adds a part; host is its address, which no other part has where the system
// allows that.
func (w *World) add(kind, name string, command func(host string) (*exec.Cmd, error)) *part {
	host := loopback(len(w.parts))
	p := &part{kind: kind, process: process{name: name}}
	p.command = func() (*exec.Cmd, error) { return command(host) }
	w.parts = append(w.parts, p)
	return p
}

// lead adds a link between two parts, which listens at the address of the one
// that dials.
func (w *World) lead(from, to *part, name string) (*link, error) {
	k, err := newLink(name, loopback(len(w.parts)))
	if err != nil {
		return nil, err
	}
	w.links = append(w.links, &wire{k, from, to})
	return k, nil
}

// point has all links to a part that are of a kind lead to an address: each life
// of a process has a port of its own.
func (w *World) point(to *part, address string, which func(*wire) bool) {
	for _, l := range w.links {
		if l.to == to && which(l) {
			l.point(address)
		}
	}
}

func (w *World) addReplica(program, backend string, i int) *part {
	name := fmt.Sprintf("%s-%d", backend, i)
	p := w.add(backend, name, func(host string) (*exec.Cmd, error) {
		return exec.CommandContext(context.Background(), program, "-address", host+":0", "-name", name, "-journal", filepath.Join(w.dir, name+".journal")), nil
	})
	p.serving = func(line string) bool {
		address, ok := strings.CutPrefix(line, "serving ")
		if ok {
			w.point(p, address, func(*wire) bool { return true })
		}
		return ok
	}
	return p
}

func (w *World) addRedis() *part {
	var address string
	p := w.add("redis", "redis", func(host string) (cmd *exec.Cmd, err error) {
		cmd, address, err = redisCommand(host, w.dir)
		return cmd, err
	})
	p.serving = func(line string) bool {
		ok := strings.Contains(line, "Ready to accept connections")
		if ok {
			w.point(p, address, func(*wire) bool { return true })
		}
		return ok
	}
	return p
}

// addGateway adds a gateway with a configuration of its own, for it has links of
// its own.
func (w *World) addGateway(program string, i int, upstreams map[string][]*part, redis *part) error {
	config := filepath.Join(w.dir, fmt.Sprintf("gateway-%d.yaml", i))
	g := w.add("gateway", fmt.Sprintf("gateway-%d", i), func(host string) (*exec.Cmd, error) {
		free := host + ":0"
		return exec.CommandContext(context.Background(), program, "serve", "--config", config, "--http", free, "--grpc", free, "--admin", free), nil
	})
	var err, err2 error
	d := &w.doors[i]
	d.http, err = w.lead(nil, g, "clients to "+g.name+" http")
	d.grpc, err2 = w.lead(nil, g, "clients to "+g.name+" grpc")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	g.serving = func(line string) bool {
		var entry struct{ Msg, HTTP, GRPC string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "serving" {
			return false
		}
		w.point(g, entry.HTTP, func(l *wire) bool { return l.link == d.http })
		w.point(g, entry.GRPC, func(l *wire) bool { return l.link == d.grpc })
		return true
	}
	addresses := map[string][]string{}
	for _, name := range backends {
		for _, r := range upstreams[name] {
			k, err := w.lead(g, r, g.name+" to "+r.name)
			if err != nil {
				return err
			}
			addresses[name] = append(addresses[name], k.address())
		}
	}
	k, err := w.lead(g, redis, g.name+" to redis")
	if err != nil {
		return err
	}
	return os.WriteFile(config, []byte(configuration(addresses, k.address())), 0o600)
}
