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
	"github.com/gatehouse-dev/gatehouse/internal/server"
)

// upstreamTime is how long a new gateway waits for its upstreams before it
// leaves the service to the one that is there. It is shorter than the patience
// of that one, so that the reason is told.
const upstreamTime = handover.Patience - 10*time.Second

// replaceable runs serve with the sockets that the process was given, and hands
// its own over when it is asked to. systemd, if there, is told.
func replaceable(ctx context.Context, serve func(context.Context, server.Sockets, before) error) error {
	asked, ignore := handover.Asked() // first of all: the signal is deadly by default
	defer ignore()
	self, err := handover.Self()
	if err != nil {
		return err
	}
	given, err := handover.Inherit()
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancelCause(ctx)
	var attempts sync.WaitGroup
	defer attempts.Wait() // one that is under way must not outlive this process
	defer leave(nil)
	err = serve(ctx, given, func(log *slog.Logger, srv *server.Server) error {
		if err := begin(ctx, given, srv); err != nil {
			return err
		}
		tell(log, handover.NotifyReady)
		context.AfterFunc(ctx, func() {
			if !errors.Is(context.Cause(ctx), server.ErrHandedOver) {
				tell(log, handover.NotifyStopping)
			}
		})
		attempts.Go(func() { (&incumbent{self, srv, log, leave}).listen(ctx, asked) })
		return nil
	})
	if err != nil {
		given.Failed(err)
	}
	return err
}

// begin returns when the process may accept connections.
func begin(ctx context.Context, given *handover.Inheritance, srv *server.Server) error {
	if !given.Handed() {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, upstreamTime)
	defer cancel()
	if err := srv.AwaitUpstreams(bounded); err != nil {
		return err
	}
	return given.Ready(ctx)
}

func tell(log *slog.Logger, state string) {
	if err := handover.Notify(state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}

// incumbent is a gateway that can be replaced.
type incumbent struct {
	program handover.Program
	srv     *server.Server
	log     *slog.Logger
	leave   context.CancelCauseFunc
}

// listen replaces the gateway when it is asked to, and serves on if that fails.
func (i *incumbent) listen(ctx context.Context, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		i.log.Info("a new gateway is started to take over", "program", i.program.Path)
		next, err := i.replace(ctx)
		if err == nil {
			i.log.Info("the new gateway has taken over", "pid", next.PID)
			i.leave(server.ErrHandedOver)
			go i.watch(next)
			return
		}
		i.log.Error("no new gateway has taken over: this one stays in service", "error", err)
		select {
		case <-asked: // while the attempt was under way
		default:
		}
	}
}

// watch tells of a successor that ends before this process does.
func (i *incumbent) watch(next *handover.Successor) {
	if err := <-next.Ended; err != nil {
		i.log.Error("the new gateway has ended", "pid", next.PID, "error", err)
	}
}

func (i *incumbent) replace(ctx context.Context) (*handover.Successor, error) {
	var sockets []handover.Socket
	defer func() {
		for _, s := range sockets {
			_ = s.File.Close()
		}
	}()
	open := i.srv.Listeners()
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
