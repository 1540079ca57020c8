package edge

import "github.com/gatehouse-dev/gatehouse/internal/call"

// Reserved are keys of metadata by which the gateway tells backends what it
// knows, such as who calls. What a client sends under one of them, in whatever
// spelling, goes no further than the door. The zero value is none.
type Reserved struct{ keys map[string]struct{} }

// Reserve makes a set of keys.
func Reserve(keys ...string) Reserved {
	r := Reserved{keys: make(map[string]struct{}, len(keys))}
	for _, k := range keys {
		r.keys[call.Folded(k)] = struct{}{}
	}
	return r
}

// Has reports whether a key is not the client's to set, in whatever spelling.
func (r Reserved) Has(key string) bool {
	key = call.Folded(key)
	switch key {
	case "x-request-id", "traceparent", "tracestate": // read at the door, and said anew
		return true
	case "x-http-method-override", "x-http-method", "x-method-override": // nobody may take them at their word
		return true
	}
	if call.RequestReserved(key) {
		return true
	}
	_, ok := r.keys[key]
	return ok
}
