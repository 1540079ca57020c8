// Package rewrite changes the metadata of calls: of requests on their way to a
// backend, and of answers on their way to the client.
//
// grpc-go has no such interceptor, and go-grpc-middleware's metadata package
// only reads and writes keys; hence a policy of our own.
package rewrite

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const name = "rewrite"

// Changes are compiled changes, made one list after the other. They are
// immutable and safe for concurrent use; the zero value changes nothing.
type Changes struct{ steps []step }

// step is one message of changes: what is removed, then what is set, then what is
// added.
type step struct {
	remove   []string
	set, add []pair
}

type pair struct{ key, value string }

// Empty reports whether nothing is changed.
func (c Changes) Empty() bool { return len(c.steps) == 0 }

// Then are the changes of c, and after them those of next.
func (c Changes) Then(next Changes) Changes {
	return Changes{slices.Concat(c.steps, next.steps)}
}

// Keys lists the keys that are changed.
func (c Changes) Keys() []string {
	var keys []string
	for _, s := range c.steps {
		keys = append(keys, s.remove...)
		for _, p := range slices.Concat(s.set, s.add) {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// String tells changes apart: two that differ have different texts. It is "" for
// none.
func (c Changes) String() string {
	if c.Empty() {
		return ""
	}
	return fmt.Sprintf("%q", c.steps)
}

// Apply makes the changes in md.
func (c Changes) Apply(md metadata.MD) {
	for _, s := range c.steps {
		for _, key := range s.remove {
			delete(md, key)
		}
		for _, p := range s.set {
			md[p.key] = []string{p.value}
		}
		for _, p := range s.add {
			md[p.key] = append(slices.Clip(md[p.key]), p.value)
		}
	}
}

// OfRequests compiles changes of what backends get. A key that is the protocol's
// or the gateway's own, or that no metadata can have, is an error that names the
// field, as in `set["grpc-timeout"]`. Values of keys that end in "-bin" are
// base64.
func OfRequests(c *configv1.Changes) (Changes, error) { return compile(c, requestReserved) }

// OfAnswers is the same for what clients get.
func OfAnswers(c *configv1.Changes) (Changes, error) { return compile(c, answerReserved) }

// requestReserved are keys by which the gateway tells backends what it knows.
func requestReserved(key string) bool {
	switch key {
	case "x-request-id", "traceparent", "tracestate":
		return true
	}
	return call.RequestReserved(key)
}

// answerReserved are keys by which the gateway tells clients what it did, and
// those of CORS, which has a setting of its own.
func answerReserved(key string) bool {
	return key == "x-request-id" || call.ResponseReserved(key) ||
		strings.HasPrefix(key, "grpc-") || strings.HasPrefix(key, "gatehouse-") || strings.HasPrefix(key, "access-control-")
}

func compile(c *configv1.Changes, reserved func(string) bool) (Changes, error) {
	var s step
	for i, key := range c.GetRemove() {
		if err := check(key, reserved); err != nil {
			return Changes{}, interceptors.Wrong(fmt.Sprintf("remove[%d]", i), "%w", err)
		}
		s.remove = append(s.remove, key)
	}
	var err error
	if s.set, err = pairs("set", c.GetSet(), reserved); err != nil {
		return Changes{}, err
	}
	if s.add, err = pairs("add", c.GetAdd(), reserved); err != nil {
		return Changes{}, err
	}
	if len(s.remove)+len(s.set)+len(s.add) == 0 {
		return Changes{}, nil
	}
	return Changes{[]step{s}}, nil
}

func pairs(field string, m map[string]string, reserved func(string) bool) ([]pair, error) {
	var list []pair
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := check(key, reserved); err != nil {
			return nil, interceptors.Wrong(fmt.Sprintf("%s[%q]", field, key), "%w", err)
		}
		value, err := valueOf(key, m[key])
		if err != nil {
			return nil, interceptors.Wrong(fmt.Sprintf("%s[%q]", field, key), "%w", err)
		}
		list = append(list, pair{key, value})
	}
	return list, nil
}

// check refuses a key that cannot be changed.
func check(key string, reserved func(string) bool) error {
	if !call.MetadataKey(key) {
		return fmt.Errorf("%q is no key of metadata: want lower-case letters, digits, \"-\", \"_\" and \".\"", key)
	}
	if reserved(call.Folded(key)) {
		return fmt.Errorf("%q is the protocol's or the gateway's own and cannot be changed", key)
	}
	return nil
}

// valueOf is a value as metadata has it. Errors do not tell the value, which may be
// a credential.
func valueOf(key, text string) (string, error) {
	if strings.HasSuffix(key, "-bin") {
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil {
			return "", errors.New("the value is not base64, which that of a key that ends in -bin must be")
		}
		return string(b), nil
	}
	if !call.Printable(text) {
		return "", errors.New("the value is not printable ASCII")
	}
	if strings.TrimSpace(text) != text {
		return "", errors.New("the value has spaces around it")
	}
	return text, nil
}
