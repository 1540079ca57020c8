package compile

import (
	"bytes"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/console"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/files"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
	"github.com/gatehouse-dev/gatehouse/internal/openapi/compare"
)

// documents are the OpenAPI documents of the table, which are written when somebody
// asks for them.
func (b *Builder) documents() *openapi.Documents {
	s := &openapi.Source{Config: b.file.Config}
	for _, e := range b.withPolicy {
		m := &openapi.Method{Desc: e.Desc, Upstream: e.Upstream, Bindings: e.Bindings, Policy: e.Effective.Policy}
		if c := b.composer.all[e.Name]; c != nil {
			m.Composition = c.from
		}
		if v := e.Version.Edge; v != nil {
			m.Version = b.versionNamed(v.API.Name, v.Name)
		}
		s.Methods = append(s.Methods, m)
	}
	upstreams := make([]string, 0, len(b.withPolicy))
	for _, e := range b.withPolicy {
		upstreams = append(upstreams, e.Upstream)
	}
	contracts := b.contracts.all // and nothing else of the builder, which holds the table before
	s.Scratch = func() *openapi.Source { return scratchSource(s, contracts, upstreams) }
	return openapi.NewDocuments(s)
}

// scratchSource is a source with descriptors of its own, and the comments of the
// contracts. upstreams are those of its RPCs.
func scratchSource(s *openapi.Source, contracts map[string]*Contract, upstreams []string) *openapi.Source {
	sets, comments := map[*Contract]*contract.Set{}, map[*contract.Set]*contract.Comments{}
	scratch := &openapi.Source{Config: s.Config}
	for i, m := range s.Methods {
		of := contracts[upstreams[i]]
		if sets[of] == nil {
			sets[of] = of.Set.Scratch()
			comments[sets[of]] = sets[of].Comments()
		}
		own := *m
		own.Desc = sets[of].Method(m.Desc.FullName())
		scratch.Methods = append(scratch.Methods, &own)
	}
	scratch.Comment = func(d protoreflect.Descriptor) string {
		for set, of := range comments {
			if file, err := set.Files.FindFileByPath(d.ParentFile().Path()); err == nil && file == d.ParentFile() {
				return of.Leading(d)
			}
		}
		return ""
	}
	return scratch
}

// versionNamed is a version as the configuration has it.
func (b *Builder) versionNamed(api, name string) *openapi.Version {
	for _, conf := range b.file.Config.GetVersions() {
		for _, v := range conf.GetList() {
			if conf.GetName() == api && v.GetName() == name {
				return &openapi.Version{API: conf, Of: v}
			}
		}
	}
	return nil
}

// pages are what the HTTP listener shows of the table itself, where the configuration
// gives it paths: the OpenAPI document, and the console with documents of its own.
func (b *Builder) pages(documents *openapi.Documents) (map[string]func(query string) (*edge.Page, error), error) {
	all := map[string]func(query string) (*edge.Page, error){}
	add := func(field, path string, read func(query string) (*edge.Page, error)) error {
		if other, taken := b.bindings.taken["GET "+path]; taken {
			return b.file.Errorf(field, "%s is the path of %s; choose another", path, other.by)
		}
		if all[path] != nil {
			return b.file.Errorf(field, "%s is the path of the OpenAPI document too; choose another", path)
		}
		all[path] = read
		return nil
	}
	conf := b.file.Config.GetOpenapi()
	if path := conf.GetPath(); path != "" {
		format := openapi.JSON
		if strings.HasSuffix(path, ".yaml") {
			format = openapi.YAML
		}
		if err := add("openapi.path", path, reader(documents, format)); err != nil {
			return nil, err
		}
	}
	if conf.GetConsole() == "" {
		return all, nil
	}
	page := &console.Console{Path: conf.GetConsole(), Title: conf.GetTitle(), Versions: documents.Versions()}
	page.Document = page.File("openapi.json")
	for _, s := range conf.GetServers() {
		page.Called = append(page.Called, s.GetUrl())
	}
	pages := page.Pages()
	if page.Document != conf.GetPath() { // else it is there
		pages[page.Document] = reader(documents, openapi.JSON)
	}
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		if err := add("openapi.console", path, pages[path]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// reader reads the document of the version that a query names. Its errors are the
// client's, but for those of a document that cannot be made.
func reader(documents *openapi.Documents, format openapi.Format) func(query string) (*edge.Page, error) {
	return func(query string) (*edge.Page, error) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return nil, call.Refuse(call.Client, codes.InvalidArgument, "the query cannot be read: want version=NAME, or none").Because(err)
		}
		doc, err := documents.Write(values.Get("version"), format)
		if unknown, ok := errors.AsType[*openapi.VersionError](err); ok {
			return nil, call.Refuse(call.Client, codes.NotFound, "%v", unknown)
		}
		if err != nil {
			return nil, err
		}
		return &edge.Page{Body: doc.Text, ContentType: format.MediaType(), ETag: doc.ETag}, nil
	}
}

// guard is the chain in front of the pages; nil lets anybody read them.
func (b *Builder) guard() (grpc.ClientConnInterface, error) {
	rule := b.file.Config.GetOpenapi().GetAuth()
	if rule == nil {
		return nil, nil // no guard
	}
	link, err := b.input.Policies.Authenticators.Build(&interceptors.Method{
		Name: "the OpenAPI document", Policy: &policyv1.Policy{Auth: rule}, Strip: b.exposures.forwarded,
	})
	if err != nil {
		return nil, Place(b.file.File, "openapi", err)
	}
	return interceptors.Chain(call.Refuser{}, link), nil
}

// maxDocumentBytes bounds an OpenAPI document.
const maxDocumentBytes = 64 << 20

// GivenDocument is an OpenAPI document of the operator's own. It is immutable.
type GivenDocument struct {
	Text   []byte
	Format openapi.Format
}

// same reports whether two are the same; nil is none.
func (d *GivenDocument) same(other *GivenDocument) bool {
	if d == nil || other == nil {
		return d == other
	}
	return bytes.Equal(d.Text, other.Text)
}

// givenDocument reads the document that the configuration names, and tells how it differs
// from what is served. It is nil if none is named.
func (b *Builder) givenDocument() (_ *GivenDocument, warnings []string, _ error) {
	const field = "openapi.file"
	name := b.file.Config.GetOpenapi().GetFile()
	if name == "" {
		return nil, nil, nil // the gateway writes its own
	}
	text, err := files.Read(name, maxDocumentBytes)
	if err != nil {
		return nil, nil, b.file.Errorf(field, "%v", err)
	}
	doc, err := compare.Read(text)
	if err != nil {
		return nil, nil, b.file.Errorf(field, "%s is not an OpenAPI document: %v", name, err)
	}
	given := &GivenDocument{Text: text, Format: openapi.JSON}
	if !compare.IsJSON(text) {
		given.Format = openapi.YAML
	}
	var served []*contract.Binding
	for _, m := range b.withPolicy {
		for _, binding := range m.Bindings {
			if binding.Err == nil {
				served = append(served, binding)
			}
		}
	}
	diff := compare.Covers(doc, served)
	if len(diff.Lacks) > 0 {
		warnings = append(warnings, b.file.Errorf(field, "%s lacks what is served: %s", name, bounded(diff.Lacks, maxOperations)).Error())
	}
	if len(diff.Invents) > 0 {
		warnings = append(warnings, b.file.Errorf(field, "%s has what is not served: %s", name, bounded(diff.Invents, maxOperations)).Error())
	}
	return given, warnings, nil
}

// maxOperations is how many operations a warning names.
const maxOperations = 100
