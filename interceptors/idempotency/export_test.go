package idempotency

import "google.golang.org/grpc/metadata"

// ParseKey lets tests and fuzzing read a header.
func ParseKey(value string) (string, error) { return parseKey(value) }

// Reparse reads what is kept under a key in Redis and writes it again.
func Reparse(value string) (again string, err error) {
	c, err := parseValue(value)
	if err != nil || c.answer == nil {
		return value, err
	}
	return string(c.answer.append(append([]byte{answered}, c.sent[:]...))), nil
}

// Value is what is kept under a key in Redis.
func Value(status, message string, header metadata.MD) string {
	a := answer{status: []byte(status), message: []byte(message), header: header}
	return string(a.append(append([]byte{answered}, make([]byte, len(fingerprint{}))...)))
}
