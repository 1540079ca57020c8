package edge

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// ErrorFormat is the shape of an error body.
type ErrorFormat uint8

// The formats.
const (
	AIP193  ErrorFormat = iota // {"error": {code, message, status, details}}, code is HTTP's (AIP-193)
	Status                     // google.rpc.Status, code is gRPC's: what grpc-gateway sends
	Problem                    // RFC 9457
)

// Errors writes error bodies. It is immutable.
type Errors struct {
	Format ErrorFormat
	// Detail appends the JSON of a google.protobuf.Any given as wire bytes.
	Detail func(dst, wire []byte) ([]byte, error)
}

// TypeJSON is the media type of JSON.
const TypeJSON = "application/json"

const (
	typeText    = "text/plain; charset=utf-8"
	typeProblem = "application/problem+json"
)

// HTTPError is a refusal with an HTTP status that is not its gRPC code's.
type HTTPError struct {
	err    *call.Error
	status int
	allow  string
	plain  bool // written as text: the client did not mean REST, and would misread JSON
}

// RefuseHTTP makes a refusal, by the client's fault.
func RefuseHTTP(httpStatus int, code codes.Code, format string, args ...any) *HTTPError {
	return &HTTPError{err: call.Refuse(call.Client, code, format, args...), status: httpStatus}
}

// Error is the text for the client.
func (e *HTTPError) Error() string { return e.err.Error() }

// Unwrap returns the refusal as gRPC has it.
func (e *HTTPError) Unwrap() error { return e.err }

// GRPCStatus is the status that gRPC clients get.
func (e *HTTPError) GRPCStatus() *status.Status { return e.err.GRPCStatus() }

// RefuseMethod refuses an HTTP method where others are allowed, as "GET, POST".
func RefuseMethod(method, path, allow string) *HTTPError {
	e := RefuseHTTP(http.StatusMethodNotAllowed, codes.Unimplemented, "%s is not allowed on %s: use %s", method, path, allow)
	e.allow = allow
	return e
}

// Status is the HTTP status of the refusal.
func (e *HTTPError) Status() int { return e.status }

// httpStatusOf returns the HTTP status of an error.
func httpStatusOf(err error) int {
	if e, ok := errors.AsType[*HTTPError](err); ok {
		return e.status
	}
	if e, ok := errors.AsType[*call.Error](err); ok && e.HTTPStatus() != 0 {
		return e.HTTPStatus()
	}
	return HTTPStatus(call.CodeOf(err))
}

// RefuseInput turns an error of the transcoder into a refusal, with the field as a
// detail. An error that is an outcome already, such as that of [HTTPHalf.Err], stays.
func RefuseInput(err error) error {
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err
	}
	st := status.New(codes.InvalidArgument, err.Error())
	input, ok := errors.AsType[*transcode.InputError](err)
	if ok && input.Field() != "" {
		violation := &errdetails.BadRequest_FieldViolation{Field: input.Field(), Description: input.Reason}
		if d, derr := st.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}}); derr == nil {
			st = d
		}
	}
	refusal := call.RefuseStatus(call.Client, st)
	if ok && input.Kind == transcode.UnsupportedMedia {
		return &HTTPError{err: refusal, status: http.StatusUnsupportedMediaType}
	}
	return refusal
}

// InvalidAnswer is the outcome of a call whose answer could not be made of the upstream's
// message. An error that is an outcome already, such as that of [HTTPHalf.Err], stays.
func (h *HTTPHalf) InvalidAnswer(err error) error {
	if _, ok := errors.AsType[*call.Error](err); ok {
		return err
	}
	return call.Refuse(call.Upstream, codes.Internal, "upstream %q gave an answer that is not valid: %v", h.Call.ServedBy(), err)
}

