package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// nasty is the source of the documents of testdata/nasty.
func nasty(t testing.TB, changes ...func(*configv1.Config)) *openapi.Source {
	t.Helper()
	return source(t, "testdata/nasty.binpb.gz", changes...)
}

// source is the source of the documents of an image, whose RPCs anybody may call.
func source(t testing.TB, image string, changes ...func(*configv1.Config)) *openapi.Source {
	t.Helper()
	data, err := contract.ReadImage(image)
	if err != nil {
		t.Fatal(err)
	}
	return sourceOf(t, data, changes...)
}

func sourceOf(t testing.TB, image []byte, changes ...func(*configv1.Config)) *openapi.Source {
	t.Helper()
	set, err := contract.ParseImage("image", image)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	for _, change := range changes {
		change(c)
	}
	s := &openapi.Source{Config: c, Comment: set.Comments().Leading}
	for name := range set.Methods() {
		desc := set.Method(name)
		m := contract.NewMethod(desc, "upstream")
		policy := config.DefaultPolicy()
		policy.Auth = &policyv1.Auth{Public: new(true)}
		s.Methods = append(s.Methods, &openapi.Method{Desc: desc, Bindings: m.Bindings, Policy: policy})
	}
	return s
}

// write is the document without a version, in a format.
func write(t *testing.T, s *openapi.Source, format openapi.Format) []byte {
	t.Helper()
	doc, err := s.Document("")
	if err != nil {
		t.Fatal(err)
	}
	text, err := doc.Write(format)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNasty: the whole document of a contract that has what is hard to publish. The suite
// test/openapi has validators read it.
func TestNasty(t *testing.T) {
	t.Parallel()
	golden(t, "nasty.golden.yaml", write(t, nasty(t), openapi.YAML))
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

// at finds a value in a document by the names and positions that lead to it.
func at(t *testing.T, text []byte, path []any) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step.(string)]
		case []any:
			value = v[step.(int)]
		default:
			return nil
		}
	}
	return value
}

// TestSettings: what of the document the configuration changes.
func TestSettings(t *testing.T) {
	t.Parallel()
	schema := func(path ...any) []any { return append([]any{"components", "schemas"}, path...) }
	for _, test := range []struct {
		name   string
		change func(*configv1.Config)
		path   []any
		want   any
	}{
		{"title", func(c *configv1.Config) { c.Openapi.Title = "Things" }, []any{"info", "title"}, "Things"},
		{"servers", func(c *configv1.Config) { c.Openapi.Servers = []*configv1.OpenApi_Server{{Url: "https://a.example"}} }, []any{"servers", 0, "url"}, "https://a.example"},
		{"no servers", nil, []any{"servers", 0, "url"}, "/"},
		{"license", func(c *configv1.Config) {
			c.Openapi.License = &configv1.OpenApi_License{Name: "MIT", Identifier: "MIT"}
		}, []any{"info", "license", "identifier"}, "MIT"},
		{"tags", func(c *configv1.Config) {
			c.Openapi.Tags = []*configv1.OpenApi_Tag{{Name: "Things", Description: "All things."}, {Name: "Nothing"}}
		}, []any{"tags", 0}, map[string]any{"name": "Things", "description": "All things."}},
		{"external docs", func(c *configv1.Config) {
			c.Openapi.ExternalDocs = &configv1.OpenApi_ExternalDocs{Url: "https://a.example"}
		}, []any{"externalDocs", "url"}, "https://a.example"},
		{"no title", nil, []any{"info", "title"}, "API"},
		{"no version", nil, []any{"info", "version"}, "1.0.0"},
		{"unknown fields are refused", nil, schema("nasty.v1.ThingInput", "additionalProperties"), false},
		{"unknown fields are ignored", func(c *configv1.Config) { c.Json.IgnoreUnknownFields = new(true) }, schema("nasty.v1.ThingInput", "additionalProperties"), nil},
		{"two alike are one", func(c *configv1.Config) { c.Json.IgnoreUnknownFields = new(true) }, schema("nasty.other.v1.ErrorResponseInput"), nil},
		{"proto names", func(c *configv1.Config) { c.Json.ProtoNames = new(true) }, schema("nasty.v1.Thing", "properties", "int64_value", "format"), "int64"},
		{"defaults are written", func(c *configv1.Config) { c.Json.EmitDefaults = new(true) }, schema("nasty.v1.Thing", "properties", "begin", "type", 1), "null"},
		{"aip193", nil, schema("gatehouse.ErrorResponse", "properties", "error", "$ref"), "#/components/schemas/ErrorBody"},
		{"Any is no class of Python", nil, schema("ProtobufAny", "properties", "@type", "type"), "string"},
		{"status", func(c *configv1.Config) { c.Errors.Format = configv1.Errors_FORMAT_STATUS }, schema("Status", "required", 2), "details"},
		{"problem", func(c *configv1.Config) { c.Errors.Format = configv1.Errors_FORMAT_PROBLEM }, []any{"components", "responses", "Error400", "content", "application/problem+json", "schema", "$ref"}, "#/components/schemas/Problem"},
		{"wrapped streams", func(c *configv1.Config) { c.Json.WrapStreams = new(true) }, []any{"paths", "/v1/things/{thing}:watch", "get", "responses", "200", "content", "application/json", "schema", "required", 0}, "result"},
		{"enum numbers", func(c *configv1.Config) { c.Json.EnumNumbers = new(true) }, schema("Thing.State", "x-enum-varnames", 1), "STATE_ON"},
		{"no policies", func(c *configv1.Config) { c.Openapi.Policies = configv1.OpenApi_POLICIES_NONE }, []any{"paths", "/v1/query", "get", "x-gatehouse-policy"}, nil},
		{"promises", nil, []any{"paths", "/v1/query", "get", "x-gatehouse-policy", "priority"}, nil},
		{"all policies", func(c *configv1.Config) { c.Openapi.Policies = configv1.OpenApi_POLICIES_ALL }, []any{"paths", "/v1/query", "get", "x-gatehouse-policy", "priority"}, "PRIORITY_NORMAL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			change := test.change
			if change == nil {
				change = func(*configv1.Config) {}
			}
			text := write(t, nasty(t, change), openapi.JSON)
			if diff := cmp.Diff(test.want, at(t, text, test.path)); diff != "" {
				t.Errorf("%v: %s", test.path, diff)
			}
		})
	}
}
