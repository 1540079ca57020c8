package edge

import (
	"net/http"

	"google.golang.org/grpc/codes"
)

// statusClientClosed is nginx's code for a client that went away; google.rpc.Code
// maps CANCELLED to it.
const statusClientClosed = 499

// httpStatuses maps gRPC codes as google/rpc/code.proto documents.
var httpStatuses = [...]int{
	codes.OK:                 http.StatusOK,
	codes.Canceled:           statusClientClosed,
	codes.Unknown:            http.StatusInternalServerError,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Internal:           http.StatusInternalServerError,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DataLoss:           http.StatusInternalServerError,
	codes.Unauthenticated:    http.StatusUnauthorized,
}

// HTTPStatus is the HTTP status of a gRPC code; a code that gRPC does not define
// is 500.
func HTTPStatus(code codes.Code) int {
	if int(code) < len(httpStatuses) {
		return httpStatuses[code]
	}
	return http.StatusInternalServerError
}
