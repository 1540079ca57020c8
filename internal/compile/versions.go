package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// versions are the APIs of a table.
type versions struct {
	file  settings
	apis  []*edge.API
	paths edge.VersionsBuilder
}

// Version is one version of an API.
type Version struct {
	Edge        *edge.Version
	Deprecation *interceptors.Deprecation // nil: not deprecated

	field string // of the configuration, as "versions[0].list[1]"
}

// String is the version for people.
func (v Version) String() string {
	if v.Edge == nil {
		return ""
	}
	return v.Edge.Name + " of " + v.Edge.API.Name
}

// assignAll finds the version of each RPC.
func (s *versions) assignAll(methods []*Method) error {
	var errs []error
	for i, conf := range s.file.Config.GetVersions() {
		names := make([]string, 0, len(conf.GetList()))
		for _, v := range conf.GetList() {
			names = append(names, v.GetName())
		}
		api := edge.NewAPI(conf.GetName(), conf.GetHeader(), conf.GetMediaTypeParameter(), names...)
		api.Default = api.Version(conf.GetDefault())
		s.apis = append(s.apis, api)
		for j, v := range conf.GetList() {
			notice, err := noticeOf(v)
			one := Version{Edge: api.List[j], Deprecation: notice, field: fmt.Sprintf("versions[%d].list[%d]", i, j)}
			errs = append(errs, err, s.assign(one, v.GetSelect(), methods))
		}
	}
	return errors.Join(errs...)
}

// assign puts the selected RPCs into a version.
func (s *versions) assign(v Version, selects []string, methods []*Method) error {
	var errs []error
	for i, text := range selects {
		field, found := fmt.Sprintf("%s.select[%d]", v.field, i), false
		for _, m := range methods {
			if !config.Match(text, m.Desc.FullName()) {
				continue
			}
			found = true
			if other := m.Version; other.Edge != nil && other.Edge != v.Edge {
				errs = append(errs, s.file.Errorf(field, "%s is in version %v by %s at %s already; select it in one of them",
					m.Desc.FullName(), other, other.field, s.file.Position(other.field)))
				continue
			}
			m.Version = v
		}
		if !found {
			errs = append(errs, s.file.Errorf(field, "%q matches no exposed RPC%s", text, nearest.DidYouMean(text, packagesOf(methods))))
		}
	}
	return errors.Join(errs...)
}

// packagesOf lists what could be selected, for an error.
func packagesOf(methods []*Method) []string {
	var names []string
	for _, m := range methods {
		names = append(names, string(m.Desc.ParentFile().Package())+".*", string(m.Desc.Parent().FullName()), string(m.Desc.FullName()))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// noticeOf returns the announcement that clients of a version get; nil for none.
func noticeOf(v *configv1.Version) (*interceptors.Deprecation, error) {
	d := v.GetDeprecation()
	if d == nil {
		return nil, nil // the version stays
	}
	n := &interceptors.Deprecation{Version: v.GetName(), Link: d.GetLink(), Successor: d.GetSuccessor()}
	var err error
	if n.Date, err = config.ParseDate(d.GetDate()); err == nil && d.GetSunset() != "" {
		n.Sunset, err = config.ParseDate(d.GetSunset())
	}
	return n, err
}

// stampVersion adds the version to the metadata of calls from inside the process. The doors
// have added it to all others.
func stampVersion(m *interceptors.Method) (interceptors.Interceptor, error) {
	stamp := m.Stamp
	if stamp == nil {
		return interceptors.Interceptor{}, nil
	}
	return interceptors.Around("version", func(ctx context.Context, _ string) (context.Context, func(error), error) {
		if c := call.From(ctx); c != nil && c.Protocol != call.InProcess {
			return ctx, nil, nil
		}
		md, ok := metadata.FromOutgoingContext(ctx) // a copy
		if !ok {
			md = metadata.MD{}
		}
		stamp(md)
		return metadata.NewOutgoingContext(ctx, md), nil, nil
	}), nil
}

// versionsOf lists the versions of RPCs by their names on the wire.
func versionsOf(methods []*Method) map[string]*edge.Version {
	all := map[string]*edge.Version{}
	for _, m := range methods {
		if m.Version.Edge != nil {
			all[m.Name] = m.Version.Edge
		}
	}
	return all
}

// ofVersion returns the bindings that are served for a binding of an RPC of a version: on
// the path with the version, and on the path without it unless that is empty. placed is the
// binding on the path with a variable in the version's place.
func ofVersion(v *edge.Version, r *contract.Binding) (served []*contract.Binding, placed *contract.Binding, err error) {
	if v == nil {
		return []*contract.Binding{r}, nil, nil
	}
	paths, err := splitPath(r.Template.String(), v)
	if err != nil {
		return []*contract.Binding{r}, nil, err
	}
	named := r.At(paths.named)
	if paths.open == "" {
		return []*contract.Binding{named}, nil, named.Err
	}
	named.OpenPath = paths.open
	open, placed := named.At(paths.open), named.At(paths.placed)
	return []*contract.Binding{named, open}, placed, cmp.Or(named.Err, open.Err, placed.Err)
}

// paths of one binding of a version.
type paths struct {
	named  string // with the version
	open   string // without; "" if nothing is left
	placed string // with a variable in its place
}

// anyVersion is the variable in the version's place. No field has this name.
const anyVersion = "{any__version}"

// splitPath finds the version in a path: the first segment with its name, before any
// variable. A path without it gets the version as its first segment.
func splitPath(text string, v *edge.Version) (paths, error) {
	segments := strings.Split(text[1:], "/")
	words := slices.IndexFunc(segments, func(s string) bool { return strings.ContainsAny(s, "{*") })
	if words < 0 {
		words = len(segments)
	}
	for i, word := range segments[:words] {
		if other := v.API.Version(word); other != nil && other != v {
			return paths{}, fmt.Errorf("%q is in the path of what belongs to version %s; it is a version of %q too", word, v.Name, v.API.Name)
		}
		if word != v.Name {
			continue
		}
		before, after := segments[:i:i], segments[i+1:]
		open := strings.Join(append(before, after...), "/")
		return paths{named: text, open: strings.TrimSuffix("/"+open, "/"), placed: joinPath(before, anyVersion, after)}, nil
	}
	switch {
	case text == "/":
		return paths{named: "/" + v.Name}, nil
	case words == 1 && len(segments) == 1 && strings.HasPrefix(segments[0], v.Name+":"): // a verb of the version itself
		return paths{named: text}, nil
	}
	return paths{named: joinPath(nil, v.Name, segments), open: text, placed: joinPath(nil, anyVersion, segments)}, nil
}

func joinPath(before []string, word string, after []string) string {
	return "/" + strings.Join(slices.Concat(before, []string{word}, after), "/")
}

// build returns what serves paths without a version. A path that the router of all other
// paths has is not served without its version.
func (s *versions) build(routes *httprule.Router[*edge.Route]) (*edge.Versions, error) {
	var errs []error
	v := s.paths.Build(s.apis, routes, func(origin, path string, by *httprule.Route[*edge.Route]) {
		errs = append(errs, s.file.Errorf("versions", "%s: the path without its version, %s, is served by %s %s of %s; change one of them",
			origin, path, by.Method, by.Template, by.Value.Method.Name))
	})
	return v, errors.Join(errs...)
}
