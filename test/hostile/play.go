package hostile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rounds bounds how often processor time is measured until it is within bounds: a
// busy machine makes everything dearer now and then.
const rounds = 3

// Target is the gateway under attack.
type Target struct {
	HTTP, GRPC, Admin string // host:port of its listeners
	Backend           *Backend
	Backends          []*Backend // all replicas, Backend first

	ctx     context.Context
	process *process
	ends    []func()
}

// Context ends when the attack must be over.
func (t *Target) Context() context.Context { return t.ctx }

// OnEnd has f called when the attack has been measured.
func (t *Target) OnEnd(f func()) { t.ends = append(t.ends, f) }

// Address is where the door is.
func (t *Target) Address(door string) string {
	if door == Native {
		return t.GRPC
	}
	return t.HTTP
}

// Resident returns the bytes that the gateway holds.
func (t *Target) Resident() (int64, error) {
	now, _, err := resident(t.process.cmd.Process.Pid)
	return now, err
}

// PID is the gateway's process.
func (t *Target) PID() int { return t.process.cmd.Process.Pid }

// Config is the file of the gateway's configuration.
func (t *Target) Config() string { return t.process.config }

// Said returns the last lines that the gateway wrote.
func (t *Target) Said() string { return t.process.said() }

// Logged is how many bytes the gateway has written to its log.
func (t *Target) Logged() int64 { return t.process.wrote.Load() }

// StopReading has nobody read the gateway's log until the gateway has ended.
func (t *Target) StopReading() { t.process.asleep.Store(true) }

// CloseLog has the reader of the gateway's log go away.
func (t *Target) CloseLog() error { return t.process.out.Close() }

func (t *Target) end() {
	for _, end := range slices.Backward(t.ends) {
		end()
	}
	t.ends = nil
}

// Play plays an attack at a fresh gateway, and the benign client before it at one
// of its own.
func Play(ctx context.Context, binary, dir string, a Attack) (o Outcome, err error) {
	if a.CPU > 0 && a.Benign == nil {
		return o, errors.New("a bound of processor time needs a benign client")
	}
	if a.Benign != nil {
		benign := a
		benign.Play, benign.Innocent = a.Benign, 0
		got, err := playOne(ctx, binary, dir, benign)
		if err != nil {
			return o, fmt.Errorf("the benign client: %w", err)
		}
		o.BenignMemory, o.BenignCPU = got.Memory, got.CPU
	}
	for range rounds {
		got, err := playOne(ctx, binary, dir, a)
		if err != nil {
			return o, err
		}
		got.BenignMemory, got.BenignCPU = o.BenignMemory, o.BenignCPU
		o = got
		if a.CPU == 0 || o.Ratio() <= a.CPU || o.Ratio() > 3*a.CPU {
			break
		}
	}
	return o, nil
}

func playOne(ctx context.Context, binary, dir string, a Attack) (o Outcome, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var backends []*Backend
	for range max(a.Replicas, 1) {
		backend, err := startBackend()
		if err != nil {
			return o, err
		}
		defer backend.stop()
		backends = append(backends, backend)
	}
	contract, err := image()
	if err != nil {
		return o, err
	}
	if err := os.WriteFile(filepath.Join(dir, "thing.binpb"), contract, 0o600); err != nil {
		return o, err
	}
	p, err := startGateway(binary, dir, a, backends)
	if err != nil {
		return o, err
	}
	t := &Target{HTTP: p.http, GRPC: p.grpc, Admin: p.admin, Backend: backends[0], Backends: backends, ctx: ctx, process: p}
	defer func() {
		t.end()
		cancel()
		err = errors.Join(err, p.stop())
	}()
	return t.measure(a)
}

func (t *Target) measure(a Attack) (o Outcome, err error) {
	pid := t.process.cmd.Process.Pid
	if err := t.warm(); err != nil {
		return o, err
	}
	rest, _, err := resident(pid)
	if err != nil {
		return o, err
	}
	if err := forgetPeak(pid); err != nil {
		return o, err
	}
	var callers *innocents
	if a.Innocent > 0 {
		if callers, err = t.startInnocents(); err != nil {
			return o, err
		}
		defer callers.stop()
	}
	before, err := cpuOf(pid)
	if err != nil {
		return o, err
	}
	if err := a.Play(t); err != nil {
		return o, err
	}
	after, err := cpuOf(pid)
	if err != nil {
		return o, errors.New("the gateway ended during the attack")
	}
	o.CPU = (after - before).Seconds()
	if callers != nil {
		callers.stands()
	}
	if err := t.settle(); err != nil {
		return o, err
	}
	if callers != nil {
		o.Innocent, o.InnocentCalls = callers.share()
	}
	_, peak, err := resident(pid)
	o.Memory = max(peak-rest, 0)
	return o, err
}

const (
	// quiet is how long memory must not grow until it counts as settled.
	quiet = 500 * time.Millisecond
	// growLimit bounds how long it may go on growing.
	growLimit = 5 * time.Second
)

// settle waits until the gateway's peak of memory stays where it is.
func (t *Target) settle() error {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	begin := time.Now()
	last, highest := begin, int64(0)
	for {
		_, peak, err := resident(t.process.cmd.Process.Pid)
		if err != nil {
			return err
		}
		now := time.Now()
		if peak > highest+MiB {
			highest, last = peak, now
		}
		if now.Sub(last) > quiet || now.Sub(begin) > growLimit {
			return nil
		}
		select {
		case <-poll.C:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
}
