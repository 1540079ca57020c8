package config_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

const docsPath = "../../docs/CONFIG.md"

// TestDocs proves that docs/CONFIG.md says what the schema's comments say;
// -update writes it.
func TestDocs(t *testing.T) {
	example, err := os.ReadFile("testdata/example.yml")
	if err != nil {
		t.Fatal(err)
	}
	intro, err := os.ReadFile("testdata/docs.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(strings.Replace(string(intro), "{{example}}", strings.TrimSpace(string(example)), 1))
	d := newDocs(t)
	d.find((&configv1.Config{}).ProtoReflect().Descriptor(), "")
	for _, md := range d.order {
		d.section(&b, md)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(docsPath), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, docsPath, b.String())
}

// TestExample proves that the example of docs/CONFIG.md works.
func TestExample(t *testing.T) {
	t.Setenv("CATALOG", "catalog:9000")
	if _, err := config.Load("testdata/example.yml"); err != nil {
		t.Error(err)
	}
}

// TestDocumentedDefaults proves that the defaults that comments name are those
// in force.
func TestDocumentedDefaults(t *testing.T) {
	d := newDocs(t)
	for path, want := range defaults {
		if path == "upstreams.max_receive_bytes" {
			want = "limits.max_message_bytes"
		}
		md := (&configv1.Config{}).ProtoReflect().Descriptor()
		var field protoreflect.FieldDescriptor
		for step := range strings.SplitSeq(path, ".") {
			field = md.Fields().ByName(protoreflect.Name(step))
			md = field.Message()
		}
		if _, said := d.text(field); !strings.Contains(said, "`"+strings.Trim(want, `"`)+"`") {
			t.Errorf("the default of %s is %s; its comment says %q", path, want, said)
		}
	}
}

// docs are the comments of the schema and where its messages are used.
type docs struct {
	comments map[string]string // by name below the package, as in "Json.profile"
	order    []protoreflect.MessageDescriptor
	paths    map[protoreflect.FullName][]string
}

func newDocs(t *testing.T) *docs {
	t.Helper()
	d := &docs{comments: map[string]string{}, paths: map[protoreflect.FullName][]string{}}
	paths, err := filepath.Glob("../../proto/gatehouse/*/v1/*.proto")
	if err != nil || len(paths) < 2 {
		t.Fatalf("the schema is in %v: %v", paths, err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		d.read(bufio.NewScanner(f))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// read takes the comments before messages and fields, as `buf format` lays
// them out.
func (d *docs) read(lines *bufio.Scanner) {
	block := regexp.MustCompile(`^(?:message|enum|oneof) (\w+) {$`)
	field := regexp.MustCompile(`^(?:optional |repeated )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+[ ;]`)
	var comment, scope []string
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if text, ok := strings.CutPrefix(line, "//"); ok {
			comment = append(comment, strings.TrimSpace(text))
			continue
		}
		if m := block.FindStringSubmatch(line); m != nil {
			scope = append(scope, m[1])
			d.comments[strings.Join(scope, ".")] = strings.Join(comment, " ")
		} else if m := field.FindStringSubmatch(line); m != nil {
			d.comments[strings.Join(append(slices.Clip(scope), m[1]), ".")] = strings.Join(comment, " ")
		}
		switch {
		case strings.HasSuffix(line, "{") && block.FindString(line) == "":
			scope = append(scope, "")
		case strings.HasPrefix(line, "}") && len(scope) > 0:
			scope = scope[:len(scope)-1]
		}
		comment = nil
	}
}

// inPackage is the name of a declaration below its package.
func inPackage(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
}

// text is what the comment says of a field, and the default it names.
func (d *docs) text(field protoreflect.FieldDescriptor) (text, standard string) {
	key := inPackage(field)
	if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		key = fmt.Sprintf("%s.%s", inPackage(oneof), field.Name())
	}
	text, standard, _ = strings.Cut(d.comments[key], "Default: ")
	return strings.TrimSpace(text), strings.TrimSuffix(standard, ".")
}

// find lists the messages of the schema in the order of the file, with the
// paths that lead to them.
func (d *docs) find(md protoreflect.MessageDescriptor, path string) {
	if !strings.HasPrefix(string(md.FullName()), "gatehouse.") {
		return
	}
	if d.paths[md.FullName()] == nil {
		d.order = append(d.order, md)
	}
	d.paths[md.FullName()] = append(d.paths[md.FullName()], path)
	for i := range md.Fields().Len() {
		if f := md.Fields().Get(i); f.Message() != nil && !f.IsMap() {
			d.find(f.Message(), strings.TrimPrefix(path+"."+string(f.Name()), "."))
		}
	}
}

func (d *docs) section(b *strings.Builder, md protoreflect.MessageDescriptor) {
	paths := d.paths[md.FullName()]
	title := "The file"
	if paths[0] != "" {
		title = "`" + strings.Join(paths, "`, `") + "`"
	}
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| field | takes | default | |\n|---|---|---|---|\n", title, d.comments[inPackage(md)])
	for i := range md.Fields().Len() {
		field := md.Fields().Get(i)
		text, standard := d.text(field)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", field.Name(), cell(takes(field)), cell(standard), cell(text))
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// takes says what a field takes: its type and what is allowed of that.
func takes(field protoreflect.FieldDescriptor) string {
	kind := kindOf(field)
	switch {
	case field.IsMap():
		kind = "mapping of names to strings"
	case field.IsList():
		kind = "list of " + kind
	}
	if rules := allowed(field); rules != "" {
		kind += ", " + rules
	}
	return kind
}

func kindOf(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "`true` or `false`"
	case protoreflect.EnumKind:
		var names []string
		for i := 1; i < field.Enum().Values().Len(); i++ {
			prefix := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(string(field.Enum().Name()), "${1}_$2") + "_"
			value := strings.TrimPrefix(strings.ToLower(string(field.Enum().Values().Get(i).Name())), strings.ToLower(prefix))
			value = strings.ReplaceAll(strings.ReplaceAll(value, "1_", "1."), "_", "-")
			names = append(names, "`"+value+"`")
		}
		return strings.Join(names, ", ")
	case protoreflect.Uint32Kind:
		return "whole number"
	case protoreflect.Int64Kind:
		return "size"
	case protoreflect.DoubleKind:
		return "number"
	case protoreflect.MessageKind:
		switch field.Message().FullName() {
		case "google.protobuf.Duration":
			return "duration"
		case "google.api.HttpRule":
			return "[google.api.HttpRule](https://github.com/googleapis/googleapis/blob/master/google/api/http.proto)"
		default:
			return "mapping"
		}
	default:
		return "string"
	}
}

// allowed says what the constraints of the schema allow, of what has an order.
func allowed(field protoreflect.FieldDescriptor) string {
	rules, ok := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	if !ok || rules == nil {
		return ""
	}
	var list []string
	if rules.GetRequired() {
		list = append(list, "required")
	}
	m := rules.ProtoReflect()
	kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("type"))
	if kind == nil || kind.Message() == nil {
		return strings.Join(list, ", ")
	}
	of := m.Get(kind).Message()
	for _, bound := range []struct{ name, text string }{{"gt", "more than %s"}, {"gte", "at least %s"}, {"lt", "less than %s"}, {"lte", "at most %s"}} {
		f := of.Descriptor().Fields().ByName(protoreflect.Name(bound.name))
		if f == nil || !of.Has(f) {
			continue
		}
		value := of.Get(f).String()
		if f.Message() != nil {
			value = "0s"
			if d, ok := of.Get(f).Message().Interface().(*durationpb.Duration); ok {
				value = strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(d.AsDuration().String())
			}
		}
		list = append(list, fmt.Sprintf(bound.text, "`"+value+"`"))
	}
	return strings.Join(list, ", ")
}
