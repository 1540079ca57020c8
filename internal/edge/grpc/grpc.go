// Package grpc is the door for gRPC, on the port of gRPC's own and on the HTTP port.
// grpc-go speaks the protocol; messages pass through it unread.
package grpc

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
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Handler returns the handler of all methods of a grpc.Server:
//
//	grpc.NewServer(grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(Handler(s)))
func Handler(s *edge.Settings) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error { return call.StatusOf(serve(s, ss)).Err() }
}

// RefuseEarly refuses a call while the gateway is short of memory, before a grpc.Server
// with connections of its own makes a stream of it (see [grpc.InTapHandle]). That costs
// less than a handler's refusal.
func RefuseEarly(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if c, _ := connectionOf(ctx); c != nil && c.RefuseEarly() {
		return ctx, call.StatusOf(call.MemoryError(memory.ErrFull)).Err()
	}
	return ctx, nil
}

// serve serves one call. grpc-go does not recover from panics, so serve turns one
// into an error, which observers see unless they panicked themselves.
func serve(settings *edge.Settings, ss grpc.ServerStream) (err error) {
	defer call.Rescue(&err)
	s := new(stream)
	s.begin(settings, ss)
	defer s.end()
	return s.Run(s.carry, s.answer)
}

// stream is the client's half of a gRPC call: grpc-go's, which counts what passes and
// bounds what the client has the gateway hold.
type stream struct {
	grpc.ServerStream
	edge.Half
	sent    metadata.MD // by the client
	entered *edge.Table // to be left; nil where the HTTP port holds it
	in      receiver
	out     sender
	timer   requestTimer
}

// begin notes what is known of the call, and takes the table: that of its request on the
// HTTP port, where the port holds it, and else the one in force, until end.
func (s *stream) begin(settings *edge.Settings, ss grpc.ServerStream) {
	ctx := ss.Context()
	s.ServerStream = ss
	s.sent, _ = metadata.FromIncomingContext(ctx)
	connection, queues := connectionOf(ctx)
	if connection != nil {
		connection.Begins()
	}
	request := requestOf(ctx)
	var table *edge.Table
	if request != nil {
		table = request.table
	} else {
		table = edge.Enter(settings.Table)
		s.entered = table
	}
	s.Begin(ctx, settings, table, call.GRPC, &edge.Arrival{
		Remote: remoteOf(ctx), TLS: tlsOf(ctx), Connection: connection, Host: first(s.sent[":authority"]),
		UserAgent: first(s.sent["user-agent"]), RequestID: first(s.sent["x-request-id"]),
		ForwardedFor: s.sent["x-forwarded-for"], ForwardedHost: s.sent["x-forwarded-host"], ForwardedProto: s.sent["x-forwarded-proto"],
		TraceParent: s.sent["traceparent"], TraceState: s.sent["tracestate"],
	})
	s.in.frames, s.in.limit = framesOf(ss), int(settings.MaxMessage)
	if request != nil { // its writer bounds each chunk, and grpc-go frees none before the last
		request.body.claim()
		s.in.body, s.out.abort = &request.body, request.body.endAnswer
		return
	}
	s.out.timeout = settings.WriteTimeout
	if queues {
		s.out.connection = connection
	}
}

// end leaves the table that begin took.
func (s *stream) end() {
	if s.entered != nil {
		s.entered.Leave()
	}
}

// carry finds the method and forwards the call.
func (s *stream) carry() error {
	name, _ := grpc.MethodFromServerStream(s.ServerStream)
	if err := s.admit(name); err != nil {
		return s.Refuse(err)
	}
	out := s.outgoing()
	if err := call.CheckMetadata(out); err != nil {
		return s.Refuse(err)
	}
	s.SetOutgoing(out, s.sent["x-forwarded-for"])
	m := s.Method
	s.in.release, s.out.stream = m.Stream.ClientStreams, m.Stream.ServerStreams
	if !m.Stream.ClientStreams {
		s.timer.within, s.in.timer = m.RequestWithin, &s.timer
	}
	// In the trailer, for a header would commit the client's attempt: it could
	// not retry what is refused (gRFC A6).
	s.SetTrailer(metadata.MD{"x-request-id": {s.Call.RequestID}})
	return s.waitTaken(call.Forward(m, s))
}

