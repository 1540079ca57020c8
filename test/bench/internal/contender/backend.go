package contender

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// BackendRole is the name of the program behind the contenders.
const BackendRole = "backend"

// The backend's own RPCs: LastArm has it keep the next request, LastGet
// returns that request.
const (
	LastArm = "/bench.Last/Arm"
	LastGet = "/bench.Last/Get"
)

// backend answers every case with bytes that were encoded beforehand: it is
// there to be called, not to be measured.
type backend struct {
	answers *workload.Answers
	armed   atomic.Bool
	last    atomic.Pointer[[]byte]
}

func runBackend(ctx context.Context, s Settings) error {
	answers, err := workload.NewAnswers()
	if err != nil {
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	b := &backend{answers: answers}
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw.Codec{}), grpc.UnknownServiceHandler(b.handle))
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(l)
}

// handle answers one call, which is unary whatever it is.
func (b *backend) handle(_ any, stream grpc.ServerStream) error {
	rpc, _ := grpc.MethodFromServerStream(stream)
	var request raw.Frame
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	defer request.Free()
	answer, err := b.answer(rpc, &request)
	if err != nil {
		return err
	}
	return stream.SendMsg(raw.New(answer))
}

func (b *backend) answer(rpc string, request *raw.Frame) ([]byte, error) {
	switch rpc {
	case LastArm:
		b.armed.Store(true)
		return nil, nil
	case LastGet:
		if last := b.last.Swap(nil); last != nil {
			return *last, nil
		}
		return nil, status.Error(codes.FailedPrecondition, "no request has come since")
	}
	if b.armed.CompareAndSwap(true, false) {
		last := request.Bytes()
		b.last.Store(&last)
	}
	answer, ok := b.answers.Find(rpc, request.Bytes)
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "no case sends such a request to %s", rpc)
	}
	return answer, nil
}
