package edge

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Own returns the handler of an RPC that the gateway answers itself, such as
// reflection. Observers see its calls; the policies of exposed RPCs do not. The
// stream that serve gets has the call in its context.
func Own(s *Settings, name string, serve func(grpc.ServerStream) error) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error { return call.StatusOf(s.serveOwn(ss, name, serve)).Err() }
}

func (s *Settings) serveOwn(ss grpc.ServerStream, name string, serve func(grpc.ServerStream) error) (err error) {
	defer call.Rescue(&err)
	in, _ := metadata.FromIncomingContext(ss.Context())
	c := &call.Call{Method: name}
	own := &ownStream{nativeStream{ServerStream: ss, call: c}}
	own.ctx = s.beginNative(c, ss, &own.lineage, in, remoteOf(ss.Context()))
	table := Enter(s.Table)
	defer table.Leave()
	c.Table = table.Table
	own.bound(s)
	own.in.limit, own.in.release = min(own.in.limit, ownRequest), true
	own.out.stream = true
	ss.SetTrailer(metadata.MD{"x-request-id": {c.RequestID}})
	table.Observe(own.ctx, name)
	defer func() { c.Finish(err) }()
	defer call.Rescue(&err)
	_, headers := sizeOf(in)
	if err := s.Memory.Admit(&c.Memory, headers); err != nil {
		return call.MemoryError(err)
	}
	return own.finishStream(serve(own))
}

// ownRequest is how many bytes a request to the gateway itself has at most. They ask
// by names; anybody may send them, and as many at once as a connection has streams.
const ownRequest = 64 << 10

// ownStream has messages that are not wire bytes.
type ownStream struct{ nativeStream }

func (s *ownStream) RecvMsg(m any) error {
	var msg call.Message
	if err := s.in.receive(s.ctx, &s.call.Memory, &msg); err != nil {
		return err
	}
	defer msg.Free()
	s.call.In.Add(msg.Len())
	if err := (call.Codec{}).Unmarshal(msg.Data, m); err != nil {
		return call.Refuse(call.Client, codes.InvalidArgument, "the request is not a message of its type: its bytes cannot be read as one").Because(err)
	}
	return nil
}

func (s *ownStream) SendMsg(m any) error {
	data, err := (call.Codec{}).Marshal(m)
	if err != nil {
		return err
	}
	msg := call.Message{Data: data}
	err = s.nativeStream.SendMsg(&msg)
	msg.Free()
	return err
}
