package live

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/reflection"
)

// Bounds of reflection. One stream is enough for a tool.
const (
	reflectionStreams       = 32
	reflectionStreamsOfEach = 8
	// reflectionIdle ends a stream that asks nothing, or takes no answer, for so
	// long; reflectionTime ends every one.
	reflectionIdle = 30 * time.Second
	reflectionTime = 5 * time.Minute
)

// reflection answers server reflection by the table in force.
func (g *Gateway) reflection() []ownRPC {
	streams := newStreamLimit("reflection", reflectionStreams, reflectionStreamsOfEach)
	serve := func(ss grpc.ServerStream) error {
		release, err := streams.acquire(call.From(ss.Context()).PeerNetwork().String())
		if err != nil {
			return err
		}
		defer release()
		return endIdle(ss.Context(), func(asked func()) error {
			return reflection.Serve(ss, func() (*reflection.Contract, error) { return g.Table().Reflected() }, asked)
		})
	}
	return []ownRPC{
		{"grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", serve},
		{"grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", serve},
	}
}

// endIdle runs serve, and returns when nothing was asked for long: the end of the stream
// ends serve too, even where it waits for the client.
func endIdle(ctx context.Context, serve func(asked func()) error) error {
	idle, end := time.NewTimer(reflectionIdle), time.NewTimer(reflectionTime)
	defer idle.Stop()
	defer end.Stop()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer call.Rescue(&err)
		err = serve(func() { idle.Reset(reflectionIdle) })
	}()
	select {
	case err := <-done:
		return err
	case <-idle.C:
		return call.Refuse(call.Client, codes.DeadlineExceeded, "nothing was asked for %v", reflectionIdle)
	case <-end.C:
		return call.Refuse(call.Client, codes.DeadlineExceeded, "a stream of reflection ends after %v: open another", reflectionTime)
	case <-ctx.Done():
		return ctx.Err()
	}
}
