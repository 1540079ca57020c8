package rest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// stream is the client's half of a REST call.
type stream struct {
	edge.HTTPHalf
	match *edge.Match // until the answer is written
	route *edge.Route
	vars  []string

	received  bool // the one request has been read
	requested bool // a request was good and went on
	broken    bool // the client has a part of a raw answer

	upload    messages    // of a stream of requests
	uploading sync.Mutex  // held while a goroutine reads the body
	over      atomic.Bool // no further read may begin
}

var (
	_ grpc.ServerStream = (*stream)(nil)
	_ call.Lifetime     = (*stream)(nil)
)

// Err implements [call.Lifetime] for the transcoder: nobody waits for what it does
// once the client has gone or the call's time is over.
func (s *stream) Err() error {
	switch err := s.Context().Err(); {
	case errors.Is(err, context.Canceled):
		return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
	case err != nil || s.Call.PastLimit():
		return call.Refuse(call.Client, codes.DeadlineExceeded, "the deadline passed while a message was made of its JSON, or JSON of it").Because(err)
	}
	return nil
}

// isOver reports whether err is that of a [stream]'s Err.
func isOver(err error) bool {
	_, ok := errors.AsType[*call.Error](err)
	return ok
}

// RecvMsg reads the body and makes wire bytes of it.
func (s *stream) RecvMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	if s.Method.Stream.ClientStreams {
		return s.recvNext(msg)
	}
	if s.received {
		return io.EOF
	}
	s.received = true
	if s.route.Body == "" && s.R.ContentLength != 0 {
		if err := s.Body.Refuse(); err != nil {
			return err
		}
		return s.translate(msg, nil)
	}
	body, err := s.Body.Read()
	if err != nil {
		return err
	}
	err = s.translate(msg, *body)
	edge.PutScratch(body)
	s.Body.Became(msg.Len())
	return err
}

// translate makes the request's wire bytes in a buffer that grpc-go gives back.
func (s *stream) translate(m *call.Message, body []byte) error {
	in := call.Input{Vars: s.vars, RawQuery: s.R.URL.RawQuery, Body: body, HasBody: len(body) > 0, ContentType: s.contentType(), Until: s}
	if s.route.View.RawBody() { // an empty file is one, too
		in.HasBody = in.HasBody || s.Method.Stream.ClientStreams || in.ContentType != ""
	}
	if s.requested && s.route.View.RawBody() {
		in = call.Input{Body: body, HasBody: true, Continues: true}
	}
	s.Call.In.Add(len(body))
	pool := mem.DefaultBufferPool()
	buf := pool.Get(len(body) + len(in.RawQuery) + wireRoom)
	wire, err := s.route.View.AppendRequest((*buf)[:0], &in)
	if err != nil {
		pool.Put(buf)
		if isOver(err) {
			return err
		}
		return edge.RefuseInput(err)
	}
	*buf = wire
	if err := s.CheckMessage(len(wire)); err != nil {
		pool.Put(buf)
		return err
	}
	s.requested = true
	m.Free()
	m.Data = mem.BufferSlice{mem.NewBuffer(buf, pool)}
	return nil
}

// wireRoom is what path variables and field numbers may add to a message.
const wireRoom = 256

// SendMsg makes JSON of an answer and writes it.
func (s *stream) SendMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	out, held, err := s.roomFor(msg.Len())
	if err != nil {
		return err
	}
	defer func() { s.freeScratch(out, held) }()
	many := s.Method.Stream.ServerStreams
	wrap := many && s.Table.WrapStreams
	if wrap {
		*out = append(*out, `{"result":`...)
	}
	begin := len(*out)
	contentType, raw, err := s.appendAnswer(out, msg)
	if err != nil {
		return err
	}
	held = s.account(held, cap(*out))
	if !many {
		return s.WriteWhole(*out, cmp.Or(contentType, edge.TypeJSON))
	}
	if raw {
		return s.WritePart((*out)[begin:], contentType)
	}
	if wrap {
		*out = append(*out, '}')
	}
	*out = append(*out, '\n')
	return s.WritePart(*out, s.streamType())
}

// appendAnswer appends what HTTP shows of an answer. Of the only answer the wire
// bytes are given up then: the client may take long to read what they became.
func (s *stream) appendAnswer(out *[]byte, msg *call.Message) (contentType string, raw bool, err error) {
	wire := msg.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	if !s.Method.Stream.ServerStreams {
		msg.Free()
	}
	*out, contentType, raw, err = s.route.View.AppendResponse(*out, wire.ReadOnlyData(), s)
	if isOver(err) {
		return "", false, err
	}
	if err != nil {
		return "", false, call.Refuse(call.Upstream, codes.Internal,
			"upstream %q gave an answer that is not valid: %v", s.Call.ServedBy(), err)
	}
	return contentType, raw, nil
}

// streamType is the media type of a stream that does not say its own.
// grpc-gateway's clients expect plain JSON of streams of JSON.
func (s *stream) streamType() string {
	if s.route.View.RawAnswer() {
		return transcode.BinaryType
	}
	if s.Table.WrapStreams {
		return edge.TypeJSON
	}
	return typeNDJSON
}

// roomFor has a buffer for what an answer of n wire bytes becomes.
func (s *stream) roomFor(n int) (out *[]byte, held int64, err error) {
	room := 2 * n
	if n > largeAnswer {
		room = n + n/4
	}
	held = int64(room)
	if err := s.Call.Memory.ReserveAnswer(s.Context(), held); err != nil {
		return nil, 0, call.MemoryError(err)
	}
	return edge.Scratch(room), held, nil
}

// largeAnswer is the size of answers that get less room at first: those that are
// mostly text do not grow by much.
const largeAnswer = 1 << 20

// account notes that a buffer has grown to n bytes.
func (s *stream) account(held int64, n int) int64 {
	if n := int64(n); n > held {
		s.Call.Memory.Hold(n - held)
		return n
	}
	return held
}

func (s *stream) freeScratch(out *[]byte, held int64) {
	edge.PutScratch(out)
	s.Call.Memory.Release(held)
}
