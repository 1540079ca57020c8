package call_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// TestRequestAfterTheCall: who keeps a request for longer than its call gets an
// error, not an empty message that would pass for the client's.
func TestRequestAfterTheCall(t *testing.T) {
	for _, read := range []bool{true, false} {
		var kept *call.Pending
		conn := calltest.Conn{OnInvoke: func(_ context.Context, _ string, args, _ any, _ ...grpc.CallOption) error {
			kept = args.(*call.Pending)
			if read {
				_, err := kept.Message()
				return err
			}
			return nil
		}}
		if err := call.Forward(&call.Method{Conn: conn}, &calltest.ServerStream{Requests: []string{"hello"}}); err != nil {
			t.Fatal(err)
		}
		if msg, err := kept.Message(); call.CodeOf(err) != codes.Internal || call.FaultOf(err) != call.Gateway {
			t.Errorf("read during the call: %v; after it: message %v, error %v; want INTERNAL, the gateway's fault", read, msg, err)
		}
	}
}
