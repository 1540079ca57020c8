package grpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Own returns the handler of an RPC that the gateway answers itself, such as
// reflection. Observers see its calls; the policies of exposed RPCs do not. The
// stream that answer gets has the call in its context.
func Own(s *edge.Settings, name string, answer func(grpc.ServerStream) error) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error { return call.StatusOf(serveOwn(s, ss, name, answer)).Err() }
}

func serveOwn(settings *edge.Settings, ss grpc.ServerStream, name string, answer func(grpc.ServerStream) error) (err error) {
	defer call.Rescue(&err)
	s := new(ownStream)
	s.begin(settings, ss)
	defer s.end()
	s.Call.Method = name
	s.in.limit, s.in.release = min(s.in.limit, ownRequest), true
	s.out.stream = true
	ss.SetTrailer(metadata.MD{"x-request-id": {s.Call.RequestID}})
	s.Table.Observe(s.Context(), name)
	return s.Run(func() error {
		_, bytes := edge.HeaderSize(s.sent)
		if err := s.ReserveHeader(bytes); err != nil {
			return err
		}
		return s.waitTaken(answer(s))
	}, func(error) {})
}

// ownRequest is how many bytes a request to the gateway itself has at most. Such requests
// are names, and any client may send as many at once as a connection has streams.
const ownRequest = 64 << 10

// ownStream is a stream of generated messages.
type ownStream struct{ stream }

func (s *ownStream) RecvMsg(m any) error {
	var msg call.Message
	if err := s.in.receive(s.Context(), &s.Call.Memory, &msg); err != nil {
		return err
	}
	defer msg.Free()
	s.Call.In.Add(msg.Len())
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
	err = s.stream.SendMsg(&msg)
	msg.Free()
	return err
}
