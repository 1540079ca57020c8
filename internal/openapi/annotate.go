package openapi

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// annotateDocument adds what annotations of files say of the API as a whole. Of several files
// the first that says something counts, and the configuration before all of them.
func (b *builder) annotateDocument(files []protoreflect.FileDescriptor) {
	for _, file := range files {
		for _, s := range b.annotationsOf(file) {
			b.annotateInfo(s.within("info"))
			if b.doc.ExternalDocs == nil {
				b.doc.ExternalDocs = docsOf(s.within("external_docs"))
			}
			for name, one := range s.all("tags") {
				b.describeTag(name, one)
				b.refuse(one, nil, tagFields...)
			}
			join(&b.doc.Extensions, b.extensionsOf(s))
			b.refuse(s, nil, "swagger", "openapi", "info", "external_docs", "tags", "responses", "extensions", "specification_extension")
		}
	}
}

// annotateInfo fills in what the configuration does not say.
func (b *builder) annotateInfo(s annotation) {
	i := &b.doc.Info
	i.Title = cmp.Or(i.Title, s.text("title"))
	i.Summary = cmp.Or(i.Summary, s.text("summary"))
	i.Description = cmp.Or(i.Description, clean(s.text("description")))
	i.TermsOfService = cmp.Or(i.TermsOfService, s.text("terms_of_service"))
	i.Version = cmp.Or(i.Version, s.text("version"))
	if c := s.within("contact"); i.Contact == nil && c.m != nil {
		i.Contact = &contact{Name: c.text("name"), URL: c.text("url"), Email: c.text("email")}
	}
	if l := s.within("license"); i.License == nil && l.text("name") != "" {
		i.License = &license{Name: l.text("name"), URL: l.text("url")}
	}
	join(&i.Extensions, b.extensionsOf(s))
	b.refuse(s, nil, "title", "summary", "description", "terms_of_service", "version", "contact", "license", "extensions", "specification_extension")
}

// describeTag notes what an annotation says of a tag. The first that says something counts.
func (b *builder) describeTag(name string, s annotation) {
	if name == "" {
		return
	}
	t := b.tags[name]
	if t == nil {
		t = &tag{Name: name}
		b.tags[name] = t
	}
	t.Description = cmp.Or(t.Description, clean(s.text("description")))
	if t.ExternalDocs == nil {
		t.ExternalDocs = docsOf(s.within("external_docs"))
	}
	join(&t.Extensions, b.extensionsOf(s))
}

// dropTags takes out the tags of services whose operations have other tags.
func (b *builder) dropTags() {
	used := map[string]bool{}
	for _, item := range b.items {
		for i := range *item {
			for _, name := range (*item)[i].Value.Tags {
				used[name] = true
			}
		}
	}
	b.doc.Tags = slices.DeleteFunc(b.doc.Tags, func(t tag) bool { return !used[t.Name] })
}

// tagFields are the fields of a tag's annotation that are read.
var tagFields = []string{"name", "description", "external_docs", "extensions", "specification_extension"}

// useTag adds a tag to the document, unless it is there.
func (b *builder) useTag(name, comment string) {
	if slices.ContainsFunc(b.doc.Tags, func(t tag) bool { return t.Name == name }) {
		return
	}
	t := tag{Name: name}
	if described := b.tags[name]; described != nil {
		t = *described
	}
	t.Description = cmp.Or(t.Description, comment)
	b.doc.Tags = append(b.doc.Tags, t)
}

// tagOf is the name of a service's tag: that of annotations, or else the given one.
func (b *builder) tagOf(service protoreflect.Descriptor, name string) string {
	list := b.annotationsOf(service)
	for _, s := range slices.Backward(list) {
		name = cmp.Or(s.text("name"), name)
	}
	for _, s := range list {
		b.describeTag(name, s)
		b.refuse(s, nil, tagFields...)
	}
	return name
}

const operationID = "operation_id"

// askedID returns the annotation that names the operation of an RPC, or the zero
// annotation if none does.
func (b *builder) askedID(m *Method) annotation {
	for _, s := range b.annotationsOf(m.Desc) {
		if s.text(operationID) != "" {
			return s
		}
	}
	return annotation{}
}

