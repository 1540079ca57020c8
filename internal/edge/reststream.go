package edge

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// restStream is the client's half of a REST call. One goroutine receives and
// one sends, as grpc-go promises for a ServerStream.
type restStream struct {
	settings *Settings
	table    *Table
	call     *call.Call
	w        http.ResponseWriter
	r        *http.Request
	ctx      context.Context // ServerStream has a Context method
	lineage  lineage
	route    *Route
	vars     []string

	received bool   // the one request has been read
	reserved int64  // bytes that the call was promised for the request
	holds    int64  // bytes that it holds for it
	asked    bool   // a request was good and went on
	upload   pieces // of a stream of requests

	uploading sync.Mutex  // held while a goroutine reads the body
	over      atomic.Bool // no further read may begin

	sending   memory.ClientWait // a request
	taking    memory.ClientWait // an answer
	cut       atomic.Bool       // the rest of it has no time: the gateway is short of memory
	header    metadata.MD
	trailer   metadata.MD
	committed bool // the status line is out
	failed    bool // the client takes no more
	broken    bool // the client has a part of a raw answer
}

var (
	_ grpc.ServerStream = (*restStream)(nil)
	_ call.Lifetime     = (*restStream)(nil)
)

func (s *restStream) Context() context.Context { return s.ctx }

// Err implements [call.Lifetime] for the transcoder: nobody waits for what it does
// once the client has gone or the call's time is over.
func (s *restStream) Err() error {
	switch err := s.ctx.Err(); {
	case errors.Is(err, context.Canceled):
		return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
	case err != nil || s.call.PastLimit():
		return call.Refuse(call.Client, codes.DeadlineExceeded, "the deadline passed while a message was made of its JSON, or JSON of it").Because(err)
	}
	return nil
}

// isOver reports whether err is that of a [restStream]'s Err.
func isOver(err error) bool {
	_, ok := errors.AsType[*call.Error](err)
	return ok
}

func (s *restStream) SetHeader(md metadata.MD) error {
	s.header = metadata.Join(s.header, md)
	return nil
}

// SendHeader keeps the headers for the first message: until then the status can
// still tell of an error.
func (s *restStream) SendHeader(md metadata.MD) error { return s.SetHeader(md) }

func (s *restStream) SetTrailer(md metadata.MD) {
	if len(md) > 0 {
		s.trailer = metadata.Join(s.trailer, md)
	}
}

// RecvMsg reads the body and makes wire bytes of it.
func (s *restStream) RecvMsg(m any) error {
	if s.route.Method.Stream.ClientStreams {
		return s.recvPiece(m.(*call.Message)) //nolint:forcetypeassert // call.Forward's promise
	}
	if s.received {
		return io.EOF
	}
	s.received = true
	if s.route.Body == "" && s.r.ContentLength != 0 {
		return s.recvNoBody(m.(*call.Message)) //nolint:forcetypeassert // call.Forward's promise
	}
	body, err := s.receiveBody()
	if err != nil {
		return err
	}
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	err = s.translate(msg, *body)
	putScratch(body)
	s.freeBody(msg.Len())
	return err
}

// recvNoBody takes a request of a binding without body. One byte of it is
// enough to refuse the rest unread.
func (s *restStream) recvNoBody(m *call.Message) error {
	done := s.boundReading()
	var probe [1]byte
	n, err := io.ReadFull(s.r.Body, probe[:])
	switch {
	case n > 0:
		return call.Refuse(call.Client, codes.InvalidArgument, "%s takes no body", s.route.Name)
	case err != io.EOF:
		return brokenBody(err)
	}
	done(nil)
	return s.translate(m, nil)
}

// translate makes the request's wire bytes in a buffer that grpc-go gives back.
func (s *restStream) translate(m *call.Message, body []byte) error {
	in := call.Input{Vars: s.vars, RawQuery: s.r.URL.RawQuery, Body: body, HasBody: len(body) > 0, ContentType: s.contentType(), Until: s}
	if s.route.View.RawBody() { // an empty file is one, too
		in.HasBody = in.HasBody || s.route.Method.Stream.ClientStreams || in.ContentType != ""
	}
	if s.asked && s.route.View.RawBody() {
		in = call.Input{Body: body, HasBody: true, Continues: true}
	}
	s.call.In.Add(len(body))
	pool := mem.DefaultBufferPool()
	buf := pool.Get(len(body) + len(in.RawQuery) + wireRoom)
	wire, err := s.route.View.AppendRequest((*buf)[:0], &in)
	if err != nil {
		pool.Put(buf)
		if isOver(err) {
			return err
		}
		return clientMistake(err)
	}
	*buf = wire
	if limit := s.settings.MaxMessage; limit > 0 && int64(len(wire)) > limit {
		pool.Put(buf)
		return httpRefusal(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			"the request is a message of %d bytes: at most %d are taken", len(wire), limit)
	}
	s.asked = true
	m.Free()
	m.Data = mem.BufferSlice{mem.NewBuffer(buf, pool)}
	return nil
}

// wireRoom is what path variables and field numbers may add to a message.
const wireRoom = 256

// SendMsg makes JSON of an answer and writes it.
func (s *restStream) SendMsg(m any) error {
	msg := m.(*call.Message) //nolint:forcetypeassert // call.Forward's promise
	out, held, err := s.roomFor(msg.Len())
	if err != nil {
		return err
	}
	defer func() { s.freeScratch(out, held) }()
	stream := s.route.Method.Stream.ServerStreams
	wrap := stream && s.table.WrapStreams
	if wrap {
		*out = append(*out, `{"result":`...)
	}
	begin := len(*out)
	contentType, raw, err := s.appendAnswer(out, msg)
	if err != nil {
		return err
	}
	held = s.account(held, cap(*out))
	if !stream {
		return s.writeWhole(*out, contentType)
	}
	if raw {
		return s.writePart((*out)[begin:], contentType)
	}
	if wrap {
		*out = append(*out, '}')
	}
	*out = append(*out, '\n')
	return s.writePart(*out, s.streamType())
}

