package live

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// liveParts are the parts of the configuration that can change while the gateway runs.
// All others take a restart.
var liveParts = map[protoreflect.Name]bool{
	"upstreams": true, "expose": true, "json": true, "errors": true, "openapi": true, "authenticators": true,
	"cors": true, "security_headers": true, "versions": true, "reload": true, "compose": true,
}

// restart refuses a change of what cannot change live, and names each field.
func restart(old, next *config.File) error {
	fields := RestartFields(old, next)
	errs := make([]error, 0, len(fields))
	for _, field := range fields {
		errs = append(errs, next.Errorf(field, "a change of this takes a restart (SIGUSR2, or a new process); nothing was changed"))
	}
	return errors.Join(errs...)
}

// RestartFields are the fields that differ and cannot be changed while the gateway
// runs, sorted.
func RestartFields(old, next *config.File) []string {
	a, b := old.Config.ProtoReflect(), next.Config.ProtoReflect()
	fields := a.Descriptor().Fields()
	var changed map[string][2]string
	var found []string
	for i := range fields.Len() {
		f := fields.Get(i)
		if liveParts[f.Name()] || a.Get(f).Equal(b.Get(f)) {
			continue
		}
		if changed == nil {
			changed = Differences(old.Values(), next.Values())
		}
		n := len(found)
		for path := range changed {
			if top(path) == string(f.Name()) {
				found = append(found, path)
			}
		}
		if len(found) == n { // what differs is not shown
			found = append(found, string(f.Name()))
		}
	}
	slices.Sort(found)
	return found
}

// top is the part of the configuration in which a field is.
func top(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// TakesRestart tells whether a field cannot be changed while the gateway runs.
func TakesRestart(path string) bool { return !liveParts[protoreflect.Name(top(path))] }

// Differences are the values that are not the same in both, as {old, new}; "" is
// none.
func Differences(old, next map[string]string) map[string][2]string {
	changed := map[string][2]string{}
	for path, value := range old {
		if next[path] != value {
			changed[path] = [2]string{value, next[path]}
		}
	}
	for path, value := range next {
		if _, ok := old[path]; !ok {
			changed[path] = [2]string{"", value}
		}
	}
	return changed
}
