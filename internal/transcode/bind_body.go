package transcode

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// bodyRule says where a request's body goes.
type bodyRule struct {
	all   bool     // the whole message
	field *inField // one field of it
	raw   bool     // as a google.api.HttpBody
	inner *guard   // of the message that is the body
}

const httpBodyName = "google.api.HttpBody"

func (b *bindingPlan) bindBody(name string) error {
	switch name {
	case "":
		return nil
	case "*":
		b.body = bodyRule{all: true, raw: isHTTPBody(b.plan.desc), inner: b.guard}
		return nil
	}
	f := b.plan.byProto(name)
	if f == nil {
		hint := didYouMean(name, b.plan.protoNames())
		if strings.Contains(name, ".") {
			hint = "; a body is a top-level field"
		}
		return fmt.Errorf("body: %s has no field %q%s", b.plan.desc.FullName(), name, hint)
	}
	b.body.field = f
	b.body.raw = f.op == inMessage && !f.list && isHTTPBody(f.desc.Message())
	if b.guard == nil {
		return nil
	}
	if g := &b.guard.fields[f.index]; g.why != "" {
		return fmt.Errorf("body: the path binds field %q or another member of its oneof", name)
	}
	b.body.inner = b.guard.fields[f.index].inner
	return nil
}

func isHTTPBody(md protoreflect.MessageDescriptor) bool { return md.FullName() == httpBodyName }

// bindMask finds the FieldMask to fill: the request's only one, where the body
// is a message in one of its fields (AIP-134).
func (b *bindingPlan) bindMask() {
	if b.body.field == nil || !b.body.field.nests() || b.body.raw {
		return
	}
	for i := range b.plan.fields {
		f := &b.plan.fields[i]
		if f.op != inMessage || f.isMap || formOf(f.desc.Message()) != formFieldMask {
			continue
		}
		bound := b.guard != nil && b.guard.fields[i].why != ""
		if b.mask != nil || f.list || f.oneof >= 0 || bound {
			b.mask = nil
			return
		}
		b.mask = f
	}
}

// readBody writes what the body sets. An empty body is an empty message.
func (b *bindingPlan) readBody(s *inState, in *call.Input) bool {
	switch {
	case b.body.raw && in.HasBody:
		return b.rawBody(s, in)
	case len(in.Body) == 0:
		return true
	case !b.body.all && b.body.field == nil:
		return s.fail("this method takes no body here; give its fields in the query")
	case !b.opts.AnyMedia && !isJSON(in.ContentType):
		s.fail("unsupported media type %s: send the body as application/json in UTF-8", quote([]byte(in.ContentType)))
		s.err.Kind = UnsupportedMedia
		return false
	}
	s.src, s.pos = in.Body, 0
	if b.body.all {
		return s.document(b.plan, b.body.inner)
	}
	f := b.body.field
	if s.peek() == 'n' && !f.nullIsValue {
		return s.literal("null") && s.endOfInput()
	}
	s.mask.on = b.mask != nil
	ok := s.field(f, b.body.inner) && s.endOfInput()
	s.mask.on = false
	return ok
}

// rawBody writes the body as a google.api.HttpBody. HTTP lets a header have any
// bytes, but a string of protobuf is UTF-8.
func (b *bindingPlan) rawBody(s *inState, in *call.Input) bool {
	if !utf8.ValidString(in.ContentType) {
		s.fail("unsupported media type %s: it is not UTF-8", quote([]byte(in.ContentType)))
		s.err.Kind = UnsupportedMedia
		return false
	}
	if b.body.field == nil {
		s.putHTTPBody(in)
		return true
	}
	s.putTag(b.body.field.tag)
	start := s.begin(3)
	s.putHTTPBody(in)
	s.finish(start, 3)
	return true
}

func (s *inState) putHTTPBody(in *call.Input) {
	if in.ContentType != "" {
		s.dst = append(s.dst, 1<<3|byte(protowire.BytesType))
		s.dst = protowire.AppendString(s.dst, in.ContentType)
	}
	if len(in.Body) > 0 {
		s.dst = append(s.dst, 2<<3|byte(protowire.BytesType))
		s.putBytes(in.Body)
	}
}

// isJSON reports whether a media type is JSON in UTF-8: application/json or
// application/*+json with no charset but that. No type at all is taken for
// JSON too.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, params, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	const prefix, suffix = "application/", "+json"
	if len(media) < len(prefix)+1 || !strings.EqualFold(media[:len(prefix)], prefix) {
		return false
	}
	sub := media[len(prefix):]
	if !strings.EqualFold(sub, "json") && (len(sub) <= len(suffix) || !strings.EqualFold(sub[len(sub)-len(suffix):], suffix)) {
		return false
	}
	for params != "" {
		var param string
		param, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "charset") && !strings.EqualFold(strings.Trim(value, "\" \t"), "utf-8") {
			return false
		}
	}
	return true
}

// requires reports whether a message or one within it may have required fields,
// extensions included.
func (c *inPlans) requires(md protoreflect.MessageDescriptor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[protoreflect.MessageDescriptor]bool{}
	if c.reachesRequired(md, seen) {
		return true
	}
	if c.optional == nil {
		c.optional = seen
	}
	maps.Copy(c.optional, seen)
	return false
}

func (c *inPlans) reachesRequired(md protoreflect.MessageDescriptor, seen map[protoreflect.MessageDescriptor]bool) bool {
	if seen[md] || c.optional[md] {
		return false
	}
	seen[md] = true
	if md.RequiredNumbers().Len() > 0 || md.ExtensionRanges().Len() > 0 {
		return true
	}
	for i := range md.Fields().Len() {
		if in := md.Fields().Get(i).Message(); in != nil && c.reachesRequired(in, seen) {
			return true
		}
	}
	return false
}

// complete checks that body, query and path together set what is required.
// Only messages of proto2 and its likes come here, so it may be slow.
func (b *bindingPlan) complete(s *inState, wire []byte) bool {
	m := dynamicpb.NewMessage(b.plan.desc)
	opts := proto.UnmarshalOptions{AllowPartial: true}
	if b.rt.resolver != nil {
		opts.Resolver = b.rt.resolver
	}
	if opts.Unmarshal(wire, m) != nil {
		return s.fail("the request cannot be put together from its body, query and path")
	}
	if proto.CheckInitialized(m) == nil {
		return true
	}
	return !s.missingIn(m)
}

// missingIn fails for a required field that is not set, if there is one.
func (s *inState) missingIn(m protoreflect.Message) (missing bool) {
	fds := m.Descriptor().Fields()
	for i := range fds.Len() {
		if fd := fds.Get(i); fd.Cardinality() == protoreflect.Required && !m.Has(fd) {
			s.fail("required, but not given")
			return !s.within(jsonName(fd))
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				missing = s.missingIn(v.Message()) && !s.withinKey([]byte(k.String()))
				return !missing
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := 0; !missing && i < v.List().Len(); i++ {
				missing = s.missingIn(v.List().Get(i).Message()) && !s.withinIndex(i)
			}
		default:
			missing = s.missingIn(v.Message())
		}
		return !missing || s.within(jsonName(fd))
	})
	return missing
}
