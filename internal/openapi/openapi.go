// Package openapi writes the published contract: an OpenAPI 3.1 document of what the
// gateway serves and enforces. [Source] is what it is made of: the RPCs that are
// exposed, with the bindings by which HTTP reaches them, their merged policies and
// versions, and the configuration. A [Document] is written as JSON or YAML.
//
// paths.go and operations.go turn bindings into paths and operations, query.go and
// body.go what clients send; messages.go, wellknown.go and rules.go turn messages into
// JSON Schema as the transcoder writes them; promises.go turns policies into what
// clients may rely on, and errors.go into the errors that they may get.
package openapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/transcode"
)

// Source is what documents are made of. It is read only.
type Source struct {
	// Config is complete: every default is filled in.
	Config *configv1.Config
	// Methods are the RPCs that are exposed.
	Methods []*Method
	// Comment returns the comment in front of a declaration, as the contract has it. Nil
	// has none.
	Comment func(protoreflect.Descriptor) string
	// Scratch returns the same with comments, and with descriptors that are let go when
	// a document is made: all of a contract is looked at then. Nil: the source has both.
	Scratch func() *Source
}

// Method is one RPC as it is served.
type Method struct {
	Desc protoreflect.MethodDescriptor
	// Upstream is the one whose contract Desc is of. Two may have different messages of
	// one name.
	Upstream string
	// Bindings are those that are served; those of a version on both of their paths.
	Bindings []*contract.Binding
	// Policy is merged and complete.
	Policy *policyv1.Policy
	// Version is the one that the RPC belongs to; nil is none.
	Version *Version
	// Composition is how the gateway makes its answers of other RPCs; nil: it does not.
	Composition *composev1.Composition
}

// Version is one version of an API.
type Version struct {
	API *configv1.Versions
	Of  *configv1.Version
}

// Versions lists the names of the versions of which there are documents.
func (s *Source) Versions() []string {
	var names []string
	for _, api := range s.Config.GetVersions() {
		for _, v := range api.GetList() {
			if !slices.Contains(names, v.GetName()) {
				names = append(names, v.GetName())
			}
		}
	}
	return names
}

// Document makes the document of a version: the RPCs that belong to it. The document of
// the version "" has all RPCs; on paths that leave the version open, it has the default
// version, or else the newest.
func (s *Source) Document(version string) (*Document, error) {
	if err := s.checkVersion(version); err != nil {
		return nil, err
	}
	b := &builder{
		source: s, version: version, json: s.Config.GetJson(),
		transcoder: transcode.Options{UseProtoNames: s.Config.GetJson().GetProtoNames()},
		registry:   registry{byID: map[identity]*component{}, model: newModel()},
		options:    map[protoreflect.FieldDescriptor]*fieldOptions{},
		names:      map[protoreflect.MessageDescriptor][]string{},
		paths:      map[*contract.Binding]*path{},
		chosen:     map[string]*contract.Binding{},
		forms:      map[string]*path{},
		items:      map[string]*pathItem{},
		ids:        map[string]bool{},
		headers:    map[string]*header{},
		responses:  map[string]*response{},
		said:       map[protoreflect.Descriptor][]annotation{},
		remarks:    map[protoreflect.Descriptor]*remarks{},
		tags:       map[string]*tag{},
	}
	b.methods = slices.DeleteFunc(slices.Clone(s.Methods), func(m *Method) bool {
		return version != "" && (m.Version == nil || m.Version.Of.GetName() != version)
	})
	return b.document(), nil
}

// VersionError tells that there is no document of a version.
type VersionError struct {
	Version string
	Known   []string
}

// Error names the versions that there are.
func (e *VersionError) Error() string {
	return fmt.Sprintf("there is no version %.40q: %s", e.Version, cmp.Or(strings.Join(e.Known, ", "), "none is configured"))
}

// checkVersion refuses a version of which there is no document.
func (s *Source) checkVersion(version string) error {
	if known := s.Versions(); version != "" && !slices.Contains(known, version) {
		return &VersionError{version, known}
	}
	return nil
}

// builder makes one document. It is used once.
type builder struct {
	source     *Source
	version    string
	methods    []*Method
	json       *configv1.Json
	transcoder transcode.Options
	registry   registry
	options    map[protoreflect.FieldDescriptor]*fieldOptions
	names      map[protoreflect.MessageDescriptor][]string // of the fields
	resources  resources
	paths      map[*contract.Binding]*path
	chosen     map[string]*contract.Binding // by HTTP method and form of the path
	forms      map[string]*path             // the first path of a form
	items      map[string]*pathItem         // by the text of the path
	ids        map[string]bool              // of operations, folded
	headers    map[string]*header           // that are used
	responses  map[string]*response         // that are used
	foreign    annotationTypes
	said       map[protoreflect.Descriptor][]annotation
	remarks    map[protoreflect.Descriptor]*remarks
	tags       map[string]*tag // that annotations describe
	examples   []placed
	warnings   []string
	doc        Document
}

// fieldNames are the names in JSON of a message's fields, by index.
func (b *builder) fieldNames(md protoreflect.MessageDescriptor) []string {
	names, ok := b.names[md]
	if !ok {
		names = b.transcoder.FieldNames(md)
		b.names[md] = names
	}
	return names
}

