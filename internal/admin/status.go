package admin

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/internal/certs"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
)

// Result is how a reload ended.
type Result string

// The results.
const (
	Taken     Result = "ok"
	Refused   Result = "refused"
	Unchanged Result = "unchanged"
)

// Attempt is how the last reload ended.
type Attempt struct {
	At      time.Time       `json:"at"`
	Trigger compile.Trigger `json:"trigger"`
	Result  Result          `json:"result"`
	Errors  []string        `json:"errors,omitempty"` // why it was refused, one mistake each
}

// Status is what the gateway serves by, and how the last reload ended.
type Status struct {
	File    string          `json:"file,omitempty"` // "" for a configuration that a program made
	SHA256  string          `json:"sha256,omitempty"`
	Since   time.Time       `json:"since"`   // when the table in force was built
	Trigger compile.Trigger `json:"trigger"` // why it was
	Reloads
	// Config has the values of all fields of the configuration by path, without the values
	// of substitutions. Text is the same as YAML.
	Config map[string]string `json:"values"`
	Text   string            `json:"config"`
	// Policies are the fields of the policies in force, by RPC and path.
	Policies map[string]map[string]string `json:"policies"`
}

// Reloads is what package live knows beside the table in force.
type Reloads struct {
	Last *Attempt `json:"last_attempt"`
	// Draining is how many replaced tables have calls that still run.
	Draining int `json:"draining"`
	// Certificates are those in use, and why one cannot be read anew.
	Certificates []certs.State `json:"certificates"`
}

// StatusOf returns the status of a gateway that serves by a table.
func StatusOf(t *compile.Table, r Reloads) Status {
	var text strings.Builder
	_ = t.File.Print(&text) // to memory, which does not fail
	s := Status{
		File: t.File.Name, SHA256: t.File.SHA256, Since: t.Since, Trigger: t.Trigger, Reloads: r,
		Config: t.File.Values(), Text: text.String(), Policies: map[string]map[string]string{},
	}
	for _, m := range t.Methods {
		s.Policies[m.Name] = m.Effective.Values()
	}
	return s
}

// Contract is a google.protobuf.FileDescriptorSet of the RPCs that are served, in
// wire bytes: each file behind those that it imports. Where upstreams differ about
// a file, it is that of the first RPC, by name, that needs it.
func Contract(t *compile.Table) ([]byte, error) {
	set := new(descriptorpb.FileDescriptorSet)
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] || file.IsPlaceholder() {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	for _, m := range t.Edge.Methods() {
		if m.Desc != nil {
			add(m.Desc.ParentFile())
		}
	}
	return proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(set)
}
