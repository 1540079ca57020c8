package upstream_test

import (
	"context"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestTwoAnswersToAStreamOfRequests: a backend that answers twice where one answer
// is due gets nothing but what the client sends.
func TestTwoAnswersToAStreamOfRequests(t *testing.T) {
	t.Parallel()
	got := make(chan []string, 1)
	o := options(nil)
	o.Target = "passthrough:///" + gatewaytest.Backend(t, gatewaytest.Script{unary: gatewaytest.Duplex(
		func(_ context.Context, receive func() (*wrapperspb.StringValue, error), send func(*wrapperspb.StringValue) error) error {
			for range 2 {
				if err := send(wrapperspb.String("answer")); err != nil {
					return err
				}
			}
			var list []string
			for in, err := receive(); err == nil; in, err = receive() {
				list = append(list, in.GetValue())
			}
			got <- list
			return nil
		})})
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	stream, err := dial(t, o).Conn().NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, unary)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.Unimplemented {
		t.Errorf("err = %v, want UNIMPLEMENTED", err)
	}
	if err := stream.SendMsg(wrapperspb.String("request")); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if list := <-got; !slices.Equal(list, []string{"request"}) {
		t.Errorf("the backend got %q, want the client's one request", list)
	}
}

// TestAnswerInAnotherFormatEndsTheCall: when the call has failed, grpc-go is done
// with it, and writes to what the caller gave it no more.
func TestAnswerInAnotherFormatEndsTheCall(t *testing.T) {
	t.Parallel()
	o := options(nil)
	o.Target = "passthrough:///" + gatewaytest.FrameBackend(t, func(f *gatewaytest.Frames) {
		f.Headers(false, ":status", "200", "content-type", "application/grpc+json")
		f.Message([]byte("{}"))
	})
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	var (
		header metadata.MD
		answer call.Message
	)
	defer answer.Free()
	err := dial(t, o).Conn().Invoke(ctx, unary, new(emptypb.Empty), &answer, grpc.Header(&header))
	if status.Code(err) != codes.Internal {
		t.Errorf("err = %v, want INTERNAL", err)
	}
	if len(header["content-type"]) == 0 {
		t.Error("the call has not ended: its header was not handed over")
	}
}