func (b *builder) document() *Document {
	files := filesOf(b.methods)
	all := withImports(files)
	b.resources, b.foreign = readResources(all), findAnnotations(all)
	b.doc.OpenAPI = "3.1.1"
	b.about()
	b.annotateDocument(files)
	b.doc.Info.Title, b.doc.Info.Version = cmp.Or(b.doc.Info.Title, "API"), cmp.Or(b.doc.Info.Version, "1.0.0")
	b.choose()
	services := b.serviceNames()
	ids := b.operationIDs(services)
	for i, m := range b.methods {
		b.registry.describe(m.Upstream)
		b.add(m, b.tagOf(m.Desc.Parent(), services[m.Desc.Parent().FullName()]), ids[i])
	}
	b.dropTags()
	b.registry.build()
	b.dropExamples()
	b.registry.nameAll()
	for _, c := range b.registry.all {
		b.doc.Components.Schemas.add(c.name, c.schema)
	}
	b.doc.Components.Responses = sorted(b.responses)
	b.doc.Components.Headers = sorted(b.headers)
	b.doc.Components.SecuritySchemes = b.securitySchemes()
	b.doc.Limits, b.doc.Cors = b.limits(), b.cors()
	slices.Sort(b.warnings)
	b.doc.warnings = slices.Compact(b.warnings)
	return &b.doc
}

// filesOf are the files of which RPCs and their messages are.
func filesOf(methods []*Method) []protoreflect.FileDescriptor {
	var files []protoreflect.FileDescriptor
	seen := map[string]bool{}
	for _, m := range methods {
		for _, d := range []protoreflect.Descriptor{m.Desc, m.Desc.Input(), m.Desc.Output()} {
			if file := d.ParentFile(); !seen[file.Path()] {
				seen[file.Path()] = true
				files = append(files, file)
			}
		}
	}
	return files
}

// about writes what the configuration says of the API as a whole.
func (b *builder) about() {
	o := b.source.Config.GetOpenapi()
	b.doc.Info = info{
		Title: o.GetTitle(), Summary: o.GetSummary(), Description: o.GetDescription(),
		TermsOfService: o.GetTermsOfService(), Version: cmp.Or(b.version, o.GetVersion()),
	}
	if c := o.GetContact(); c != nil {
		b.doc.Info.Contact = &contact{Name: c.GetName(), URL: c.GetUrl(), Email: c.GetEmail()}
	}
	if l := o.GetLicense(); l != nil {
		b.doc.Info.License = &license{Name: l.GetName(), Identifier: l.GetIdentifier(), URL: l.GetUrl()}
	}
	b.doc.ExternalDocs = docsFrom(o.GetExternalDocs())
	for _, t := range o.GetTags() {
		b.tags[t.GetName()] = &tag{Name: t.GetName(), Description: t.GetDescription(), ExternalDocs: docsFrom(t.GetExternalDocs())}
	}
	for _, s := range o.GetServers() {
		b.doc.Servers = append(b.doc.Servers, server{URL: s.GetUrl(), Description: s.GetDescription()})
	}
	if len(b.doc.Servers) == 0 {
		b.doc.Servers = []server{{URL: "/"}}
	}
}

// docsFrom is a reference of the configuration; nil for none.
func docsFrom(d *configv1.OpenApi_ExternalDocs) *externalDocs {
	if d == nil {
		return nil
	}
	return &externalDocs{Description: d.GetDescription(), URL: d.GetUrl()}
}

// serviceNames names the services: briefly the first of each name, and those that follow
// in full, so that a service that is added at the end renames no other.
func (b *builder) serviceNames() map[protoreflect.FullName]string {
	names, taken := map[protoreflect.FullName]string{}, map[string]bool{}
	for _, m := range b.methods {
		service := m.Desc.Parent()
		if _, named := names[service.FullName()]; named || len(m.Bindings) == 0 {
			continue
		}
		name := string(service.Name())
		if taken[folded(name)] {
			name = string(service.FullName())
		}
		names[service.FullName()] = name
		taken[folded(name)] = true
		b.useTag(b.tagOf(service, name), b.commentOf(service))
	}
	return names
}

// operationIDs names the RPCs: as annotations do where no other RPC has the name, or else
// by service and method. RPCs of several versions may ask for one name, which is theirs in
// the documents of their versions.
func (b *builder) operationIDs(services map[protoreflect.FullName]string) []string {
	owners := map[string][]*Method{}
	ids, asked := make([]string, len(b.methods)), make([]annotation, len(b.methods))
	for i, m := range b.methods {
		ids[i] = strings.ReplaceAll(services[m.Desc.Parent().FullName()], ".", "_") + "_" + string(m.Desc.Name())
		asked[i] = b.askedID(m)
		owners[folded(ids[i])] = append(owners[folded(ids[i])], m)
		if id := asked[i].text(operationID); id != "" && folded(id) != folded(ids[i]) {
			owners[folded(id)] = append(owners[folded(id)], m)
		}
	}
	for i, m := range b.methods {
		id := asked[i].text(operationID)
		if id == "" {
			continue
		}
		if all := owners[folded(id)]; len(all) == 1 {
			ids[i] = id
		} else if slices.ContainsFunc(all, func(other *Method) bool { return other != m && !m.isOtherVersion(other) }) {
			b.warn(asked[i], operationID, "another operation has the name %s; this one is %s", id, ids[i])
		}
	}
	return ids
}

func sorted[V any](all map[string]V) members[V] {
	var list members[V]
	for name, value := range all {
		list.add(name, value)
	}
	slices.SortFunc(list, func(a, b member[V]) int { return strings.Compare(a.Name, b.Name) })
	return list
}