// isOtherVersion reports whether two RPCs belong to different versions.
func (m *Method) isOtherVersion(other *Method) bool {
	return m.Version != nil && other.Version != nil && m.Version.Of.GetName() != other.Version.Of.GetName()
}

// prose is the summary and the description of an RPC: from annotations, or else from its
// comment.
func (b *builder) prose(m *Method) (summary, description string) {
	comment := b.commentOf(m.Desc)
	summary, description = summarize(comment)
	list := b.annotationsOf(m.Desc)
	for _, s := range slices.Backward(list) {
		if text := s.text("summary"); text != "" {
			summary, description = text, comment
		}
	}
	for _, s := range slices.Backward(list) {
		if text := s.text("description"); text != "" {
			description = clean(text)
		}
	}
	return cmp.Or(summary, string(m.Desc.Name())), description
}

// annotate adds to an operation what annotations say of its RPC: the file's first, so that
// the RPC's own prevail.
func (b *builder) annotate(o *operation, m *Method) {
	for _, s := range b.annotationsOf(m.Desc.ParentFile()) {
		b.annotateResponses(o, m, s)
	}
	for _, s := range slices.Backward(b.annotationsOf(m.Desc)) {
		if tags := s.texts("tags"); len(tags) > 0 {
			o.Tags = tags
			for _, name := range tags {
				b.useTag(name, "")
			}
		}
		o.Docs = cmp.Or(docsOf(s.within("external_docs")), o.Docs)
		o.Deprecated = o.Deprecated || s.flag("deprecated")
		join(&o.Extensions, b.extensionsOf(s))
		for name, p := range s.within("parameters").all("headers") {
			b.annotateParameter(o, "header", name, p)
		}
		for name, p := range s.all("parameters") {
			b.annotateParameter(o, p.text("in"), name, p)
		}
		b.annotateBody(o, s.within("request_body"))
		b.annotateResponses(o, m, s)
		b.refuse(s, nil, "tags", "summary", "description", "external_docs", operationID, "deprecated", "parameters",
			"request_body", "responses", "extensions", "specification_extension")
	}
}

// notParameters are headers that OpenAPI describes elsewhere.
var notParameters = []string{"accept", "content-type", "authorization"}

// annotateParameter adds what an annotation says of a parameter. Headers that it names are
// new ones: services may read them, and the gateway does not.
func (b *builder) annotateParameter(o *operation, in, name string, s annotation) {
	i := slices.IndexFunc(o.Parameters, func(p *parameter) bool {
		return p.In == in && (p.Name == name || in == "header" && strings.EqualFold(p.Name, name))
	})
	known := []string{"name", "in", "description", "required", "deprecated", "example", "extensions", "specification_extension"}
	switch {
	case i < 0 && (in != "header" || name == ""):
		b.warn(s, "", "the RPC has no parameter %q in the %s", name, in)
		return
	case i < 0 && slices.Contains(notParameters, strings.ToLower(name)):
		b.warn(s, "", "the header %s is no parameter in OpenAPI: security and media types say what it may have", name)
		return
	case i < 0:
		i = len(o.Parameters)
		o.Parameters = append(o.Parameters, &parameter{Name: name, In: in, Schema: looseSchema(s)})
		known = append(known, "type", "format", "schema")
	}
	p := o.Parameters[i]
	p.Description = cmp.Or(clean(s.text("description")), p.Description)
	p.Deprecated = p.Deprecated || s.flag("deprecated")
	if example := s.value("example"); example != nil && p.Schema != nil {
		if example[0] != '"' && p.Schema.Type == typeString { // such as an integer of 64 bits
			example, _ = json.Marshal(string(example)) // a string can be written
		}
		p.Example = example
		b.examples = append(b.examples, placed{schema: p.Schema, text: example, said: s.at("example"), at: &p.Example})
	}
	if s.flag("required") && !p.Required {
		b.warn(s, "required", "nothing refuses a request without it")
	}
	b.refuse(s, func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		return fd.Name() == "type" && p.Schema != nil && s.choice("type") == p.Schema.Type
	}, known...)
}

