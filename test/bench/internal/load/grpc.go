package load

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
)

// streams is how many calls are on one gRPC connection at a time.
const streams = 16

// rpc is one caller of a unary RPC, one of several on its connection.
type rpc struct {
	conn    *grpc.ClientConn
	method  string
	token   string
	request *raw.Frame
	length  int // of the answer
}

// DialGRPC opens n connections to addr, each of which has 16 callers of a unary RPC.
// Its answer must have length bytes.
func DialGRPC(addr string, n int, method, token string, request []byte, length int) (*Client, error) {
	var conns []*grpc.ClientConn
	c := &Client{close: func() {
		for _, one := range conns {
			_ = one.Close()
		}
	}}
	for range n {
		one, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("connect the load generator: %w", err)
		}
		conns = append(conns, one)
		for range streams {
			c.callers = append(c.callers, &rpc{conn: one, method: method, token: token, request: raw.New(request), length: length})
		}
	}
	return c, nil
}

func (r *rpc) begin(context.Context) error { return nil }

func (r *rpc) call(ctx context.Context) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.token)
	var answer raw.Frame
	if err := r.conn.Invoke(ctx, r.method, r.request, &answer, grpc.ForceCodecV2(raw.Codec{})); err != nil {
		return fmt.Errorf("call %s: %w", r.method, err)
	}
	defer answer.Free()
	if answer.Len() != r.length {
		return fmt.Errorf("an answer has %d bytes: want %d", answer.Len(), r.length)
	}
	return nil
}
