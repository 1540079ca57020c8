package shop

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// domain is where the reasons of ErrorInfo are defined.
const domain = "shop.example.com"

// violations gathers what is wrong with a request, so that all of it is told
// at once.
type violations []*errdetails.BadRequest_FieldViolation

// addf notes that a field is wrong, and what would be right.
func (v *violations) addf(field, format string, args ...any) {
	*v = append(*v, &errdetails.BadRequest_FieldViolation{
		Field: field, Description: fmt.Sprintf(format, args...),
	})
}

// err returns INVALID_ARGUMENT with all violations, or nil if there is none.
func (v *violations) err() error {
	if len(*v) == 0 {
		return nil
	}
	list := *v
	text := list[0].GetField() + ": " + list[0].GetDescription()
	if len(list) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(list)-1)
	}
	return withDetails(codes.InvalidArgument, text, &errdetails.BadRequest{FieldViolations: list})
}

// invalid is INVALID_ARGUMENT for one field.
func invalid(field, format string, args ...any) error {
	var v violations
	v.addf(field, format, args...)
	return v.err()
}

// notFound is NOT_FOUND for a resource of a kind such as "Product".
func notFound(kind, name string) error {
	return withDetails(codes.NotFound, fmt.Sprintf("%q does not exist", name), resourceInfo(kind, name))
}

// alreadyExists is ALREADY_EXISTS for a resource of a kind.
func alreadyExists(kind, name string) error {
	return withDetails(codes.AlreadyExists, fmt.Sprintf("%q exists already", name), resourceInfo(kind, name))
}

// precondition is FAILED_PRECONDITION: the request is fine, but not now.
func precondition(reason, name, format string, args ...any) error {
	return withDetails(codes.FailedPrecondition, fmt.Sprintf(format, args...), errorInfo(reason, name))
}

// aborted is ABORTED: someone else was faster, read again.
func aborted(reason, name, format string, args ...any) error {
	return withDetails(codes.Aborted, fmt.Sprintf(format, args...), errorInfo(reason, name))
}

func resourceInfo(kind, name string) *errdetails.ResourceInfo {
	return &errdetails.ResourceInfo{ResourceType: domain + "/" + kind, ResourceName: name}
}

func errorInfo(reason, name string) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{
		Reason: reason, Domain: domain, Metadata: map[string]string{"resource": name},
	}
}

func withDetails(code codes.Code, text string, detail protoadapt.MessageV1) error {
	st, err := status.New(code, text).WithDetails(detail)
	if err != nil {
		return status.Error(code, text)
	}
	return st.Err()
}
