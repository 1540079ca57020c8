package transcode

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// OutputError says why wire bytes are not a message of their type. It is the
// mistake of whoever wrote them.
type OutputError struct {
	// Path is the place in the message, as the contract names it, such as
	// items[3].labels["colour"]; "" when the message as a whole is meant.
	Path string
	// Reason says what is wrong there.
	Reason string
}

// Error implements error.
func (e *OutputError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// inside puts the error one step further from the root of the message.
func (e *OutputError) inside(step string) {
	if e.Path != "" && e.Path[0] != '[' {
		step += "."
	}
	e.Path = step + e.Path
}

// failed is the position that a reader returns after it has failed.
const failed = -1

// fail records the error that ends the encoding and returns false, so that a
// writer can end with it.
func (s *outState) fail(format string, args ...any) bool {
	if s.err == nil {
		s.err = &OutputError{Reason: fmt.Sprintf(format, args...)}
	}
	return false
}

// cutOff fails for a field whose bytes end too soon or go wrong.
func (s *outState) cutOff() int {
	s.fail("is cut off or malformed")
	return failed
}

// failedIn names the field in which the encoding failed, if that was an error.
func (s *outState) failedIn(step string) int {
	if s.err != nil {
		s.err.inside(step)
	}
	return failed
}

// failedAt names the element in which the encoding failed.
func (s *outState) failedAt(i int) int {
	if s.err != nil {
		s.err.inside("[" + strconv.Itoa(i) + "]")
	}
	return failed
}

// failedKey names the entry of a map in which the encoding failed.
func (s *outState) failedKey(f *outField, key part) {
	switch {
	case s.err == nil:
	case f.op == inString:
		s.err.inside("[" + quote(s.src[key.from:key.to]) + "]")
	default:
		v, _ := s.raw(f, int(key.from), int(key.to))
		s.err.inside("[" + strconv.FormatUint(v, 10) + "]")
	}
}

// unreadable fails for a field of no use: its tag or its bytes are malformed.
func (s *outState) unreadable(tag uint32) int {
	s.fail("field %d is cut off or malformed", tag>>tagTypeBits)
	return failed
}

const (
	tagTypeBits = 3
	tagTypeMask = 1<<tagTypeBits - 1
)

// wireType is the kind of value that follows a tag.
func wireType(tag uint32) protowire.Type { return protowire.Type(tag & tagTypeMask) }
