package interceptors

import (
	"errors"
	"fmt"
	"strings"
)

// FieldError is a mistake in settings.
type FieldError struct {
	// Path is the field, as in "rate_limit[0].burst", below the message that was
	// read.
	Path string
	// Err says what is wrong, and what would be right.
	Err error
}

// Error gives the path and what is wrong.
func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// Wrong makes a [FieldError].
func Wrong(path, format string, args ...any) error {
	return &FieldError{path, fmt.Errorf(format, args...)}
}

// Within returns err, about settings that stand in the field at path, as an error
// about the message that has this field. An error that names no field is about
// all of path. Nil stays nil.
func Within(path string, err error) error {
	list := FieldErrors(err)
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = &FieldError{join(path, e.Path), e.Err}
	}
	return errors.Join(errs...)
}

func join(path, field string) string {
	if path == "" || field == "" || strings.HasPrefix(field, "[") {
		return path + field
	}
	return path + "." + field
}

// FieldErrors lists the mistakes that were joined in err, none for nil. One that
// names no field has the path "".
func FieldErrors(err error) []*FieldError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*FieldError
		for _, one := range joined.Unwrap() {
			list = append(list, FieldErrors(one)...)
		}
		return list
	}
	if e, ok := errors.AsType[*FieldError](err); ok {
		return []*FieldError{e}
	}
	return []*FieldError{{Err: err}}
}