// Body returns the error body, in the format that the client accepts or else in the
// configured one.
func (e *Errors) Body(err error, accept []string) (body []byte, contentType string) {
	if h, ok := errors.AsType[*HTTPError](err); ok && h.plain {
		return []byte(h.Error() + "\n"), typeText
	}
	format := e.Format
	for _, a := range accept {
		if strings.Contains(a, typeProblem) {
			format = Problem
		}
	}
	if format == Problem {
		return e.append(nil, format, err), typeProblem
	}
	return e.append(nil, format, err), TypeJSON
}

// AppendFrame appends the error as the last line of a stream.
func (e *Errors) AppendFrame(dst []byte, err error) []byte {
	if e.Format == AIP193 {
		dst = e.append(dst, AIP193, err)
	} else {
		dst = append(dst, `{"error":`...)
		dst = e.append(dst, e.Format, err)
		dst = append(dst, '}')
	}
	return append(dst, '\n')
}

func (e *Errors) append(dst []byte, format ErrorFormat, err error) []byte {
	st, httpStatus := call.StatusOf(err), httpStatusOf(err)
	switch format {
	case Status:
		dst = append(dst, `{"code":`...)
		dst = strconv.AppendInt(dst, int64(st.Code()), 10)
		dst = appendMember(dst, "message", st.Message())
	case Problem:
		dst = append(dst, `{"type":"about:blank","title":`...)
		dst = appendString(dst, titleOf(httpStatus))
		dst = append(dst, `,"status":`...)
		dst = strconv.AppendInt(dst, int64(httpStatus), 10)
		dst = appendMember(dst, "detail", st.Message())
		dst = appendMember(dst, "code", call.CodeName(st.Code()))
	default:
		dst = append(dst, `{"error":{"code":`...)
		dst = strconv.AppendInt(dst, int64(httpStatus), 10)
		dst = appendMember(dst, "message", st.Message())
		dst = appendMember(dst, "status", call.CodeName(st.Code()))
	}
	dst = e.appendDetails(dst, format, st)
	dst = append(dst, '}')
	if format == AIP193 {
		dst = append(dst, '}')
	}
	return dst
}

// appendDetails appends the status details. As in grpc-gateway, the format Status has
// them even if there are none.
func (e *Errors) appendDetails(dst []byte, format ErrorFormat, st *status.Status) []byte {
	details := st.Proto().GetDetails()
	if len(details) == 0 && format != Status {
		return dst
	}
	dst = append(dst, `,"details":[`...)
	for i, d := range details {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.appendDetail(dst, d)
	}
	return append(dst, ']')
}

// appendDetail appends a detail as JSON, or as its bytes if its type is unknown, so that
// no detail is lost.
func (e *Errors) appendDetail(dst []byte, d *anypb.Any) []byte {
	if wire, err := proto.Marshal(d); err == nil && e.Detail != nil {
		if out, err := e.Detail(dst, wire); err == nil {
			return out
		}
	}
	dst = append(dst, `{"@type":`...)
	dst = appendString(dst, d.GetTypeUrl())
	dst = appendMember(dst, "value", base64.StdEncoding.EncodeToString(d.GetValue()))
	return append(dst, '}')
}

func appendMember(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendString(dst, value)
}

func appendString(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // never for a string
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

func titleOf(httpStatus int) string {
	if httpStatus == statusClientClosed {
		return "Client Closed Request"
	}
	return http.StatusText(httpStatus)
}

// setErrorHeaders sets the headers that belong to some statuses (RFC 9110): Allow,
// WWW-Authenticate and Retry-After.
func setErrorHeaders(h http.Header, err error) {
	if e, ok := errors.AsType[*HTTPError](err); ok && e.allow != "" {
		h["Allow"] = []string{e.allow}
	}
	st := call.StatusOf(err)
	if st.Code() == codes.Unauthenticated && len(h["Www-Authenticate"]) == 0 {
		h["Www-Authenticate"] = []string{"Bearer"}
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && len(h["Retry-After"]) == 0 {
			seconds := info.GetRetryDelay().AsDuration().Seconds()
			h["Retry-After"] = []string{strconv.Itoa(max(0, int(seconds+0.999)))}
		}
	}
}
