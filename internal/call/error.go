package call

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault tells whose mistake an error is. Breakers, retries and alerts go by it.
type Fault uint8

// The three parties of a call.
const (
	Upstream Fault = iota // the backend, or the way to it
	Client                // the caller
	Gateway               // Gatehouse itself, its policies included
)

// String gives the fault as it stands in logs and metrics.
func (f Fault) String() string {
	switch f {
	case Client:
		return "client"
	case Gateway:
		return "gateway"
	default:
		return "upstream"
	}
}

// Error is a status of the gateway's own, with the fault known. It is
// immutable.
type Error struct {
	fault Fault
	st    *status.Status
	cause error
	by    string
	http  int
}

// Refuse returns an error of the gateway's own. The text is shown to clients:
// it names the thing and tells what would be right.
func Refuse(fault Fault, code codes.Code, format string, args ...any) *Error {
	return &Error{fault: fault, st: status.New(code, fmt.Sprintf(format, args...))}
}

// RefuseStatus is Refuse for a status that carries details.
func RefuseStatus(fault Fault, st *status.Status) *Error { return &Error{fault: fault, st: st} }

// Because returns the error with a cause that is logged and never sent.
func (e *Error) Because(cause error) *Error {
	with := *e
	with.cause = cause
	return &with
}

// By returns the error with the name of the policy that refused, for logs and
// metrics.
func (e *Error) By(policy string) *Error {
	with := *e
	with.by = policy
	return &with
}

// AsHTTP returns the error with an HTTP status of its own for REST, where HTTP has a
// better one than the code maps to.
func (e *Error) AsHTTP(httpStatus int) *Error {
	with := *e
	with.http = httpStatus
	return &with
}

// HTTPStatus is the status that AsHTTP set, 0 for that of the code.
func (e *Error) HTTPStatus() int { return e.http }

// Policy is the name of the policy that refused, "" if none did.
func (e *Error) Policy() string { return e.by }

// Error is the text that clients see.
func (e *Error) Error() string { return e.st.Message() }

// GRPCStatus makes the error a grpc-go status error.
func (e *Error) GRPCStatus() *status.Status { return e.st }

// Unwrap gives the cause, for logs.
func (e *Error) Unwrap() error { return e.cause }

// Fault tells whose mistake the error is.
func (e *Error) Fault() Fault { return e.fault }

// FaultOf tells whose mistake err is. What the gateway did not say itself was
// said by the upstream, which knows codes for a client's mistakes. The error of a
// context is the client's: what a policy ends says so itself.
func FaultOf(err error) Fault {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.fault
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Client
	}
	switch status.Code(err) {
	case codes.Canceled, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange:
		return Client
	default:
		return Upstream
	}
}

// PolicyOf is the name of the policy that refused with err, "" if none did.
func PolicyOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.by
	}
	return ""
}

// CodeOf is the code of StatusOf(err).
func CodeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	return StatusOf(err).Code()
}

// StatusOf is the status under which err goes to the client. Unlike
// status.Convert it knows context errors, and never shows the text of an error
// that was not made to be shown.
func StatusOf(err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.st
	}
	if st, ok := status.FromError(err); ok {
		return st
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the deadline passed before the call was done")
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the client cancelled the call")
	default:
		return status.New(codes.Internal, "internal error")
	}
}

var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// CodeName is a status code in the spelling of google.rpc.Code. A code that gRPC
// does not define is UNKNOWN, as its specification wants it read.
func CodeName(c codes.Code) string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "UNKNOWN"
}
