package recovery_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/recovery"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestPanicBecomesInternal(t *testing.T) {
	boom := func() { panic("secret of the house") }
	conn := calltest.Conn{
		OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { boom(); return nil },
		OnStream: func(_ context.Context, _ *grpc.StreamDesc, method string) (grpc.ClientStream, error) {
			if method == "/s/open" {
				boom()
			}
			return &calltest.ClientStream{OnRecv: boom, OnSend: func(string) { boom() }}, nil
		},
	}
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	for name, act := range map[string]func(grpc.ClientConnInterface) error{
		"unary": func(c grpc.ClientConnInterface) error { return c.Invoke(t.Context(), "/s/m", nil, nil) },
		"open": func(c grpc.ClientConnInterface) error {
			_, err := c.NewStream(t.Context(), desc, "/s/open")
			return err
		},
		"recv": func(c grpc.ClientConnInterface) error {
			up, _ := c.NewStream(t.Context(), desc, "/s/m")
			return up.RecvMsg(&call.Message{})
		},
		"send": func(c grpc.ClientConnInterface) error {
			up, _ := c.NewStream(t.Context(), desc, "/s/m")
			return up.SendMsg(&call.Message{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			err := act(interceptors.Chain(conn, policytest.Build(t, recovery.Policy{Log: slog.New(slog.NewTextHandler(&log, nil))}, interceptors.Method{})))
			if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
				t.Errorf("err = %v, want INTERNAL without the panic's text", err)
			}
			if call.FaultOf(err) != call.Gateway {
				t.Errorf("fault = %v, want the gateway's", call.FaultOf(err))
			}
			if !strings.Contains(log.String(), "secret of the house") || !strings.Contains(log.String(), "recovery_test.go") {
				t.Errorf("the log has neither panic nor stack: %s", log.String())
			}
		})
	}
}
