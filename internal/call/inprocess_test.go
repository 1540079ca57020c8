package call_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// told is a connection whose calls are noted as an observer would.
type told struct {
	ends []error
	last *call.Call
}

func (o *told) observe(ctx context.Context) {
	o.last = call.From(ctx)
	o.last.After(func(err error) { o.ends = append(o.ends, err) })
}

// table has one method that answers with text, under any of three kinds.
func (o *told) table(text string, end error) *call.Table {
	wire, _ := proto.Marshal(wrapperspb.String(text))
	conn := calltest.Conn{
		OnInvoke: func(ctx context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
			o.observe(ctx)
			if r, ok := args.(*call.Refusal); ok {
				return r.Err
			}
			if _, ok := args.(*call.Message); !ok {
				return errors.New("want wire bytes in the chain")
			}
			reply.(*call.Message).Data = calltest.Bytes(string(wire))
			return end
		},
		OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			o.observe(ctx)
			return &calltest.ClientStream{Answers: []string{string(wire)}, End: end}, nil
		},
	}
	return call.NewTable([]*call.Method{{Name: "/s/m", Conn: conn, Upstream: "u"}}, &call.Method{Conn: conn})
}

func TestInvokeInProcess(t *testing.T) {
	lost := call.Refuse(call.Upstream, codes.DataLoss, "lost")
	for _, tc := range []struct {
		name, method string
		request      proto.Message
		end          error
		code         codes.Code
		known        string
	}{
		{"good", "/s/m", wrapperspb.String("hi"), nil, codes.OK, "/s/m"},
		{"fails", "/s/m", wrapperspb.String("hi"), lost, codes.DataLoss, "/s/m"},
		{"unknown", "/s/none", wrapperspb.String("hi"), nil, codes.Unimplemented, ""},
		{"not UTF-8", "/s/m", wrapperspb.String("\xff"), nil, codes.InvalidArgument, "/s/m"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var o told
			var reply wrapperspb.StringValue
			err := o.table("answer", tc.end).Invoke(t.Context(), tc.method, tc.request, &reply)
			if call.CodeOf(err) != tc.code || err == nil && reply.GetValue() != "answer" {
				t.Errorf("got %v, %v; want %v", &reply, err, tc.code)
			}
			if len(o.ends) != 1 || !errors.Is(o.ends[0], err) {
				t.Errorf("observers were told %v, want %v, once", o.ends, err)
			}
			if o.last.Protocol != call.InProcess || o.last.Method != tc.known {
				t.Errorf("observers saw %v %q, want %v %q", o.last.Protocol, o.last.Method, call.InProcess, tc.known)
			}
		})
	}
}

func TestStreamInProcess(t *testing.T) {
	var o told
	outer := &call.Call{RequestID: "r", Peer: "p"}
	stream, err := o.table("answer", nil).NewStream(call.With(t.Context(), outer), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/s/m")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.String("hi")); err != nil {
		t.Error(err)
	}
	if err := stream.SendMsg(wrapperspb.String("\xff")); call.CodeOf(err) != codes.InvalidArgument {
		t.Errorf("got %v, want INVALID_ARGUMENT", err)
	}
	var reply wrapperspb.StringValue
	if err := stream.RecvMsg(&reply); err != nil || reply.GetValue() != "answer" || len(o.ends) != 0 {
		t.Errorf("got %v, %v, told %v; want an answer and no end", &reply, err, o.ends)
	}
	if err := stream.RecvMsg(&reply); err != io.EOF || len(o.ends) != 1 || o.ends[0] != nil {
		t.Errorf("got %v, told %v; want io.EOF, told as nil", err, o.ends)
	}
	if o.last.RequestID != "r" || o.last.Peer != "p" || o.last.In.Messages() != 1 || o.last.Out.Messages() != 1 {
		t.Errorf("observers saw %+v, want the outer call's client and one message each way", o.last)
	}
}

func TestAbandonedStreamInProcessEnds(t *testing.T) {
	var o told
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	stream, err := o.table("answer", nil).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/s/m")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.String("hi")); err != nil {
		t.Fatal(err)
	}
	o.last.After(func(err error) { done <- err })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("told %v, want %v", err, context.Canceled)
	}
}

// Where there is one request, policies may look into it.
func TestAnswersInProcessBeginWithTheRequest(t *testing.T) {
	var o told
	stream, err := o.table("answer", nil).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/s/m")
	if err != nil {
		t.Fatal(err)
	}
	if o.last != nil {
		t.Error("the chain began without the request")
	}
	if err := stream.SendMsg(wrapperspb.String("hi")); err != nil {
		t.Fatal(err)
	}
	if msg, err := o.last.Request(); err != nil || msg.Len() != 4 {
		t.Errorf("policies see %v, %v; want the request", msg, err)
	}
	if err := stream.SendMsg(wrapperspb.String("hi")); err == nil {
		t.Error("a second request was taken")
	}
	var reply wrapperspb.StringValue
	if err := stream.RecvMsg(&reply); err != nil || reply.GetValue() != "answer" {
		t.Errorf("got %v, %v", &reply, err)
	}
}

func TestAnswersInProcessWithoutARequest(t *testing.T) {
	var o told
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := o.table("answer", nil).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/s/m")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.String("\xff")); call.CodeOf(err) != codes.InvalidArgument {
		t.Errorf("got %v, want INVALID_ARGUMENT", err)
	}
	if len(o.ends) != 1 {
		t.Errorf("observers were told %v, want of the refusal", o.ends)
	}
	cancel()
	if err := stream.RecvMsg(new(wrapperspb.StringValue)); call.CodeOf(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELLED", err)
	}
	if _, err := stream.Header(); call.CodeOf(err) != codes.Canceled {
		t.Errorf("got %v, want CANCELLED", err)
	}
	if stream.Trailer() != nil || stream.CloseSend() != nil || stream.Context().Err() == nil {
		t.Error("a stream that never began is not over")
	}
}
