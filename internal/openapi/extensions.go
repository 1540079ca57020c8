package openapi

import (
	"encoding/json"
	"slices"
	"strings"
)

// extensions are members whose names begin with "x-". They are written behind the members
// of what they belong to.
type extensions = members[json.RawMessage]

// ownExtensions are the beginnings of names that the gateway writes itself.
var ownExtensions = []string{"x-gatehouse", "x-ratelimit", "x-sunset", "x-enum-varnames"}

// extensionsOf reads the extensions of an annotation.
func (b *builder) extensionsOf(s annotation) extensions {
	var list extensions
	for _, field := range []string{"extensions", "specification_extension"} {
		for name, value := range s.all(field) {
			isOwn := slices.ContainsFunc(ownExtensions, func(own string) bool { return strings.HasPrefix(name, own) })
			text := value.asValue()
			switch {
			case !strings.HasPrefix(name, "x-") || isOwn:
				b.warn(s, field, "%q is no name of an extension: it must begin with x-, and not as those of the gateway do", name)
			case text == nil:
				b.warn(s, field, "the value of %q cannot be read", name)
			default:
				list.add(name, text)
			}
		}
	}
	return list
}

// join adds extensions that are not there yet.
func join(list *extensions, more extensions) {
	for i := range more {
		if _, taken := list.get(more[i].Name); !taken {
			list.add(more[i].Name, more[i].Value)
		}
	}
}
