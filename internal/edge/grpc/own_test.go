package grpc_test

import (
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestOwnRPCsWhenMemoryIsShort: the gateway's own RPCs are refused as others are, since
// their calls take memory too, and begin to be answered again.
func TestOwnRPCsWhenMemoryIsShort(t *testing.T) {
	t.Parallel()
	const name = "/s.v1.Own/Ask"
	var current edge.Current
	current.Store(&edge.Table{Table: call.NewTable([]*call.Method{{Name: name, Conn: interceptors.Chain(call.Refuser{})}}, &call.Method{Conn: interceptors.Chain(call.Refuser{})})})
	process := memory.New(memory.Limits{Process: 1})
	var others memory.Share
	others.Open(process.NewClient(), nil)
	s := &edge.Settings{Table: &current, Memory: process, RequestID: func() string { return "ours" }}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}))
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: "s.v1.Own", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Ask", ServerStreams: true, ClientStreams: true,
		Handler: edgegrpc.Own(s, name, func(grpc.ServerStream) error { return nil }),
	}}}, nil)
	l := gatewaytest.Listen(t)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	cc := gatewaytest.Dial(t, l.Addr().String(), nil)
	ask := func() error {
		stream, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, name)
		if err != nil {
			return err
		}
		return stream.RecvMsg(new(call.Message))
	}
	if err := ask(); err != io.EOF {
		t.Errorf("with memory: %v", err)
	}
	others.Hold(2)
	if err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("without: got %v, want UNAVAILABLE", err)
	}
	others.Release(2)
	if err := ask(); err != io.EOF {
		t.Errorf("with memory again: %v", err)
	}
}
