package call

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// errFull refuses what there is no memory for. It is no fault of the client's, nor
// of an upstream's.
var errFull = fullError()

func fullError() *Error {
	st := status.New(codes.Unavailable, "the gateway is short of memory: try again later")
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}); err == nil {
		st = detailed
	}
	return RefuseStatus(Gateway, st).By("memory")
}

// MemoryError is err of package memory as the outcome of a call. A call whose end
// came while it waited for its client's other calls ends by its client's fault.
func MemoryError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, memory.ErrFull):
		return errFull
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), CodeOf(err) == codes.DeadlineExceeded: // a policy's limit too
		return RefuseStatus(Client, StatusOf(err)).Because(errors.New("it waited for the memory that the client's other calls held"))
	default:
		return err
	}
}
