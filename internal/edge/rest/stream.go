package rest

import (
	"cmp"
	"io"

	"google.golang.org/grpc"
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

	received  bool // the only request has been read
	requested bool // a valid request was passed on
	broken    bool // a raw answer failed after its first bytes

	upload messages // of a stream of requests
}

var (
	_ grpc.ServerStream = (*stream)(nil)
	_ call.Lifetime     = (*stream)(nil)
)

// RecvMsg reads the next request and translates it to wire bytes.
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
	s.Body.Keep(msg.Len())
	return err
}

// translate writes the request's wire bytes into a buffer of grpc-go's pool.
func (s *stream) translate(m *call.Message, body []byte) error {
	in := call.Input{Vars: s.vars, RawQuery: s.R.URL.RawQuery, Body: body, HasBody: len(body) > 0, ContentType: s.contentType(), Until: s}
	if s.route.View.RawBody() { // an empty file is a body, too
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

// wireRoom is the room for what path variables and field numbers add to a message.
const wireRoom = 256

// SendMsg translates an answer to JSON and writes it.
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

// appendAnswer appends an answer as HTTP clients get it. It frees the wire bytes of a
// call's only answer, because the client may be slow to read the JSON.
func (s *stream) appendAnswer(out *[]byte, msg *call.Message) (contentType string, raw bool, err error) {
	wire := msg.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	if !s.Method.Stream.ServerStreams {
		msg.Free()
	}
	*out, contentType, raw, err = s.route.View.AppendResponse(*out, wire.ReadOnlyData(), s)
	if err != nil {
		return "", false, s.InvalidAnswer(err)
	}
	return contentType, raw, nil
}

// streamType is the media type of a stream whose messages do not name one. Clients of
// grpc-gateway expect application/json.
func (s *stream) streamType() string {
	if s.route.View.RawAnswer() {
		return transcode.BinaryType
	}
	if s.Table.WrapStreams {
		return edge.TypeJSON
	}
	return typeNDJSON
}

// roomFor returns a buffer for the JSON of an answer of n wire bytes, and how many bytes
// the call holds for it.
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

// largeAnswer is the size above which an answer gets less room at first: large answers
// are mostly text, which grows little.
const largeAnswer = 1 << 20

// account notes that the buffer has grown to n bytes, and returns how many are held.
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
