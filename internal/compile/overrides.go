package compile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// override is an HTTP rule that takes the place of the contract's.
type override struct {
	rule     *annotations.HttpRule
	exposure int
	field    string // of the configuration: the rule, or the file that has it

	at   config.Position
	path string // of the rule, in the configuration or in the file
}

func (o *override) inFile() bool { return o.path != o.field }

func (o *override) errorf(format string, args ...any) error {
	return config.Errors{{Position: o.at, Path: o.path, Text: fmt.Sprintf(format, args...)}}
}

// overrides are the HTTP rules of the configuration and of its files.
type overrides struct {
	file settings

	own   map[string][]override       // full method name -> rules of the configuration, in its order
	files map[int]map[string]override // exposure -> full method name -> rule that counts of those in files
	again map[int][]override          // exposure -> rules in files that a later rule of the same file replaces
	read  map[string]*config.HTTPFile // by path
}

func newOverrides(file settings) *overrides {
	return &overrides{
		file: file,
		own:  map[string][]override{}, files: map[int]map[string]override{}, again: map[int][]override{}, read: map[string]*config.HTTPFile{},
	}
}

// collect collects the HTTP rules of the configuration and its files for these RPCs.
func (o *overrides) collect(methods []*Method) error {
	known := map[string]bool{}
	for _, m := range methods {
		known[string(m.Desc.FullName())] = true
	}
	var errs []error
	for i, x := range o.file.Config.GetExpose() {
		for j, r := range x.GetHttp() {
			name := cmp.Or(r.GetSelector(), x.GetSelect()) // of a rule below a select that names one RPC
			field := fmt.Sprintf("expose[%d].http[%d]", i, j)
			if !known[name] {
				errs = append(errs, o.file.Errorf(field+".selector", "%q is not an exposed RPC%s",
					name, nearest.DidYouMean(name, slices.Sorted(maps.Keys(known)))))
			}
			o.own[name] = append(o.own[name], override{rule: r, exposure: i, field: field, at: o.file.Position(field), path: field})
		}
		errs = append(errs, o.readFiles(i, x))
	}
	return errors.Join(errs...)
}

// readFiles reads the files of an exposure. Of several rules for one RPC the
// last one counts.
func (o *overrides) readFiles(exposure int, x *configv1.Exposure) error {
	o.files[exposure] = map[string]override{}
	var errs []error
	for i, path := range x.GetHttpFile() {
		field := fmt.Sprintf("expose[%d].http_file[%d]", exposure, i)
		file := o.read[path]
		if file == nil {
			var err error
			if file, err = config.ReadHTTPFile(path); err != nil {
				if _, placed := errors.AsType[config.Errors](err); !placed {
					err = o.file.Errorf(field, "%v", err)
				}
				errs = append(errs, err)
				continue
			}
			o.read[path] = file
		}
		for j, r := range file.Rules {
			if before := o.files[exposure][r.GetSelector()]; before.at.File == path {
				o.again[exposure] = append(o.again[exposure], before)
			}
			at, in := file.Place(j)
			o.files[exposure][r.GetSelector()] = override{rule: r, exposure: exposure, field: field, at: at, path: in}
		}
	}
	return errors.Join(errs...)
}

// of returns the rule that replaces the contract's for an RPC: the last one of its
// exposure, else of the exposure's files, else of another exposure that names the RPC; nil
// for none.
func (o *overrides) of(m *Method) *override {
	var last *override
	for _, r := range o.own[string(m.Desc.FullName())] {
		if last == nil || r.exposure == m.Exposure || last.exposure != m.Exposure {
			last = &r
		}
	}
	switch fromFile, ok := o.files[m.Exposure][string(m.Desc.FullName())]; {
	case last != nil && last.exposure == m.Exposure:
		return last
	case ok:
		return &fromFile
	default:
		return last
	}
}

// warnings tell of rules that do not count.
func (o *overrides) warnings(methods []*Method, c *contracts) []string {
	return append(o.replaced(methods), o.unknownSelectors(c)...)
}

// replaced warns of rules that another rule for the same RPC replaces. A file may replace
// the rules of an earlier file, and the configuration those of all files; a rule that is
// replaced in its own file is probably a mistake.
func (o *overrides) replaced(methods []*Method) []string {
	var list []string
	for _, m := range methods {
		counts := m.override
		for _, r := range o.own[string(m.Desc.FullName())] {
			why := fmt.Sprintf("expose[%d] serves it on gRPC only", m.Exposure)
			if !o.file.exposureOf(m).GetGrpcOnly() {
				if counts.field == r.field {
					continue
				}
				why = fmt.Sprintf("the one that counts is %s at %s", counts.field, counts.at)
			}
			list = append(list, r.errorf("this rule for %s does not count: %s", m.Desc.FullName(), why).Error())
		}
		for _, r := range o.again[m.Exposure] {
			if r.rule.GetSelector() == string(m.Desc.FullName()) {
				list = append(list, r.errorf("this rule for %s does not count: the one that counts is %s at %s",
					m.Desc.FullName(), counts.field, counts.at).Error())
			}
		}
	}
	return list
}

// unknownSelectors warns of rules in files for RPCs that the upstream does not have.
func (o *overrides) unknownSelectors(c *contracts) []string {
	var list []string
	for i, x := range o.file.Config.GetExpose() {
		var names []string
		for name := range o.files[i] {
			if c.method(x.GetUpstream(), protoreflect.FullName(name)) == nil {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			list = append(list, o.file.Errorf(fmt.Sprintf("expose[%d].http_file", i),
				"these rules do not count, because upstream %q has no such RPC: %s", x.GetUpstream(), shortList(names)).Error())
		}
	}
	return list
}
