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
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/nearest"
)

// override is an HTTP rule that takes the place of the contract's.
type override struct {
	rule     *annotations.HttpRule
	exposure int
	field    string // of the configuration: the rule, or the file that has it

	at   config.Position
	path string // of the rule in what has it
}

func (o *override) inFile() bool { return o.path != o.field }

func (o *override) errorf(format string, args ...any) error {
	return config.Errors{{Position: o.at, Path: o.path, Text: fmt.Sprintf(format, args...)}}
}

// overrides are the HTTP rules of the configuration and of its files.
type overrides struct {
	own   map[string][]override       // full method name -> rules of the configuration, in its order
	files map[int]map[string]override // exposure -> full method name -> rule that counts of those in files
	again map[int][]override          // exposure -> rules in files that a later rule of the same file replaces
	read  map[string]*config.HTTPFile // by path
}

// addOverrides collects the HTTP rules of the configuration and its files by
// method.
func (b *Builder) addOverrides(chosen []*Method) error {
	b.overrides = overrides{
		own: map[string][]override{}, files: map[int]map[string]override{}, again: map[int][]override{}, read: map[string]*config.HTTPFile{},
	}
	known := map[string]bool{}
	for _, e := range chosen {
		known[string(e.Desc.FullName())] = true
	}
	var errs []error
	for i, x := range b.file.Config.GetExpose() {
		for j, r := range x.GetHttp() {
			name := cmp.Or(r.GetSelector(), x.GetSelect()) // of a rule below a select that names one RPC
			field := fmt.Sprintf("expose[%d].http[%d]", i, j)
			if !known[name] {
				errs = append(errs, b.file.Errorf(field+".selector", "%q is not an exposed RPC%s",
					name, nearest.DidYouMean(name, slices.Sorted(maps.Keys(known)))))
			}
			b.overrides.own[name] = append(b.overrides.own[name], override{rule: r, exposure: i, field: field, at: b.file.Position(field), path: field})
		}
		errs = append(errs, b.readHTTPFiles(i, x))
	}
	return errors.Join(errs...)
}

// readHTTPFiles reads the files of an exposure. Of several rules for one RPC the
// last one counts.
func (b *Builder) readHTTPFiles(exposure int, x *configv1.Exposure) error {
	b.overrides.files[exposure] = map[string]override{}
	var errs []error
	for i, path := range x.GetHttpFile() {
		field := fmt.Sprintf("expose[%d].http_file[%d]", exposure, i)
		file := b.overrides.read[path]
		if file == nil {
			var err error
			if file, err = config.ReadHTTPFile(path); err != nil {
				if _, placed := errors.AsType[config.Errors](err); !placed {
					err = b.file.Errorf(field, "%v", err)
				}
				errs = append(errs, err)
				continue
			}
			b.overrides.read[path] = file
		}
		for j, r := range file.Rules {
			if before := b.overrides.files[exposure][r.GetSelector()]; before.at.File == path {
				b.overrides.again[exposure] = append(b.overrides.again[exposure], before)
			}
			at, in := file.Place(j)
			b.overrides.files[exposure][r.GetSelector()] = override{rule: r, exposure: exposure, field: field, at: at, path: in}
		}
	}
	return errors.Join(errs...)
}

// overrideOf is the rule that takes the place of the contract's for an RPC: the
// last one of its exposure, else of the exposure's files, else of another exposure
// that names the RPC; nil for none.
func (b *Builder) overrideOf(e *Method) *override {
	var last *override
	for _, o := range b.overrides.own[string(e.Desc.FullName())] {
		if last == nil || o.exposure == e.Exposure || last.exposure != e.Exposure {
			last = &o
		}
	}
	switch fromFile, ok := b.overrides.files[e.Exposure][string(e.Desc.FullName())]; {
	case last != nil && last.exposure == e.Exposure:
		return last
	case ok:
		return &fromFile
	default:
		return last
	}
}

// bindingsOf are the bindings by which an RPC is served: the configuration's if it
// has any, else the contract's own, below the prefix that its upstream has. What
// cannot be a binding has its error.
func (b *Builder) bindingsOf(e *Method) []*contract.Binding {
	switch {
	case b.exposureAt(e).GetGrpcOnly():
		return nil
	case e.override == nil:
		return b.prefixed(e.Upstream, e.Method.Bindings)
	}
	if e.override.inFile() {
		return contract.BindingsOf(e.override.rule, "http rule of "+e.override.at.File)
	}
	return contract.BindingsOf(e.override.rule, "http rule of the configuration")
}

// replaced warns of rules that do not count, since another rule for the RPC does. A
// file may replace the rules of an earlier one, and the configuration those of all
// files: only a rule that is replaced in its own file is a mistake.
func (b *Builder) replaced() []string {
	var list []string
	for _, e := range b.exposed {
		counts := e.override
		for _, o := range b.overrides.own[string(e.Desc.FullName())] {
			why := fmt.Sprintf("expose[%d] serves it on gRPC only", e.Exposure)
			if !b.exposureAt(e).GetGrpcOnly() {
				if counts.field == o.field {
					continue
				}
				why = fmt.Sprintf("the one that counts is %s at %s", counts.field, counts.at)
			}
			list = append(list, o.errorf("this rule for %s does not count: %s", e.Desc.FullName(), why).Error())
		}
		for _, o := range b.overrides.again[e.Exposure] {
			if o.rule.GetSelector() == string(e.Desc.FullName()) {
				list = append(list, o.errorf("this rule for %s does not count: the one that counts is %s at %s",
					e.Desc.FullName(), counts.field, counts.at).Error())
			}
		}
	}
	return list
}

// unknownSelectors warns of rules in files for RPCs that the upstream does not have.
func (b *Builder) unknownSelectors() []string {
	var list []string
	for i, x := range b.file.Config.GetExpose() {
		var names []string
		for name := range b.overrides.files[i] {
			if b.contracts[x.GetUpstream()].Set.Method(protoreflect.FullName(name)) == nil {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			list = append(list, b.file.Errorf(fmt.Sprintf("expose[%d].http_file", i),
				"these rules do not count, because upstream %q has no such RPC: %s", x.GetUpstream(), several(names)).Error())
		}
	}
	return list
}
