package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/files"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
	"github.com/gatehouse-dev/gatehouse/internal/openapi/compare"
)

// readOther reads what --against names if it is a file: a configuration, or a document
// that was published. It returns nil if there is no such file.
func readOther(name string, load func(file string) (*live.Gateway, error)) (*running, error) {
	text, err := files.Read(name, maxPage)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(name, ":"):
		return nil, nil //nolint:nilnil // it is an address then
	case err != nil:
		return nil, fmt.Errorf("--against: %w; an address is host:port", err)
	}
	if compare.IsDocument(text) {
		doc, err := compare.ReadPublished(text)
		if err != nil {
			return nil, fmt.Errorf("--against: %s: %w", name, err)
		}
		return &running{document: doc, isDocument: true}, nil
	}
	g, err := load(name)
	if err != nil {
		return nil, fmt.Errorf("--against: %w", err)
	}
	defer func() { _ = g.Close() }()
	doc, err := documentOf(g, "", true)
	return &running{status: g.Status(), routes: admin.Routes(g.Table()), rpcs: g.Table().Declared(), document: doc, hasAll: true}, err
}

// documentOf is what would be published. With all, it shows all policies.
func documentOf(g *live.Gateway, version string, all bool) (*compare.Published, error) {
	source := g.Table().OpenAPI.Source()
	if all {
		source.Config = proto.CloneOf(source.Config)
		source.Config.Openapi.Policies = configv1.OpenApi_POLICIES_ALL
	}
	doc, err := source.Document(version)
	if err != nil {
		return nil, err
	}
	text, err := doc.Write(openapi.JSON)
	if err != nil {
		return nil, err
	}
	return compare.ReadPublished(text)
}

// publishedChanges lists what may break callers of what was published.
func publishedChanges(r *running, g *live.Gateway) ([]compare.Change, error) {
	version := r.document.Version()
	own := g.Table().File.Config.GetOpenapi().GetVersion()
	if !r.isDocument || version == own || !slices.Contains(g.Table().OpenAPI.Versions(), version) {
		version = "" // it is the document of all versions
	}
	next, err := documentOf(g, version, r.hasAll)
	if err != nil {
		return nil, err
	}
	return compare.Changes(r.document, next), nil
}

func publishedLines(changes []compare.Change) (lines []string, breaking int) {
	for _, c := range changes {
		if c.Severity == compare.Breaking {
			breaking++
			lines = append(lines, "! "+c.String()+"  breaks clients")
		} else {
			lines = append(lines, "? "+c.String()+"  may break clients")
		}
	}
	return lines, breaking
}