// admit finds the method and refuses what cannot be carried.
func (s *stream) admit(name string) error {
	if err := s.CheckHost(); err != nil {
		return err
	}
	values, bytes := edge.HeaderSize(s.sent)
	if most := s.Settings.MaxHeaders; values > most {
		return call.Refuse(call.Client, codes.ResourceExhausted, "the call has %d metadata values: at most %d are taken", values, most)
	}
	if err := s.ReserveHeader(bytes); err != nil {
		return err
	}
	if _, format, ok := strings.Cut(first(s.sent["content-type"]), "+"); ok && format != "proto" {
		return call.Refuse(call.Client, codes.Unimplemented, "message format %q is not supported: use application/grpc+proto", format)
	}
	return s.ServeRPC(name, s.sent)
}

// outgoing is what the backend gets of the client's metadata.
func (s *stream) outgoing() metadata.MD {
	out := make(metadata.MD, len(s.sent)+ownKeys)
	for key, values := range s.sent {
		if !s.Table.Reserved.Has(key) {
			out[key] = values
		}
	}
	return out
}

// ownKeys is how many keys the gateway itself usually adds.
const ownKeys = 6

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// SetHeader sets the backend's headers.
func (s *stream) SetHeader(md metadata.MD) error {
	return s.ServerStream.SetHeader(s.backendHeader(md))
}

// SendHeader sends the backend's headers and the gateway's own.
func (s *stream) SendHeader(md metadata.MD) error {
	return s.ServerStream.SendHeader(metadata.Join(s.backendHeader(md), s.OwnHeader()))
}

// backendHeader is the backend's header without the version's: the gateway sets that
// one itself.
func (s *stream) backendHeader(md metadata.MD) metadata.MD {
	if s.Version == nil || len(md[s.Version.API.Header]) == 0 {
		return md
	}
	md = md.Copy()
	delete(md, s.Version.API.Header)
	return md
}

// sendOwn sets the gateway's own headers, before the first message is sent.
func (s *stream) sendOwn() error {
	if md := s.OwnHeader(); len(md) > 0 {
		return s.ServerStream.SetHeader(md)
	}
	return nil
}

// answer puts the gateway's own headers into the trailer if no header was sent. Handler
// returns the status, which grpc-go writes.
func (s *stream) answer(error) {
	if md := s.OwnHeader(); len(md) > 0 {
		s.SetTrailer(md)
	}
}

// Context is the call's.
func (s *stream) Context() context.Context { return s.Half.Context() }

// RecvMsg reads a message of the client's.
func (s *stream) RecvMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	s.timer.begin(s)
	if err := s.in.receive(s.Context(), &s.Call.Memory, msg); err != nil {
		if s.timer.end() {
			_ = s.OwnHeader() // endLate has sent it
			return s.timer.late()
		}
		return err
	}
	s.Call.In.Add(msg.Len())
	return nil
}

// SendMsg sends a message. It waits while the client has not taken the earlier ones.
func (s *stream) SendMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	n := msg.Len()
	s.Call.Out.Add(n)
	if err := s.Call.Memory.ReserveAnswer(s.Context(), int64(n)-s.Call.Memory.Held()); err != nil { // what came from an upstream is held already
		return call.MemoryError(err)
	}
	if err := s.sendOwn(); err != nil {
		return err
	}
	var err error
	if msg.Data, err = s.out.prepare(s.Context(), &s.Call.Memory, msg.Data); err != nil {
		return err
	}
	if err := s.ServerStream.SendMsg(msg); err != nil {
		return err
	}
	if s.Context().Err() != nil {
		memory.Expire(msg.Data)
	}
	msg.Free() // grpc-go has its own reference
	if s.out.stream {
		return s.waitIfCrowded(int64(n))
	}
	return s.out.finish(s.Context(), &s.Call.Memory)
}

// waitIfCrowded waits until the client has taken a message of n bytes, if other calls
// need the memory. The next message is not asked for before.
func (s *stream) waitIfCrowded(n int64) error {
	share := &s.Call.Memory
	if !share.IsCrowded() {
		return nil
	}
	share.Release(n) // its barriers count it, and the caller releases it once more
	defer share.Hold(n)
	return s.out.finish(s.Context(), share)
}

// waitTaken waits until the client has taken the answers of a stream that ended with
// err. It returns what the call ends with.
func (s *stream) waitTaken(err error) error {
	if !s.out.stream {
		return err
	}
	if waited := s.out.finish(s.Context(), &s.Call.Memory); err == nil {
		return waited
	}
	return err
}

// tlsOf is the TLS state of the client's connection, nil without TLS.
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

// connectionOf is the client's connection. Package server puts it beside the TLS state
// on the port of gRPC's own, and into the context on the HTTP port. queues reports whether
// its transport queues answers.
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
