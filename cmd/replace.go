package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/handover"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

const (
	// upstreamTime is how long a new gateway waits for its upstreams before it
	// leaves the service to the one that is there. It is shorter than the patience
	// of that one, so that the reason is told.
	upstreamTime = handover.Patience - 10*time.Second
	// standbyTime is how long a gateway that has been replaced stays at least, to
	// serve again if its successor ends.
	standbyTime = 5 * time.Second
)

// replaceable runs serve with the sockets that the process was given, and hands
// its own over when it is asked to. systemd, if there, is told.
func replaceable(ctx context.Context, serve func(context.Context, server.Sockets, tenure) error) error {
	asked, ignore := handover.Asked() // first of all: the signal is deadly by default
	defer ignore()
	hangup, stop := hangups() // likewise
	defer stop()
	self, err := handover.Self()
	if err != nil {
		return err
	}
	given, err := handover.Inherit()
	if err != nil {
		return err
	}
	err = serve(ctx, given, func(ctx context.Context, g *live.Gateway, srv *server.Server) error {
		if err := begin(ctx, given, g); err != nil {
			return err
		}
		return (&incumbent{self, given, asked, hangup, g, g.Log()}).serve(ctx, srv)
	})
	if err != nil {
		given.Failed(err)
	}
	return err
}

// begin returns when the process may accept connections. Once the gateway before it
// has ended, nobody else serves: then it waits no more, and for no upstream.
func begin(ctx context.Context, given *handover.Inheritance, g *live.Gateway) error {
	if !given.Handed() {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, upstreamTime)
	defer cancel()
	alone := make(chan struct{})
	go func() {
		defer close(alone)
		select {
		case <-bounded.Done():
		case <-given.Heard():
			g.Log().Warn("the gateway that was to be replaced has ended: this one serves in its place")
			cancel()
		}
	}()
	err := g.AwaitUpstreams(bounded)
	cancel()
	<-alone
	select {
	case <-given.Heard():
	default:
		if err != nil {
			return err
		}
	}
	return given.Ready(ctx)
}

func tell(log *slog.Logger, state ...string) {
	if err := handover.Notify(state...); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// incumbent is a gateway that can be replaced.
type incumbent struct {
	program handover.Program
	given   *handover.Inheritance
	asked   <-chan os.Signal
	hangup  <-chan os.Signal
	gateway *live.Gateway
	log     *slog.Logger
}

// serve serves until ctx ends, or until another process has taken over and stays. If
// that one ends without having been asked to, this one serves again on the same
// sockets, while what was accepted before drains on.
func (i *incumbent) serve(ctx context.Context, srv *server.Server) error {
	var servers sync.WaitGroup
	defer servers.Wait()
	for state := []string{handover.NotifyReady}; ; state = []string{handover.MainPID(os.Getpid()), handover.NotifyReady} {
		tell(i.log, state...)
		serving, leave := context.WithCancelCause(ctx)
		told := make(chan struct{})
		context.AfterFunc(serving, func() {
			defer close(told)
			if !errors.Is(context.Cause(serving), server.ErrHandedOver) {
				tell(i.log, handover.NotifyStopping)
			}
		})
		ended := make(chan error, 1)
		servers.Go(func() {
			err := serve(serving, i.gateway, srv, i.hangup)
			leave(nil) // also ends an attempt to be replaced
			ended <- err
		})
		next := i.listen(serving, srv)
		if next == nil {
			err := <-ended
			<-told // else the process may end first
			return err
		}
		leave(server.ErrHandedOver)
		i.given.Left()
		if again, err := i.standBy(ctx, next, ended); !again {
			return err
		}
		var err error
		if srv, err = i.gateway.ListenOn(next.Sockets); err != nil {
			return err
		}
	}
}

// listen replaces the gateway when it is asked to, and serves on if that fails. It
// returns nil when ctx has ended.
func (i *incumbent) listen(ctx context.Context, srv *server.Server) *handover.Successor {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-i.asked:
		}
		i.log.Info("a new gateway is started to take over", "program", i.program.Path)
		next, err := i.replace(ctx, srv)
		if err == nil {
			i.log.Info("the new gateway has taken over", "pid", next.PID)
			return next
		}
		i.log.Error("no new gateway has taken over: this one stays in service", "error", err)
		select {
		case <-i.asked: // while the attempt was under way
		default:
		}
	}
}

// standBy returns when the process may end, drained and for standbyTime without
// need, with how serving ended; or with true as soon as the successor has ended
// without having been asked to.
func (i *incumbent) standBy(ctx context.Context, next *handover.Successor, ended <-chan error) (again bool, result error) {
	gone, leaving := next.Ended, ctx.Done()
	stand := time.NewTimer(standbyTime)
	defer stand.Stop()
	needed := stand.C
	for ended != nil || needed != nil {
		select {
		case result = <-ended:
			ended = nil
		case <-needed:
			needed = nil
		case err := <-gone:
			if err != nil {
				i.log.Error("the new gateway has ended: this one serves again", "pid", next.PID, "error", err)
				return true, nil
			}
			gone, leaving, needed = nil, nil, nil
			next.Sockets.Close() // or what connects would wait for nobody
		case <-leaving: // who ends both wants neither back
			gone, leaving, needed = nil, nil, nil
		}
	}
	next.Sockets.Close()
	return false, result
}

func (i *incumbent) replace(ctx context.Context, srv *server.Server) (*handover.Successor, error) {
	var sockets []handover.Socket
	defer func() {
		for _, s := range sockets {
			_ = s.File.Close()
		}
	}()
	open := srv.Listeners()
	for _, name := range handover.Names() {
		l, ok := open[name]
		if !ok {
			continue
		}
		f, err := handover.File(l)
		if err != nil {
			return nil, fmt.Errorf("%s listener: %w", name, err)
		}
		sockets = append(sockets, handover.Socket{Name: name, File: f})
	}
	return i.program.Replace(ctx, sockets)
}
