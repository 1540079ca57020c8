package connect

import (
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// errorOf is an outcome as the library writes it.
func errorOf(err error) *connect.Error {
	st := call.StatusOf(err)
	code := st.Code()
	if code > codes.Unauthenticated {
		code = codes.Unknown
	}
	e := connect.NewError(connect.Code(code), st.Message())
	for _, d := range st.Proto().GetDetails() {
		name := d.GetTypeUrl()
		e = e.WithDetail(&connect.ErrorDetail{Type: name[strings.LastIndexByte(name, '/')+1:], Value: d.GetValue()})
	}
	return e
}

// refuse answers a request that the library has not seen.
func (s *stream) refuse(err error) {
	s.headed = true
	if e, ok := errors.AsType[*edge.HTTPError](err); ok && refusesProtocol(e.Status()) {
		s.WriteErrorBody(err, []byte(err.Error()+"\n"), "text/plain; charset=utf-8")
		return
	}
	s.SetHeaders("")
	delete(s.W.Header(), "Content-Type") // the library sets it
	s.setAccepted()
	s.SetErrorHeaders(err)
	if e, ok := errors.AsType[*edge.HTTPError](err); ok && !s.enveloped {
		s.out.status = e.Status()
	}
	_ = s.door.errors.Write(&s.out, s.errorRequest(), errorOf(err)) // a client that is gone gets nothing
}

// setAccepted lists the supported compressions: the protocols require the list when they
// refuse another one with UNIMPLEMENTED.
func (s *stream) setAccepted() {
	s.W.Header()[s.acceptHeader()] = []string{compressionNames}
}

// refusesProtocol reports whether all three protocols use the HTTP status for a request
// that is not theirs.
func refusesProtocol(status int) bool {
	return status == http.StatusUnsupportedMediaType || status == http.StatusMethodNotAllowed
}
