package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const (
	promiseProbes  = "Who operates the gateway reaches it, whatever clients hold"
	promiseReloads = "Whatever becomes of a file, the next reload works"
	promiseHangs   = "A backend that hangs holds no call for ever"
)

// patience is never waited out by a gateway that keeps its promise.
const patience = 20 * time.Second

// fewFiles is how many files the gateway may have open where clients want them all.
const fewFiles = 160

func processAttacks() []hostile.Attack {
	return []hostile.Attack{{
		Name: "more silent connections than the gateway may have files open", Door: "both listeners", Promise: promiseProbes,
		Files: fewFiles, Config: "limits: {header_timeout: 1h}", Innocent: mostInnocents, Play: holdAllFiles,
	}, {
		Name: "a configuration that has become a pipe, and a reload", Door: "the configuration", Promise: promiseReloads,
		Config: "reload: {disabled: true}", Innocent: mostInnocents, Play: reloadOfPipe,
	}, {
		Name: "a configuration that has become 100 MB large, and a reload", Door: "the configuration", Promise: promiseReloads,
		Config: "reload: {disabled: true}", Env: tight, Memory: holding(0), Innocent: mostInnocents, Play: reloadOfLarge,
	}, {
		Name: "one of two replicas that stops, and outlier detection", Door: hostile.Native, Promise: promiseHangs,
		Replicas: 2, Upstream: "outliers: {interval: 1s, base_ejection_time: 1m, max_ejection_percent: 50, failure_percentage: 50, minimum_calls: 5, minimum_replicas: 2}",
		Policy: "auth: {public: true}, timeout: 1s", Play: ejected,
	}, {
		Name: "a backend that stops, and readiness", Door: hostile.Native, Promise: promiseHangs,
		Policy: "auth: {public: true}, timeout: 1s", Play: silent,
	}, {
		Name: "a call without a deadline to a backend that does not answer", Door: hostile.Native, Promise: promiseHangs,
		Innocent: mostInnocents, Play: hang,
	}}
}

// holdAllFiles makes connections that send nothing, and then asks for readiness.
func holdAllFiles(t *hostile.Target) error {
	for n := range 2 * fewFiles {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", []string{t.HTTP, t.GRPC}[n%2])
		if err != nil {
			continue // it may be refused
		}
		t.OnEnd(func() { _ = c.Close() })
	}
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for _, path := range []string{"/readyz", "/metrics"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+t.Admin+path, nil)
		if err != nil {
			return err
		}
		resp, err := web.Do(r)
		if err != nil {
			return fmt.Errorf("nobody can ask how the gateway is: %w", err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
	}
	return nil
}

// reloadOfPipe puts a pipe in the place of the configuration, has it read, and then the
// configuration again.
func reloadOfPipe(t *hostile.Target) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := os.ReadFile(t.Config())
	if err != nil {
		return err
	}
	if err := os.Remove(t.Config()); err != nil {
		return err
	}
	if err := syscall.Mkfifo(t.Config(), 0o600); err != nil {
		return err
	}
	if err := reloaded(ctx, t, "a reload was refused"); err != nil {
		return err
	}
	if err := os.Remove(t.Config()); err != nil {
		return err
	}
	changed := strings.Replace(string(text), "auth: {public: true}", "auth: {public: true}, timeout: 31s", 1)
	if err := os.WriteFile(t.Config(), []byte(changed), 0o600); err != nil {
		return err
	}
	return reloaded(ctx, t, "configuration reloaded")
}

// reloadOfLarge has a file read that is no configuration by its size alone.
func reloadOfLarge(t *hostile.Target) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := os.Truncate(t.Config(), 100_000_000); err != nil {
		return err
	}
	return reloaded(ctx, t, "a reload was refused")
}

// ejected has one of the replicas stop, and waits until no call goes to it any more.
func ejected(t *hostile.Target) error {
	t.Backends[1].Hang()
	return eventually(t, "the replica is left out", func() (bool, error) {
		var failed atomic.Int64
		err := allAtOnce(20, func(int) error {
			code, err := callGet(t, hostile.Thing{})
			if code != "0" {
				failed.Add(1)
			}
			return err
		})
		return failed.Load() == 0, err
	})
}

// silent has the backend stop, and waits until readiness says so.
func silent(t *hostile.Target) error {
	t.Backend.Hang()
	return eventually(t, "readiness names the upstream", func() (bool, error) {
		if _, err := callGet(t, hostile.Thing{}); err != nil {
			return false, err
		}
		text, err := fetch(t, "http://"+t.Admin+"/readyz")
		return strings.Contains(text, `"silent"`), err
	})
}

// reloaded asks for a reload and waits until the gateway says what it made of it.
func reloaded(ctx context.Context, t *hostile.Target, want string) error {
	if err := syscall.Kill(t.PID(), syscall.SIGHUP); err != nil {
		return err
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(t.Said(), want) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("the gateway did not say %q of a reload", want)
		}
	}
	return nil
}

// hang calls an RPC whose backend takes an hour, and asks it whether the call has a
// deadline.
func hang(t *hostile.Target) error {
	conn, err := t.Dial(hostile.Native, hostile.H2{})
	if err != nil {
		return err
	}
	if _, err := conn.Call(hostile.GRPCHeader("Update"), hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{DelayMS: 3_600_000}}.Wire())); err != nil {
		return err
	}
	if err := eventually(t, "the backend has the call", func() (bool, error) { return t.Backend.Calls("Update") > 0, nil }); err != nil {
		return err
	}
	if t.Backend.Calls("Update") != t.Backend.Bounded("Update") {
		return errors.New("the call has no deadline")
	}
	return nil
}
