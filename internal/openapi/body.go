package openapi

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

const (
	mediaJSON    = "application/json"
	mediaNDJSON  = "application/x-ndjson"
	mediaProblem = "application/problem+json"
	mediaBinary  = "application/octet-stream"
	mediaAny     = "*/*"
)

// file is the schema of a body that is taken and given as it is.
func file() *schema { return &schema{Type: typeString, Format: "binary"} }

// body describes the body of a binding's requests, nil for none.
func (b *builder) body(m *Method, binding *contract.Binding, bound *bindings) *requestBody {
	if binding.Body == "" {
		return nil
	}
	body := b.content(m, binding, bound)
	body.MaxBytes = b.source.Config.GetLimits().GetMaxBodyBytes()
	return body
}

// content describes what is in a body.
func (b *builder) content(m *Method, binding *contract.Binding, bound *bindings) *requestBody {
	md := m.Desc.Input()
	if binding.Body == "*" {
		if md.FullName() == httpBody {
			return rawBody(false) // no body is an empty file
		}
		s := b.changed(md, bound, false)
		return b.jsonBody(m, s, hasRequired(b, md, bound), b.messageRewriter(md, input, bound.whole))
	}
	fd := md.Fields().ByName(protoreflect.Name(binding.Body))
	if fd == nil {
		return new(requestBody) // never for a binding that is served
	}
	required := b.isRequired(fd, input)
	if isRaw(fd) {
		body := rawBody(required)
		body.Description = b.commentOf(fd)
		return body
	}
	description := b.commentOf(fd)
	var s *schema
	if nests(fd) {
		s = b.changed(fd.Message(), bound.within(fd), binding.Verb == "PATCH")
	} else {
		s = b.property(fd, input)
		description, s.Description = s.Description, ""
	}
	body := b.jsonBody(m, s, required, b.fieldRewriter(fd, input))
	body.Description = paragraphs(description, body.Description)
	return body
}

func isRaw(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsList() && !fd.IsMap() && fd.Message().FullName() == httpBody
}

func rawBody(required bool) *requestBody {
	return &requestBody{Required: required, Content: members[*mediaType]{
		{mediaBinary, &mediaType{Schema: file()}}, {mediaAny, &mediaType{Schema: file()}},
	}}
}

// hasRequired reports whether a body must have some field.
func hasRequired(b *builder, md protoreflect.MessageDescriptor, bound *bindings) bool {
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); b.isRequired(fd, input) && !bound.isBound(fd) {
			return true
		}
	}
	return false
}

// jsonBody is a body in JSON: one message, or one a line.
func (b *builder) jsonBody(m *Method, s *schema, required bool, rewrite rewriter) *requestBody {
	body := &requestBody{Required: required}
	if m.Desc.IsStreamingClient() {
		body.Required = false // no body is no message
		body.Description = "A stream of messages, one JSON document a line. The schema is that of one."
		body.Content.add(mediaNDJSON, &mediaType{Schema: s})
		return body
	}
	body.Content.add(mediaJSON, &mediaType{Schema: s, rewrite: rewrite})
	return body
}

// changed is a message as a body has it: without what the path binds, and, where it is
// partial, without fields that must be there.
func (b *builder) changed(md protoreflect.MessageDescriptor, bound *bindings, partial bool) *schema {
	if b.wellKnown(md, input) != nil || bound.isEmpty() && !partial {
		return b.message(md, input)
	}
	component := componentOf(md)
	component.suffix = "Body"
	if partial {
		component.suffix = "Patch"
	}
	of := subject{md.FullName(), component.suffix + bound.key()}
	return b.registry.ref(of, input, component, func() *schema { return b.object(md, input, &change{bound, partial}) })
}
