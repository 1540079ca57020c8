package cluster

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/test/cluster/contract"
)

// call is what a client wants.
type call struct {
	backend string
	rpc     string
	ask     contract.Ask
	key     string // the Idempotency-Key; "" for none
}

func (c call) method() string { return "/" + service(c.backend) + "/" + c.rpc }

// failure is a call's end without an answer.
type failure struct {
	code   codes.Code
	silent bool // nobody said so: the connection ended, or the client had waited enough
	reason string
	cause  error
}

func (f *failure) Error() string {
	return fmt.Sprintf("%v %s (silent: %v): %v", f.code, f.reason, f.silent, f.cause)
}

// client calls one gateway by one protocol.
type client interface {
	// once sends a call once. Its errors are all failures.
	once(ctx context.Context, c call) (contract.Answer, *failure)
	// watch gives each message of a stream to next, and returns nil if it ended well.
	watch(ctx context.Context, c call, next func(contract.Answer)) *failure
	close()
}

// grpcClient calls by gRPC.
type grpcClient struct {
	contract *contract.Contract
	cc       *grpc.ClientConn
}

func newGRPCClient(c *contract.Contract, address string) (*grpcClient, error) {
	wait := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: .2, MaxDelay: time.Second}
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: 2 * time.Second}),
		grpc.WithDisableRetry())
	return &grpcClient{c, cc}, err
}

func (g *grpcClient) close() { _ = g.cc.Close() }

func (g *grpcClient) once(ctx context.Context, c call) (a contract.Answer, _ *failure) {
	ask, err := g.contract.Asking(c.ask)
	if err != nil {
		return a, &failure{cause: err}
	}
	if c.key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", c.key)
	}
	msg := g.contract.NewAnswer()
	if err := g.cc.Invoke(ctx, c.method(), ask, msg); err != nil {
		return a, failureOf(ctx, err)
	}
	if err := contract.Read(msg, &a); err != nil {
		return a, &failure{cause: err}
	}
	return a, nil
}

func (g *grpcClient) watch(ctx context.Context, c call, next func(contract.Answer)) *failure {
	ask, err := g.contract.Asking(c.ask)
	if err != nil {
		return &failure{cause: err}
	}
	stream, err := g.cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, c.method())
	if err == nil {
		err = stream.SendMsg(ask)
	}
	if err == nil || err == io.EOF {
		if err == nil {
			_ = stream.CloseSend() // never fails
		}
		for {
			msg := g.contract.NewAnswer()
			if err = stream.RecvMsg(msg); err != nil {
				break
			}
			var a contract.Answer
			if err := contract.Read(msg, &a); err != nil {
				return &failure{cause: err}
			}
			next(a)
		}
	}
	if err == io.EOF {
		return nil
	}
	return failureOf(ctx, err)
}

func failureOf(ctx context.Context, err error) *failure {
	st := status.Convert(err)
	f := &failure{code: st.Code(), silent: ctx.Err() != nil, cause: err}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			f.reason = info.GetReason()
		}
	}
	return f
}
