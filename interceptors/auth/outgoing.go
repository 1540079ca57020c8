package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// maxProbes is how many spellings are looked up one by one; for more of them the
// metadata is copied and gone through.
const maxProbes = 32

// outgoing is what becomes of the metadata on its way to the backend.
type outgoing struct {
	strip   map[string]bool // keys, as [call.Folded] has them
	probes  []string        // all spellings of them; nil if they are too many
	basic   bool            // passwords are the gateway's, and stay here
	forward []forwarded
}

// forwarded is a claim that backends are told.
type forwarded struct{ key, path string }

// newOutgoing compiles what is taken away and what is set.
func newOutgoing(strip []string, forward map[string]string, basic bool) (outgoing, error) {
	o := outgoing{strip: map[string]bool{}, basic: basic}
	for key, path := range forward {
		if key == "authorization" || call.RequestReserved(key) {
			return o, interceptors.Wrong("forward", "%q has another meaning: use a key like \"x-user\"", key)
		}
		if path == "" {
			return o, interceptors.Wrong("forward", "%q has no claim: want a path like \"sub\"", key)
		}
		o.forward = append(o.forward, forwarded{key, path})
		strip = append(strip, key)
	}
	for _, key := range strip {
		o.strip[call.Folded(key)] = true
	}
	for key := range o.strip {
		o.probes = spellings(o.probes, key)
		if len(o.probes) > maxProbes {
			o.probes = nil
			break
		}
	}
	return o, nil
}

// spellings appends all keys that fold to key, at most a few more than are looked
// up.
func spellings(list []string, key string) []string {
	begin := len(list)
	list = append(list, key)
	for i := range len(key) {
		if key[i] != '-' {
			continue
		}
		for _, s := range list[begin:] {
			list = append(list, s[:i]+"_"+s[i+1:], s[:i]+"."+s[i+1:])
		}
		if len(list) > maxProbes {
			break
		}
	}
	return list
}

// apply returns ctx with the metadata that the backend gets.
func (o *outgoing) apply(ctx context.Context, caller *call.Caller) context.Context {
	var room [16]string
	pairs := o.pairs(room[:0], caller)
	if !o.dirty(ctx) {
		if len(pairs) == 0 {
			return ctx
		}
		return metadata.AppendToOutgoingContext(ctx, pairs...)
	}
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	for key, values := range md {
		if o.strip[call.Folded(key)] || o.basic && key == headerAuthorization && slices.ContainsFunc(values, isBasic) {
			delete(md, key)
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		md[pairs[i]] = []string{pairs[i+1]}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// dirty tells whether there may be something to take away.
func (o *outgoing) dirty(ctx context.Context) bool {
	if len(o.strip) > 0 && o.probes == nil {
		return true
	}
	for _, key := range o.probes {
		if metadata.ValueFromOutgoingContext(ctx, key) != nil {
			return true
		}
	}
	if !o.basic {
		return false
	}
	return slices.ContainsFunc(metadata.ValueFromOutgoingContext(ctx, headerAuthorization), isBasic)
}

// pairs are the keys and values that are set.
func (o *outgoing) pairs(list []string, caller *call.Caller) []string {
	if caller == nil {
		return nil
	}
	for _, f := range o.forward {
		v, ok := call.ClaimAt(caller.Claims, f.path)
		if !ok {
			continue
		}
		if s, ok := headerValue(v, strings.HasSuffix(f.key, "-bin")); ok {
			list = append(list, f.key, s)
		}
	}
	return list
}

// headerValue is a claim as metadata. A string goes as it is if it is printable
// ASCII without spaces around it, or if the key is for bytes; else it does not go
// at all, for an escaped one would name somebody else. Lists and objects go as
// JSON in ASCII. What is empty or null does not go.
func headerValue(v any, binary bool) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != "" && (binary || call.Printable(v) && strings.TrimSpace(v) == v)
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case nil:
		return "", false
	default:
		b, err := json.Marshal(v)
		return asciiJSON(string(b)), err == nil
	}
}

// asciiJSON escapes what is not ASCII, which in JSON stands in strings only.
func asciiJSON(s string) string {
	if call.Printable(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r <= 0x7e:
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}
