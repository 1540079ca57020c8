package edge

import (
	"context"
	"crypto/tls"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// GRPC returns the handler of all methods of a grpc.Server:
//
//	grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(edge.GRPC(s)))
//
// Messages pass through it unread.
func GRPC(s *Settings) grpc.StreamHandler {
	e := &native{s}
	return func(_ any, ss grpc.ServerStream) error { return call.StatusOf(e.serve(ss)).Err() }
}

// RefuseEarly is the first look of a grpc.Server with connections of its own at a call,
// see [grpc.InTapHandle]: it costs less than a handler's answer.
func RefuseEarly(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if c, _ := connectionOf(ctx); c != nil && c.RefuseEarly() {
		return ctx, call.StatusOf(call.MemoryError(memory.ErrFull)).Err()
	}
	return ctx, nil
}

type native struct{ *Settings }

// serve carries one call. grpc-go does not recover from panics, so serve turns one
// into an error, which observers see unless they panicked themselves.
func (e *native) serve(ss grpc.ServerStream) (err error) {
	defer call.Rescue(&err)
	in, _ := metadata.FromIncomingContext(ss.Context())
	name, _ := grpc.MethodFromServerStream(ss)
	remote := remoteOf(ss.Context())
	x := new(nativeExchange)
	c, s := &x.call, &x.stream
	s.ServerStream, s.call = ss, c
	s.ctx = e.beginNative(c, ss, &s.lineage, in, remote)
	table := Enter(e.Table)
	defer table.Leave()
	c.Table = table.Table
	s.bound(e.Settings)
	defer func() { c.Finish(err) }()
	defer call.Rescue(&err)
	err = e.carry(table, s, in, name, remote)
	s.finish()
	return err
}

// beginNative is begin for a call that came through grpc-go. It returns the
// context of the call, and fills l.
func (s *Settings) beginNative(c *call.Call, ss grpc.ServerStream, l *lineage, in metadata.MD, remote string) context.Context {
	ctx := l.read(ss.Context(), in["traceparent"], in["tracestate"])
	connection, _ := connectionOf(ss.Context())
	if connection != nil {
		connection.Begins()
	}
	s.begin(c, call.GRPC, l, &arrival{
		remote: remote, tls: tlsOf(ss.Context()), connection: connection, host: first(in[":authority"]),
		userAgent: first(in["user-agent"]), requestID: first(in["x-request-id"]),
		hops: in["x-forwarded-for"], hosts: in["x-forwarded-host"], protos: in["x-forwarded-proto"],
	})
	return call.With(ctx, c)
}

// carry finds the method and forwards the call.
func (e *native) carry(table *Table, s *nativeStream, in metadata.MD, name, remote string) error {
	m, err := e.admit(table, s.call, in, name)
	if err != nil {
		return table.Refuse(s.ctx, err)
	}
	s.in.release, s.out.stream = m.Stream.ClientStreams, m.Stream.ServerStreams
	s.call.Method, s.call.Upstream = m.Name, m.Upstream
	if s.version = table.VersionOf[name]; s.version != nil {
		s.call.AddHeader(s.version.API.Header, s.version.Name)
	}
	out := e.outgoing(table, s, in, remote)
	if err := call.CheckMetadata(out); err != nil {
		return table.Refuse(s.ctx, err)
	}
	s.call.Sent = out
	s.ctx = metadata.NewOutgoingContext(s.ctx, out)
	if !m.Stream.ClientStreams {
		s.arrival.within, s.in.arrival = m.RequestWithin, &s.arrival
	}
	// In the trailer, for a header would commit the client's attempt: it could
	// not retry what is refused (gRFC A6).
	s.SetTrailer(metadata.MD{"x-request-id": {s.call.RequestID}})
	return s.finishStream(call.Forward(m, s))
}

// admit finds the method and refuses what cannot be carried.
func (e *native) admit(table *Table, c *call.Call, in metadata.MD, name string) (*call.Method, error) {
	if err := e.checkHost(c); err != nil {
		return nil, err
	}
	values, headers := sizeOf(in)
	if values > e.MaxHeaders {
		return nil, call.Refuse(call.Client, codes.ResourceExhausted, "the call has %d metadata values: at most %d are taken", values, e.MaxHeaders)
	}
	if err := e.Memory.Admit(&c.Memory, headers); err != nil {
		return nil, call.MemoryError(err)
	}
	m := table.Method(name)
	if m == nil {
		return nil, call.Unknown(name)
	}
	if _, format, ok := strings.Cut(first(in["content-type"]), "+"); ok && format != "proto" {
		return nil, call.Refuse(call.Client, codes.Unimplemented, "message format %q is not supported: use application/grpc+proto", format)
	}
	return m, table.VersionOf[name].agreeWith(in)
}

// outgoing is the metadata for the backend.
func (e *native) outgoing(table *Table, s *nativeStream, in metadata.MD, remote string) metadata.MD {
	out := make(metadata.MD, len(in)+6)
	for key, values := range in {
		if !table.Reserved.has(key) {
			out[key] = values
		}
	}
	s.version.Stamp(out)
	e.stamp(out, table, s.call, &s.lineage, remote, in["x-forwarded-for"])
	return out
}

// tlsOf is the state of the client's connection, nil in the clear.
func tlsOf(ctx context.Context) *tls.ConnectionState {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	auth := p.AuthInfo
	if over, ok := auth.(interface{ Unwrap() credentials.AuthInfo }); ok {
		auth = over.Unwrap()
	}
	info, ok := auth.(credentials.TLSInfo)
	if !ok {
		return nil
	}
	return &info.State
}

// connectionOf is the client's connection, as package server tells it: beside TLS's
// state on the port of gRPC's own, in the context behind net/http.
func connectionOf(ctx context.Context) (c *memory.Connection, queues bool) {
	if p, ok := peer.FromContext(ctx); ok {
		if known, ok := p.AuthInfo.(interface{ Connection() *memory.Connection }); ok {
			return known.Connection(), true
		}
	}
	return memory.From(ctx), false
}

func remoteOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}

