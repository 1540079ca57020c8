package contender

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// newFloor is what a gateway between net/http and grpc-go costs if it does
// nothing: it reads the request's body and throws it away, sends fixed wire
// bytes to the backend, throws away what comes back, and answers with fixed
// JSON.
func newFloor(_ context.Context, cc *grpc.ClientConn, c workload.Case) (http.Handler, error) {
	x, err := c.Exchange()
	if err != nil {
		return nil, err
	}
	wire, err := workload.Wire(x.Request)
	if err != nil {
		return nil, err
	}
	request := raw.New(wire)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var answer raw.Frame
		if err := cc.Invoke(r.Context(), x.RPC, request, &answer, grpc.ForceCodecV2(raw.Codec{})); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer.Free()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(x.JSON)))
		_, _ = w.Write(x.JSON) // an error means the client has gone
	}), nil
}
