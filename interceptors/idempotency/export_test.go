package idempotency

import "github.com/gatehouse-dev/gatehouse/internal/answers"

// ParseKey lets tests and fuzzing read a header.
func ParseKey(value string) (string, error) { return parseKey(value) }

// Reparse reads what is kept under a key in Redis and writes it again.
func Reparse(value string) (again string, err error) {
	c, err := parseValue(value)
	if err != nil || c.answer == nil {
		return value, err
	}
	return string(c.answer.Append(append([]byte{answered}, c.sent[:]...))), nil
}

// Value is what is kept under a key in Redis for an answer.
func Value(a *answers.Answer) string {
	return string(a.Append(append([]byte{answered}, make([]byte, len(fingerprint{}))...)))
}