// nativeExchange is all that one call needs, in one allocation.
type nativeExchange struct {
	call   call.Call
	stream nativeStream
}

// nativeStream counts what passes and carries the outgoing metadata.
type nativeStream struct {
	grpc.ServerStream
	ctx     context.Context // ServerStream has a Context method
	call    *call.Call
	lineage lineage
	version *Version // that the RPC belongs to; nil is none
	said    bool     // the gateway's own headers went out
	in      receiver
	out     sender
	arrival requestTimer
}

// bound has the stream hold no more for its client than it may.
func (s *nativeStream) bound(e *Settings) {
	ctx := s.ServerStream.Context()
	s.in.frames, s.in.body, s.in.limit = framesOf(s.ServerStream), bodyOf(ctx), int(e.MaxMessage)
	s.in.body.claim()
	if s.in.body != nil { // a grpcWriter bounds each chunk, and grpc-go frees none before the last
		s.out.abort = s.in.body.endAnswer
		return
	}
	s.out.timeout = e.WriteTimeout
	if connection, queues := connectionOf(ctx); queues {
		s.out.connection = connection
	}
}

// SetHeader keeps the backend's headers.
func (s *nativeStream) SetHeader(md metadata.MD) error {
	return s.ServerStream.SetHeader(s.backends(md))
}

// SendHeader sends the backend's headers and the gateway's own.
func (s *nativeStream) SendHeader(md metadata.MD) error {
	return s.ServerStream.SendHeader(metadata.Join(s.backends(md), s.own()))
}

// backends are the backend's headers without the version's: the gateway sets that
// header itself.
func (s *nativeStream) backends(md metadata.MD) metadata.MD {
	if s.version == nil || len(md[s.version.API.Header]) == 0 {
		return md
	}
	md = md.Copy()
	delete(md, s.version.API.Header)
	return md
}

// own are the gateway's own headers, once.
func (s *nativeStream) own() metadata.MD {
	if s.said {
		return nil
	}
	s.said = true
	return s.call.Header()
}

// sendOwn has the gateway's own headers go before the first message.
func (s *nativeStream) sendOwn() error {
	if md := s.own(); len(md) > 0 {
		return s.ServerStream.SetHeader(md)
	}
	return nil
}

// finish has the gateway's own headers go into the trailer of an answer that had
// no other place for them.
func (s *nativeStream) finish() {
	if md := s.own(); len(md) > 0 {
		s.SetTrailer(md)
	}
}

func (s *nativeStream) Context() context.Context { return s.ctx }

// RecvMsg reads a message of the client's.
func (s *nativeStream) RecvMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	s.arrival.begin(s)
	if err := s.in.receive(s.ctx, &s.call.Memory, msg); err != nil {
		if s.arrival.end() {
			s.said = true // by endLate
			return s.arrival.late()
		}
		return err
	}
	s.call.In.Add(msg.Len())
	return nil
}

// SendMsg sends a message, and waits for a client that takes none.
func (s *nativeStream) SendMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	n := msg.Len()
	s.call.Out.Add(n)
	if err := s.call.Memory.ReserveAnswer(s.ctx, int64(n)-s.call.Memory.Held()); err != nil { // it came from no upstream
		return call.MemoryError(err)
	}
	if err := s.sendOwn(); err != nil {
		return err
	}
	var err error
	if msg.Data, err = s.out.prepare(s.ctx, &s.call.Memory, msg.Data); err != nil {
		return err
	}
	if err := s.ServerStream.SendMsg(msg); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		memory.Expire(msg.Data)
	}
	msg.Free() // what grpc-go has sent is needed no more
	if s.out.stream {
		return s.settle(int64(n))
	}
	return s.out.finish(s.ctx, &s.call.Memory)
}

// settle waits until the client has taken a message of n bytes, where others need the
// room: the next one is not asked for before.
func (s *nativeStream) settle(n int64) error {
	share := &s.call.Memory
	if !share.IsCrowded() {
		return nil
	}
	share.Release(n) // it counts with its barriers, and is released once more
	defer share.Hold(n)
	return s.out.finish(s.ctx, share)
}

// finishStream waits until the client has taken the answers of a stream that ended with
// err. It returns what the call ends with.
func (s *nativeStream) finishStream(err error) error {
	if !s.out.stream {
		return err
	}
	if waited := s.out.finish(s.ctx, &s.call.Memory); err == nil {
		return waited
	}
	return err
}
