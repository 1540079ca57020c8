package contender

import (
	"context"
	"fmt"
	"io"
	"net"
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
	request := raw.New(x.Wire)
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

// runGRPCFloor is what a gateway between gRPC and gRPC costs if it does nothing:
// grpc-go on both sides, which passes on the bytes of each message. On the HTTP port
// the server is net/http's, as it must be where REST is served beside.
func runGRPCFloor(ctx context.Context, s Settings) error {
	cc, err := dial(s.Backend)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw.Codec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		return passOn(cc, stream)
	}))
	if s.Case.Door == workload.GRPCHTTP {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		return serve(ctx, &http.Server{Addr: s.Listen, Handler: server, Protocols: protocols})
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(l)
}

// passOn passes on one unary call.
func passOn(cc *grpc.ClientConn, stream grpc.ServerStream) error {
	rpc, _ := grpc.MethodFromServerStream(stream)
	var request, answer raw.Frame
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	defer request.Free()
	if err := cc.Invoke(stream.Context(), rpc, &request, &answer, grpc.ForceCodecV2(raw.Codec{})); err != nil {
		return err
	}
	defer answer.Free()
	return stream.SendMsg(&answer)
}
