package edge

import "github.com/gatehouse-dev/gatehouse/internal/call"

// Reserved are the keys of metadata that only the gateway sets, such as who calls. What a
// client sends under one of them, in any spelling, is not passed on. The zero value has
// none but those that are always reserved.
type Reserved struct{ keys map[string]struct{} }

// Reserve makes a set of keys.
func Reserve(keys ...string) Reserved {
	r := Reserved{keys: make(map[string]struct{}, len(keys))}
	for _, k := range keys {
		r.keys[call.Folded(k)] = struct{}{}
	}
	return r
}

// Has reports whether clients may not set a key, in any spelling.
func (r Reserved) Has(key string) bool {
	key = call.Folded(key)
	switch key {
	case "x-request-id", "traceparent", "tracestate": // the gateway reads these and sends its own
		return true
	case "x-http-method-override", "x-http-method", "x-method-override": // no backend may act on these
		return true
	}
	if call.RequestReserved(key) {
		return true
	}
	_, ok := r.keys[key]
	return ok
}