// appendAnswer appends what HTTP shows of an answer. Of the only answer the wire
// bytes are given up then: the client may take long to read what they became.
func (s *restStream) appendAnswer(out *[]byte, msg *call.Message) (contentType string, raw bool, err error) {
	wire := msg.Data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer wire.Free()
	if !s.route.Method.Stream.ServerStreams {
		msg.Free()
	}
	*out, contentType, raw, err = s.route.View.AppendResponse(*out, wire.ReadOnlyData(), s)
	if isOver(err) {
		return "", false, err
	}
	if err != nil {
		return "", false, call.Refuse(call.Upstream, codes.Internal,
			"upstream %q gave an answer that is not valid: %v", s.call.ServedBy(), err)
	}
	return contentType, raw, nil
}

// streamType is the media type of a stream that does not say its own.
// grpc-gateway's clients expect plain JSON of streams of JSON.
func (s *restStream) streamType() string {
	if s.route.View.RawAnswer() {
		return transcode.BinaryType
	}
	if s.table.WrapStreams {
		return typeJSON
	}
	return typeNDJSON
}

// writeWhole writes the answer of a call that has just one.
func (s *restStream) writeWhole(b []byte, contentType string) error {
	if contentType == "" {
		contentType = typeJSON
	}
	s.writeHeaders(contentType)
	s.setLength(len(b))
	s.commit(http.StatusOK)
	return s.write(b)
}

// writePart writes one message of a stream and sends it on its way.
func (s *restStream) writePart(b []byte, contentType string) error {
	if !s.committed {
		s.writeHeaders(contentType)
		s.w.Header()["X-Accel-Buffering"] = headerNo
		s.commit(http.StatusOK)
	}
	s.settings.boundWriting(s.w)
	if err := s.write(b); err != nil {
		return err
	}
	if err := http.NewResponseController(s.w).Flush(); err != nil {
		return s.gone(err)
	}
	s.settings.liftWriting(s.w)
	return nil
}

func (s *restStream) write(b []byte) error {
	s.call.Out.Add(len(b))
	if len(b) > chunk || s.call.Memory.Busy() {
		s.taking.Begin(&s.call.Memory, func() {
			s.cut.Store(true)
			s.settings.endWriting(s.w)
		})
		defer s.taking.Done()
	}
	for len(b) > chunk {
		if err := s.writeChunk(b[:chunk]); err != nil {
			return err
		}
		b = b[chunk:]
		s.settings.boundWriting(s.w)
		if s.cut.Load() { // there is no more time
			s.settings.endWriting(s.w)
		}
	}
	return s.writeChunk(b)
}

func (s *restStream) writeChunk(b []byte) error {
	if _, err := s.w.Write(b); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) { //nolint:gosec // it has a content type, and nosniff
		return s.gone(err)
	}
	return nil
}

// gone notes that the client takes no more.
func (s *restStream) gone(err error) error {
	s.failed = true
	return call.Refuse(call.Client, codes.Canceled, "the client went away").Because(err)
}

func (s *restStream) commit(status int) {
	s.committed = true
	s.call.SetHTTPStatus(status)
	s.settings.boundWriting(s.w)
	s.w.WriteHeader(status)
}

// finish tells the client how the call ended. It is the one place where an
// outcome becomes an HTTP status and an error body.
func (s *restStream) finish(err error) {
	switch {
	case s.failed:
	case err == nil && !s.committed: // a stream of nothing
		s.writeHeaders(s.streamType())
		s.commit(http.StatusOK)
	case err != nil && !s.committed:
		s.refuse(err)
	case err != nil && s.route.View.RawAnswer(): // an error document would be taken for a part of the file
		s.broken = true
		return
	case err != nil: // the status is gone: the stream says it itself
		_ = s.writePart(s.table.Errors.appendFrame(nil, err), "")
	}
	s.writeTrailers()
	if s.route != nil && s.route.Method.Stream.ServerStreams {
		s.settings.boundWriting(s.w) // net/http writes the rest
	}
}

// abort ends an answer of which a part has gone out, so that the client does not
// take it for whole: without the last chunk, or by RST_STREAM. It does not return.
func abort(w http.ResponseWriter, r *http.Request) {
	if !r.ProtoAtLeast(1, 1) { // the end of the connection is that of the answer
		reset(w)
	}
	panic(http.ErrAbortHandler) // the only way that net/http has
}

// reset ends the client's connection so that reading from it fails.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn() // TLS would say that this is the end
	}
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // closing it anyway
	}
	_ = c.Close()
}

func (s *restStream) refuse(err error) {
	body, contentType := s.table.Errors.body(err, s.r.Header["Accept"])
	if s.asked && s.table.WrapStreams && s.route.Method.Stream.ServerStreams && contentType == typeJSON {
		// grpc-gateway's clients read a stream's error in its frame, also where
		// it is all there is.
		body = s.table.Errors.appendFrame(nil, err)
	}
	s.writeHeaders(contentType)
	s.setLength(len(body))
	setErrorHeaders(s.w.Header(), err)
	if h := s.w.Header(); len(h["Cache-Control"]) == 0 { // else caches may guess (RFC 9111, section 4.2.2): 404 is fair game
		h["Cache-Control"] = headerNoStore
	}
	s.commit(httpStatusOf(err))
	s.call.Out.Add(len(body))
	_, _ = s.w.Write(body) //nolint:gosec // JSON; a client that is gone gets nothing
}
