package upstream_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestReach asks whether a call that failed may have been sent.
func TestReach(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		backend func(testing.TB) string
		sent    bool
	}{
		"nobody is there":         {gatewaytest.Unreachable, false},
		"it speaks no HTTP":       {raw(func(net.Conn) {}), false},
		"the connection is lost":  {frames(func(f *gatewaytest.Frames) { _ = f.Conn.Close() }), true},
		"the answer breaks off":   {frames(func(f *gatewaytest.Frames) { f.Begin(); _ = f.Conn.Close() }), true},
		"the backend is too busy": {page("503", "text/html"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(nil)
			o.Target = "passthrough:///" + tc.backend(t)
			conn := dial(t, o).Conn()
			ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
			defer cancel()
			var header metadata.MD
			var reach call.Reach
			err := conn.Invoke(ctx, unary, new(emptypb.Empty), new(emptypb.Empty), grpc.Header(&header), &reach)
			if err == nil || !reach.Begun() || reach.Sent() != tc.sent {
				t.Errorf("err = %v, begun is %v, sent is %v; want an error, true and %v", err, reach.Begun(), reach.Sent(), tc.sent)
			}
		})
	}
}