// looseSchema is what an annotation says of a header that nothing else describes.
func looseSchema(s annotation) *schema {
	own := s
	if inner := s.within("schema"); inner.m != nil {
		own = inner
	}
	kinds := []string{typeNumber, typeInteger, typeBoolean}
	kind := own.choice("type")
	if !slices.Contains(kinds, kind) {
		kind = typeString
	}
	return &schema{Type: kind, Format: own.text("format"), Pattern: own.text("pattern")}
}

// annotateBody adds what an annotation says of the body.
func (b *builder) annotateBody(o *operation, s annotation) {
	if s.m == nil {
		return
	}
	if o.Body == nil {
		b.warn(s, "", "the RPC takes no body here")
		return
	}
	o.Body.Description = cmp.Or(clean(s.text("description")), o.Body.Description)
	if s.flag("required") && !o.Body.Required {
		b.warn(s, "required", "nothing refuses a request without it")
	}
	b.annotateContent(o.Body.Content, s)
	b.refuse(s, nil, "description", "required", "content", "specification_extension")
}

// annotateContent adds examples, which grpc-gateway has as texts by media type, and gnostic in
// each media type.
func (b *builder) annotateContent(content members[*mediaType], s annotation) {
	add := func(media string, example json.RawMessage, at annotation) {
		m, found := content.get(media)
		switch {
		case !found:
			b.warn(at, "", "the media type is %s", content[0].Name)
		case example != nil:
			b.setMediaExample(m, remark{example, at})
		}
	}
	for media, example := range s.mapped("examples") {
		add(media, jsonOf(example), s.at("examples["+strconv.Quote(media)+"]"))
	}
	for media, one := range s.all("content") {
		example := one.value("example")
		for _, named := range one.all("examples") {
			if example == nil {
				example = named.value("value")
			}
		}
		add(media, example, one)
		b.refuse(one, nil, "example", "examples", "specification_extension")
	}
}

// annotateResponses adds what an annotation says of answers.
func (b *builder) annotateResponses(o *operation, m *Method, s annotation) {
	for code, one := range s.all("responses") {
		b.annotateResponse(o, m, code, one)
	}
	list := s.within("responses")
	if one := list.within("default"); one.m != nil {
		b.annotateResponse(o, m, "default", one)
	}
	for code, one := range list.all("response_or_reference") {
		b.annotateResponse(o, m, code, one)
	}
}

// annotateResponse adds what an annotation says of the answers with a status. An error that
// services can answer with is listed then.
func (b *builder) annotateResponse(o *operation, m *Method, code string, s annotation) {
	status, _ := strconv.Atoi(code) // "default" is 0
	r, listed := o.Responses.get(code)
	if !listed && !slices.Contains(ofServices, status) {
		b.warn(s, "", "the RPC never answers with %s", code)
		return
	}
	if !listed || r.Ref != "" {
		r = b.failureBody(status)
		o.Responses.set(code, r)
	}
	r.Description = cmp.Or(clean(s.text("description")), r.Description)
	for name, one := range s.all("headers") {
		b.annotateHeader(r, name, one)
	}
	if len(r.Content) > 0 {
		b.annotateContent(r.Content, s)
	}
	join(&r.Extensions, b.extensionsOf(s))
	isOwn := func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		return fd.Name() == "schema" && code == "200" && s.within("schema").within("json_schema").text("ref") == "."+string(m.Desc.Output().FullName())
	}
	b.refuse(s, isOwn, "description", "headers", "examples", "content", "extensions", "specification_extension")
}

// ofServices are the statuses of errors that a service can answer with, by its gRPC code.
var ofServices = []int{400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504}

// annotateHeader adds what an annotation says of a header of an answer. Those that the gateway
// does not know are the service's.
func (b *builder) annotateHeader(r *response, name string, s annotation) {
	for i := range r.Headers {
		if own := &r.Headers[i]; strings.EqualFold(own.Name, name) {
			described := *own.Value
			if known := b.headers[strings.TrimPrefix(described.Ref, headersPath)]; known != nil {
				described = *known
			}
			described.Description = cmp.Or(clean(s.text("description")), described.Description)
			own.Value = &described
			return
		}
	}
	r.Headers.add(name, &header{Description: clean(s.text("description")), Schema: looseSchema(s)})
}
