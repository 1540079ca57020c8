package config

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Redacted is written in the place of a secret. It is a value that every such
// field takes, also where it must be base64.
const Redacted = "REDACTED"

// isSecret reports whether the text of a field must not be shown: its schema has
// the option debug_redact.
func isSecret(field protoreflect.FieldDescriptor) bool {
	options, ok := field.Options().(*descriptorpb.FieldOptions)
	return ok && options.GetDebugRedact()
}

// reference is a text that tells where a secret is and nothing of it.
var reference = regexp.MustCompile(`^(?i:(bearer|basic) )?\$\{[^}]*\}$`)

// WithSecrets is the same configuration, which shows its secrets too.
func (f *File) WithSecrets() *File {
	shown := *f
	shown.secrets = true
	return &shown
}

// text is a text of the configuration, as in a file.
func (f *File) text(value, path string, secret bool) string {
	written, substituted := f.written[path]
	switch {
	case secret && !f.secrets && value != "" && (!substituted || !reference.MatchString(written)):
		return Redacted
	case substituted:
		return written
	default:
		return strings.ReplaceAll(value, "${", "$${")
	}
}
