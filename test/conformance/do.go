package conformance

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const service = "/connectrpc.conformance.v1.ConformanceService/"

// Do makes the call. It concludes nothing that the gateway must say itself: an
// end without trailers, or an answer that cannot be read, is [Result.Wrong]. So
// what a server does wrong cannot pass through the gateway and still be put right
// by the library of this client.
func (c *Call) Do(ctx context.Context, cc *grpc.ClientConn) *Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.Timeout > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, c.Timeout)
		defer end()
	}
	seen := new(seen)
	ctx = context.WithValue(metadata.NewOutgoingContext(ctx, outgoing(c.Headers)), seenKey{}, seen)
	d := &doing{Call: c, cancel: cancel, result: &Result{Name: c.Name}}
	// Every method as a stream both ways, so that nobody but d counts messages.
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := cc.NewStream(ctx, desc, service+c.Method, c.options()...)
	if err != nil {
		d.result.Status = status.Convert(err)
		return d.result
	}
	d.stream = stream
	end := d.carry()
	d.finish(end)
	if end != io.EOF && !over(ctx) && (!seen.trailer.Load() || !d.said(end)) {
		d.wrong("the gateway did not say how the call ended: %v", end)
	}
	return d.result
}

// over reports whether the client has given the call up. grpc-go's client knows
// that the deadline has passed before the context says so.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

func (c *Call) options() []grpc.CallOption {
	var opts []grpc.CallOption
	if c.Gzip {
		opts = append(opts, grpc.UseCompressor(gzip.Name))
	}
	if c.ReceiveLimit > 0 {
		opts = append(opts, grpc.MaxCallRecvMsgSize(int(c.ReceiveLimit)))
	}
	return opts
}

// doing is a call under way.
type doing struct {
	*Call
	cancel context.CancelFunc
	stream grpc.ClientStream
	result *Result
}

// carry sends and receives, and returns how the call ended: io.EOF if well.
func (d *doing) carry() error {
	for i, msg := range d.Messages {
		time.Sleep(d.Delay) // the runner wants it
		if d.stream.SendMsg(msg) != nil {
			d.result.Unsent = len(d.Messages) - i
			break // the reason comes with the answer
		}
		if !d.FullDuplex {
			continue
		}
		if err := d.receive(); err != nil {
			return err
		}
	}
	if d.Cancel != nil && d.Cancel.BeforeCloseSend {
		d.cancel()
	}
	_ = d.stream.CloseSend() // fails only where receiving does
	if d.Cancel != nil && d.Cancel.AfterCloseSend >= 0 {
		time.AfterFunc(d.Cancel.AfterCloseSend, d.cancel)
	}
	for {
		if err := d.receive(); err != nil {
			return err
		}
	}
}

// receive takes one answer.
func (d *doing) receive() error {
	var msg []byte
	if err := d.stream.RecvMsg(&msg); err != nil {
		return err
	}
	payload := []byte{}
	err := fields(msg, func(num protowire.Number, _ uint64, b []byte) {
		if num == 1 {
			payload = b
		}
	})
	if err != nil {
		d.wrong("the gateway passed on an answer that is not one: %q: %v", msg, err)
	}
	d.result.Payloads = append(d.result.Payloads, payload)
	if d.Cancel != nil && len(d.result.Payloads) == d.Cancel.AfterResponses {
		d.cancel()
	}
	return nil
}

// said reports whether end is the status with which the stream ended. grpc-go gives
// that as often as it is asked, and what it finds wrong with a message only once.
func (d *doing) said(end error) bool {
	var rest []byte
	again := d.stream.RecvMsg(&rest)
	return again != nil && status.Convert(again) == status.Convert(end)
}

// finish notes how the call ended.
func (d *doing) finish(end error) {
	header, _ := d.stream.Header() // its error is end
	d.result.Header, d.result.Trailer = incoming(header), incoming(d.stream.Trailer())
	if end != io.EOF {
		d.result.Status = status.Convert(end)
	}
	if d.Method == "ServerStream" || d.Method == "BidiStream" {
		return
	}
	if end == io.EOF && len(d.result.Payloads) != 1 {
		d.wrong("the gateway passed on %d answers and OK where there is one", len(d.result.Payloads))
	}
	if end != io.EOF {
		d.result.Payloads = nil // an error has none
	}
}

func (d *doing) wrong(format string, args ...any) {
	if d.result.Wrong == nil {
		d.result.Wrong = fmt.Errorf(format, args...)
	}
}

// outgoing and incoming turn headers of the suite, whose binary values are in
// base64, into metadata and back.
func outgoing(md metadata.MD) metadata.MD {
	return convert(md, func(v string) string {
		if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(v, "=")); err == nil {
			return string(b)
		}
		return v
	})
}

func incoming(md metadata.MD) metadata.MD {
	return convert(md, func(v string) string { return base64.RawStdEncoding.EncodeToString([]byte(v)) })
}

func convert(md metadata.MD, binary func(string) string) metadata.MD {
	out := md.Copy()
	for name, values := range out {
		for i, v := range values {
			if strings.HasSuffix(name, "-bin") {
				values[i] = binary(v)
			}
		}
	}
	return out
}

// codec passes messages as their bytes.
type codec struct{}

func (codec) Name() string { return "" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, status.Errorf(codes.Internal, "cannot send %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	to, ok := v.(*[]byte)
	if !ok {
		return errors.New("want a place for bytes")
	}
	*to = data.Materialize()
	return nil
}

// seen is what came of a call's answer. It travels in the call's context.
type seen struct{ trailer atomic.Bool }

type seenKey struct{}

// witness notes what comes, for grpc-go makes a status where none came.
type witness struct{}

var _ stats.Handler = witness{}

func (witness) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (witness) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.InTrailer); ok {
		if seen, ok := ctx.Value(seenKey{}).(*seen); ok {
			seen.trailer.Store(true)
		}
	}
}

func (witness) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (witness) HandleConn(context.Context, stats.ConnStats)                       {}
