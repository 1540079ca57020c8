package connect

import (
	"context"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// stream is the client's half of a call: the library's stream, with what all doors
// share around it.
type stream struct {
	edge.HTTPHalf
	dialect

	door *door
	wire connect.ServerStream
	info *connect.CallInfo
	in   source // the request's body, as the library reads it
	out  writer // the answer, as the library writes it

	outcome error // of the call
	begun   bool  // the library answers; until then the door does
	headed  bool  // the answer's headers are set

	// inFault and outFault are errors of our own that the library has seen, and words
	// in its manner. Receiving and sending are two goroutines.
	inFault, outFault error
}

var (
	_ grpc.ServerStream = (*stream)(nil)
	_ call.Lifetime     = (*stream)(nil)
)

// Context is the call's.
func (s *stream) Context() context.Context { return s.Half.Context() }

// carry finds the method and has the library carry the call.
func (s *stream) carry() error {
	if err := s.prepare(); err != nil {
		return s.Refuse(err)
	}
	r := s.request()
	r = r.WithContext(context.WithValue(s.Context(), streamKey{}, s))
	s.door.handlers[s.shape()].ServeHTTP(&s.out, r)
	if !s.begun { // prepare refuses all that the library would
		return s.Refuse(call.Refuse(call.Client, codes.InvalidArgument, "the request is not one of protocol %s", s.protocol()))
	}
	return s.outcome
}

// prepare finds the method, and refuses all that is refused before the chain begins.
func (s *stream) prepare() error {
	if err := s.AdmitHTTP(); err != nil {
		return err
	}
	path := s.R.URL.Path
	if path != edge.SentPath(s.R.URL) || s.R.Method == http.MethodPost && !edge.IsPlainPath(s.R.URL) {
		return call.Unknown(s.R.RequestURI)
	}
	if s.Table.Method(path) == nil && !s.enveloped {
		return edge.RefuseHTTP(http.StatusNotFound, codes.Unimplemented, "%s", call.Unknown(path).Error())
	}
	if err := s.ServeRPC(path, s.R.Header); err != nil {
		return err
	}
	if err := s.check(s.R, s.Method); err != nil {
		return err
	}
	if s.textIn {
		s.decodeText()
	}
	if err := s.setLimits(); err != nil {
		return err
	}
	s.Call.Transcoded = s.json
	return s.SetOutgoingHTTP()
}

// setLimits bounds what is read of the request.
func (s *stream) setLimits() error {
	s.Body.Limit, s.Body.Growth = s.Settings.MaxBody, edge.JSONGrowth
	if !s.json {
		s.Body.Growth = copies
		if limit := s.Settings.MaxMessage; limit > 0 {
			s.Body.Limit = limit
		}
	}
	s.in.limit = int(s.Body.Limit)
	if s.single() && s.enveloped {
		s.Body.Limit += prefixSize
	}
	if s.single() && s.R.ContentLength > s.Body.Limit {
		return edge.BodyTooLarge(s.Body.Limit)
	}
	return nil
}

// copies is how many bytes are held for a byte of a message while the library takes it
// out of its envelope.
const copies = 2

// single reports whether the client sends just one message.
func (s *stream) single() bool { return !s.Method.Stream.ClientStreams }

// forward carries the call, with the library's stream as its client's half.
func (s *stream) forward() error {
	if s.Method.Stream.ClientStreams {
		s.Body.BeginUpload()
		defer s.Body.EndUpload()
	}
	return call.Forward(s.Method, s)
}

// RecvMsg has the library read a message.
func (s *stream) RecvMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	if s.single() {
		return s.receive(msg)
	}
	if err := s.Body.BeginMessage(); err != nil {
		return err
	}
	defer s.Body.EndMessage()
	return s.receive(msg)
}

func (s *stream) receive(msg *call.Message) error {
	err := s.wire.Receive(msg)
	switch {
	case err == nil:
		if err := s.CheckMessage(msg.Len()); err != nil {
			msg.Free()
			return err
		}
		s.Body.Keep(msg.Len())
		s.Call.In.Add(s.in.last)
		return nil
	case s.inFault != nil:
		return s.inFault
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return call.Refuse(call.Client, codes.Code(e.Code()), "%s", e.Message()).Because(err)
	}
	return err
}

// SendHeader sends the backend's headers, but those of a unary call, which wait: until
// its answer the HTTP status can still tell of an error.
func (s *stream) SendHeader(md metadata.MD) error {
	if err := s.SetHeader(md); err != nil || s.Method.Unary() {
		return err
	}
	s.setHeaders()
	return s.sent(s.wire.SendHeaders())
}

// setHeaders sets the headers of the answer, once.
func (s *stream) setHeaders() {
	if s.headed {
		return
	}
	s.headed = true
	header := s.W.Header()
	contentType := ""
	if v := header["Content-Type"]; len(v) > 0 {
		contentType = v[0] // the library has set it
	}
	s.SetHeaders(contentType)
	if s.Method.Stream.ServerStreams {
		s.Unbuffered()
	}
}

// SendMsg has the library write a message.
func (s *stream) SendMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	room := int64(msg.Len()) * s.answerGrowth()
	if err := s.Call.Memory.ReserveAnswer(s.Context(), room); err != nil {
		return call.MemoryError(err)
	}
	defer s.Call.Memory.Release(room)
	s.setHeaders()
	if s.Method.Unary() {
		s.setTrailers()
	}
	return s.sent(s.wire.Send(msg))
}

// answerGrowth is how many bytes are held for a byte of an answer while it is written.
func (s *stream) answerGrowth() int64 {
	growth := int64(1)
	if s.json {
		growth++
	}
	if s.info.ResponseEncoding != connect.CompressionNameIdentity {
		growth++
	}
	if s.textOut {
		growth += 2
	}
	return growth
}

// sent is what sending has ended with, by our own errors where the library has seen one.
func (s *stream) sent(err error) error {
	switch {
	case s.outFault != nil:
		return s.outFault
	case s.out.err != nil:
		return s.out.err
	}
	return err
}

// setTrailers hands the backend's trailers to the library.
func (s *stream) setTrailers() {
	trailer := s.info.ResponseTrailer()
	for key, values := range s.Trailer() {
		trailer.SetValues(key, values)
	}
}

// finish gives the library the trailers, the headers if none were sent, and the error.
func (s *stream) finish(err error) error {
	if s.Failed() {
		return nil // nobody reads it
	}
	s.setTrailers()
	if !s.headed && s.enveloped && s.HasHeader() { // else they would join the trailers
		s.setHeaders()
		_ = s.wire.SendHeaders() // what fails is the next write
	}
	s.setHeaders()
	if err == nil {
		return nil
	}
	if !s.Committed() {
		s.SetErrorHeaders(err)
	}
	return errorOf(err)
}

// answer tells the client of an error that the library does not. It is called when all
// else has been written.
func (s *stream) answer(err error) {
	if err != nil && !s.begun && !s.Committed() {
		s.refuse(err)
	}
	if !s.Committed() && !s.Failed() { // an error that is all in the headers
		s.out.commit(http.StatusOK)
	}
	s.BoundWriting() // net/http writes the rest
}
