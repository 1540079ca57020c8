package compare

import (
	"encoding/json"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
)

// Difference is what a document of one's own has and lacks of what is served.
type Difference struct {
	// Lacks are bindings that are served and not in the document.
	Lacks []string
	// Invents are operations of the document that are not served.
	Invents []string
}

// Covers compares a document, of any version of OpenAPI, with the bindings that are
// served. What variables are called makes no difference, nor whether a variable is
// expanded to the segments that it spans.
func Covers(d *Document, served []*contract.Binding) Difference {
	var diff Difference
	offered, known := map[string]bool{}, map[string]bool{} // forms of paths with HTTP methods
	for _, o := range d.offers() {
		for _, path := range o.paths {
			offered[form(path)+" "+o.verb] = true
		}
	}
	for _, b := range served {
		isOffered := false
		for _, at := range formsOf(b) {
			known[at] = true
			isOffered = isOffered || offered[at]
		}
		isOptional := b.OpenPath != "" && b.Path == b.OpenPath // the path with the version says the same
		if !isOffered && !isOptional {
			diff.Lacks = append(diff.Lacks, b.Name)
		}
	}
	for _, o := range d.offers() {
		if !slices.ContainsFunc(o.paths, func(path string) bool { return known[form(path)+" "+o.verb] }) {
			diff.Invents = append(diff.Invents, o.verb+" "+o.paths[0])
		}
	}
	return diff
}

// offer is an operation of a document, at each of its servers.
type offer struct {
	verb  string
	paths []string
}

func (d *Document) offers() []offer {
	var list []offer
	for _, path := range slices.Sorted(maps.Keys(d.items)) {
		item := d.items[path]
		for _, verb := range verbs {
			if item[verb] == nil {
				continue
			}
			o := offer{verb: strings.ToUpper(verb)}
			for _, base := range d.bases(serversOf(item[verb]), serversOf(item), d.Servers) {
				o.paths = append(o.paths, base+path)
			}
			list = append(list, o)
		}
	}
	return list
}

// serversOf are the servers that a path or an operation has of its own.
func serversOf(of any) []server {
	var own struct {
		Servers []server `json:"servers"`
	}
	if text, err := json.Marshal(of); err != nil || json.Unmarshal(text, &own) != nil {
		return nil // something else by that name
	}
	return own.Servers
}

// bases are what stands in front of a path: the paths of the servers that are named
// nearest to it.
func (d *Document) bases(servers ...[]server) []string {
	for _, list := range servers {
		var bases []string
		for _, s := range list {
			address := s.URL
			for name, v := range s.Variables {
				address = strings.ReplaceAll(address, "{"+name+"}", v.Default)
			}
			base := ""
			if u, err := url.Parse(address); err == nil {
				base = strings.TrimRight(path.Clean("/"+u.Path), "/")
			}
			bases = append(bases, base)
		}
		if len(bases) > 0 {
			return bases
		}
	}
	return []string{strings.TrimRight(d.BasePath, "/")}
}

// formsOf are the forms in which a document may have the path of a binding: with its
// variables expanded, and without.
func formsOf(b *contract.Binding) []string {
	methods := []string{b.Verb}
	if b.Verb == httprule.AnyMethod {
		methods = methods[:0]
		for _, verb := range verbs {
			methods = append(methods, strings.ToUpper(verb))
		}
	}
	var expanded strings.Builder
	rest := b.Template.String()
	for rest != "" {
		before, variable, found := strings.Cut(rest, "{")
		expanded.WriteString(before)
		if !found {
			break
		}
		variable, rest, _ = strings.Cut(variable, "}")
		_, spans, hasTemplate := strings.Cut(variable, "=")
		if !hasTemplate {
			spans = "*"
		}
		expanded.WriteString(spans)
	}
	wildcards := strings.NewReplacer("**", "{}", "*", "{}")
	var list []string
	for _, text := range []string{wildcards.Replace(expanded.String()), wildcards.Replace(form(b.Template.String()))} {
		for _, verb := range methods {
			list = append(list, text+" "+verb)
		}
	}
	return list
}
