// Package aggregate makes one RPC of calls of others. A composition is compiled
// against the contracts into a [Conn], which stands where else an upstream would:
// at the end of the composed RPC's own chain.
//
// compile.go turns a composition into a plan, with every path, expression and
// type checked. run.go carries a call: steps run as soon as what they need is
// there, each through the chain of its own RPC. join.go puts the answers together.
//
// Messages stay wire bytes. A field that is copied is found by scanning and gets
// another tag; an answer that lands in a field is a tag, a length, and the
// buffers it came in. Nothing is decoded but for expressions, and where the wire
// has in two pieces what should be one (wire.go).
package aggregate

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Degraded is the header, and trailer, that tells what is missing in an answer.
const Degraded = "gatehouse-degraded"

// Conn answers calls of one composed RPC. It is made before the RPCs that it
// calls, so it is compiled when all are there and before any call; from then on
// it is immutable and safe for concurrent use.
type Conn struct{ plan *plan }

var _ grpc.ClientConnInterface = (*Conn)(nil)

// Invoke makes the calls and joins their answers. The error is that of the step
// for want of which there is no answer: its code and details, with the step's
// name before the text.
func (c *Conn) Invoke(ctx context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
	request, free, err := requestOf(args)
	if err != nil {
		return err
	}
	defer free()
	reach := call.ReachOf(opts)
	reach.Begin()
	r := newRun(c.plan, request)
	defer r.free()
	if err := r.do(ctx); err != nil {
		if !r.reach.Sent() { // else a step may have been carried out, whatever became of the others
			reach.Unsent()
		}
		return err
	}
	joined := r.join()
	if joined.Len() > maxSize {
		joined.Free()
		return call.Refuse(call.Gateway, codes.Internal, "the composed answer is larger than %d MiB", maxSize>>20)
	}
	r.tell(ctx, opts)
	r.tellKeeping(opts)
	return deliver(joined, reply)
}

// NewStream refuses: a composed RPC has one request and one answer.
func (c *Conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, call.Refuse(call.Client, codes.Unimplemented, "this method takes one request and gives one answer: call it so")
}

// requestOf is the request in one piece.
func requestOf(args any) (_ mem.Buffer, free func(), _ error) {
	var data mem.BufferSlice
	switch args := args.(type) {
	case *call.Pending:
		msg, err := args.Message()
		if err != nil {
			return nil, nil, err
		}
		data = msg.Data
	default:
		var err error
		if data, err = (call.Codec{}).Marshal(args); err != nil {
			return nil, nil, call.Refuse(call.Gateway, codes.Internal, "internal error").Because(err)
		}
		defer data.Free()
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	return buf, buf.Free, nil
}

// deliver gives data away.
func deliver(data mem.BufferSlice, reply any) error {
	if msg, ok := reply.(*call.Message); ok {
		msg.Free()
		msg.Data = data
		return nil
	}
	defer data.Free()
	into, ok := reply.(proto.Message)
	if !ok || proto.Unmarshal(data.Materialize(), into) != nil {
		return call.Refuse(call.Upstream, codes.Internal, "the composed answer is not valid")
	}
	return nil
}

// Client stands before the chain of a composed RPC. It remembers the metadata as
// the client sent it, before policies take credentials away that are the
// gateway's own: the steps are made with it, for their policies ask again who
// calls. What stands under the keys of without is about the composed RPC alone.
func Client(chain grpc.ClientConnInterface, without ...string) grpc.ClientConnInterface {
	return client{chain, without}
}

type client struct {
	grpc.ClientConnInterface
	without []string
}

func (c client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	for _, key := range c.without {
		delete(md, key)
	}
	return c.ClientConnInterface.Invoke(call.WithSent(ctx, md), method, args, reply, opts...)
}

// idempotencyKey names a call; that of a composed one is not that of its steps.
const idempotencyKey = "idempotency-key"

// asClient is ctx with the client's own metadata, and the client's name for the
// composed call, "" for none.
func asClient(ctx context.Context) (context.Context, string) {
	md := call.Sent(ctx)
	key := ""
	if given := md[idempotencyKey]; len(given) > 0 {
		md = md.Copy()
		delete(md, idempotencyKey)
		key = bare(given[0])
	}
	return metadata.NewOutgoingContext(ctx, md), key
}

// bare is a key without the quotes that it may have or not. One that needs them
// has no other spelling.
func bare(key string) string {
	if n := len(key); n > 2 && key[0] == '"' && key[n-1] == '"' && !strings.Contains(key, `\`) {
		return key[1 : n-1]
	}
	return key
}

// Calls lists the RPCs that the steps call, each once.
func (c *Conn) Calls() []*call.Method {
	var all []*call.Method
	for _, s := range c.plan.steps {
		if !slices.Contains(all, s.method) {
			all = append(all, s.method)
		}
	}
	return all
}
