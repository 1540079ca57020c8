package compile

import (
	"errors"
	"fmt"
	"strings"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// settings are the configuration that is compiled.
type settings struct{ *config.File }

// exposureOf is the exposure of an RPC.
func (s settings) exposureOf(m *Method) *configv1.Exposure { return s.Config.GetExpose()[m.Exposure] }

// upstreamNamed returns nil for a name that no upstream has.
func (s settings) upstreamNamed(name string) *configv1.Upstream {
	for _, u := range s.Config.GetUpstreams() {
		if u.GetName() == name {
			return u
		}
	}
	return nil
}

// upstreamField is the path of a field of an upstream.
func (s settings) upstreamField(name, field string) string {
	for i, u := range s.Config.GetUpstreams() {
		if u.GetName() == name {
			return fmt.Sprintf("upstreams[%d].%s", i, field)
		}
	}
	return "upstreams"
}

// Place locates the mistakes in err, which are about the settings in a field.
func Place(file *config.File, field string, err error) error {
	var errs []error
	for _, e := range interceptors.FieldErrors(interceptors.Within(field, err)) {
		errs = append(errs, file.Errorf(e.Path, "%v", e.Err))
	}
	return errors.Join(errs...)
}

// shortList lists names, as many as one can read.
func shortList(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
