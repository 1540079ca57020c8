package idempotency

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// The reasons of refusals, in google.rpc.ErrorInfo.
const (
	domain        = "gatehouse"
	reasonMissing = "IDEMPOTENCY_KEY_MISSING"
	reasonInvalid = "IDEMPOTENCY_KEY_INVALID"
	reasonReused  = "IDEMPOTENCY_KEY_REUSED"
	reasonInUse   = "IDEMPOTENCY_KEY_IN_USE"
	reasonLarge   = "IDEMPOTENT_ANSWER_TOO_LARGE"
	reasonUnknown = "IDEMPOTENCY_OUTCOME_UNKNOWN"
	reasonShare   = "IDEMPOTENCY_KEYS_EXHAUSTED"
)

// wait is when to ask again about a call that runs, or a store that is away.
const wait = time.Second

// waitForRoom is when to ask again where there is no room for a new key.
const waitForRoom = time.Minute

func missing() error {
	return refuse(call.Client, status.New(codes.InvalidArgument, `the header Idempotency-Key is missing: want a name for this call, of your own choice, such as a UUID in quotes`), info(reasonMissing))
}

func malformed(err error) error {
	return refuse(call.Client, status.Newf(codes.InvalidArgument, "the header Idempotency-Key %v", err), info(reasonInvalid))
}

func reused() error {
	return refuse(call.Client, status.New(codes.InvalidArgument, "the Idempotency-Key has been used for another request: want a new key for each"), info(reasonReused))
}

func inUse() error {
	return refuse(call.Client, status.New(codes.Aborted, "a call with this Idempotency-Key is still running: try again later"),
		info(reasonInUse), &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
}

func unavailable(cause error) error {
	if errors.Is(cause, errFull) {
		return refuse(call.Gateway, status.New(codes.Unavailable, "there is no room for another Idempotency-Key just now: try again later"),
			&errdetails.RetryInfo{RetryDelay: durationpb.New(waitForRoom)}).Because(cause)
	}
	return refuse(call.Gateway, status.New(codes.Unavailable, "whether this call is a repetition cannot be told just now: try again later"),
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}).Because(cause)
}

func overShare() error {
	return refuse(call.Client, status.New(codes.ResourceExhausted, "the answers to your earlier calls with an Idempotency-Key take all the room that one caller has: call again when some of them have expired"),
		info(reasonShare), &errdetails.RetryInfo{RetryDelay: durationpb.New(waitForRoom)})
}

// notKept stands in the place of an answer for which there was no room.
func notKept() *answers.Answer {
	return answers.Refused(detailed(status.New(codes.FailedPrecondition, "the call has been done, but there was no room to keep its answer for a repetition"), info(reasonLarge)))
}

// tooLarge stands in the place of an answer that is not kept.
func tooLarge() *answers.Answer {
	st := detailed(status.New(codes.FailedPrecondition, "the call has been done, but its answer was too large to be kept for a repetition"), info(reasonLarge))
	return answers.Refused(st)
}

// outcomeUnknown stands in the place of an answer that never came.
func outcomeUnknown() *answers.Answer {
	return answers.Refused(detailed(status.New(codes.Aborted, "whether the call with this Idempotency-Key was done is not known, so it is not done again: look for what it did, and take a new key to call again"), info(reasonUnknown)))
}

func info(reason string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: reason, Domain: domain}
}

func refuse(fault call.Fault, st *status.Status, details ...protoadapt.MessageV1) *call.Error {
	return call.RefuseStatus(fault, detailed(st, details...)).By(Name)
}

func detailed(st *status.Status, details ...protoadapt.MessageV1) *status.Status {
	if with, err := st.WithDetails(details...); err == nil {
		return with
	}
	return st
}
