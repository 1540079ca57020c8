package interceptors

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Begin is asked before a call goes on and may refuse it with an error, which
// should be a grpc-go status error. Otherwise the call runs under the returned
// context, and done, if not nil, is told once how it ended.
type Begin func(ctx context.Context, method string) (_ context.Context, done func(error), _ error)

// errAborted is the outcome of a call whose chain panicked further in.
var errAborted = status.Error(codes.Internal, "internal error")

// Around makes a policy of one function that is asked before a call and told
// after it. A unary call ends when the invoker returns. A stream ends when its
// last message or its status was received, or when its context ends; io.EOF is
// told as nil.
func Around(name string, begin Begin) Interceptor {
	return Interceptor{
		Name: name,
		Unary: func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			ctx, done, err := begin(ctx, method)
			if err != nil {
				return err
			}
			if done == nil {
				return next(ctx, method, req, reply, nil, opts...)
			}
			outcome := errAborted // stays so only if next panics
			defer func() { done(outcome) }()
			outcome = next(ctx, method, req, reply, nil, opts...)
			return outcome
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			ctx, done, err := begin(ctx, method)
			if err != nil {
				return nil, err
			}
			if done == nil {
				return next(ctx, desc, nil, method, opts...)
			}
			return watch(ctx, desc, done, func() (grpc.ClientStream, error) {
				return next(ctx, desc, nil, method, opts...)
			})
		},
	}
}

// Observe is Around for a policy that only looks on. In a gateway, done runs
// later than with Around: after the answer was written to the client, so that
// it knows of answers that could not be translated or delivered, and how many
// bytes they took. Outside of a gateway Observe is Around.
func Observe(name string, begin Begin) Interceptor {
	return Around(name, func(ctx context.Context, method string) (context.Context, func(error), error) {
		ctx, done, err := begin(ctx, method)
		c := call.From(ctx)
		if err != nil || done == nil || c == nil {
			return ctx, done, err
		}
		c.After(done)
		return ctx, nil, nil
	})
}

// watch opens a stream and tells done once how it ended.
func watch(ctx context.Context, desc *grpc.StreamDesc, done func(error), open func() (grpc.ClientStream, error)) (grpc.ClientStream, error) {
	w := &watched{single: !desc.ServerStreams}
	w.end = func(err error) { w.once.Do(func() { done(err) }) }
	outcome := errAborted
	defer func() {
		if outcome != nil {
			w.end(outcome)
		}
	}()
	up, err := open()
	outcome = err
	if err != nil {
		return nil, err
	}
	w.ClientStream = up
	// A client that goes away may leave the stream without reading its status.
	w.stop = context.AfterFunc(ctx, func() { w.end(ctx.Err()) })
	return w, nil
}

type watched struct {
	grpc.ClientStream
	single bool // the answer is one message
	once   sync.Once
	end    func(error)
	stop   func() bool
}

func (w *watched) RecvMsg(m any) error {
	err := w.ClientStream.RecvMsg(m)
	switch {
	case err == io.EOF || err == nil && w.single:
		w.finish(nil)
	case err != nil:
		w.finish(err)
	}
	return err
}

func (w *watched) Header() (metadata.MD, error) {
	header, err := w.ClientStream.Header()
	if err != nil {
		w.finish(err)
	}
	return header, err
}

func (w *watched) finish(err error) {
	w.stop()
	w.end(err)
}
