package published_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is what the tests of policies read of an OpenAPI document.
type document struct {
	Paths      map[string]map[string]*operation `json:"paths"`
	Components struct {
		SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
	} `json:"components"`

	whole    any // the document as JSON Schema finds it
	compiler *jsonschema.Compiler
}

type securityScheme struct {
	Type, Scheme, Name string
}

type operation struct {
	ID         string `json:"operationId"`
	Parameters []*struct {
		Name, In string
		Required bool
		Schema   map[string]any
		Content  map[string]any
	}
	Body *struct {
		Required bool
		Content  map[string]struct{ Schema map[string]any }
		MaxBytes int64 `json:"x-gatehouse-max-bytes"`
	} `json:"requestBody"`
	Responses  map[string]any
	Security   []map[string][]string
	RateLimits []rateLimit     `json:"x-ratelimit"`
	Degraded   *map[string]any `json:"x-gatehouse-degraded"`
	Sunset     string          `json:"x-sunset"`
	Stream     string          `json:"x-gatehouse-stream"`
	Policy     struct {
		Idempotency *struct{ Required bool }
		Cache       *struct{ TTL string }
	} `json:"x-gatehouse-policy"`

	method, path string
	doc          *document
}

type rateLimit struct {
	Name                  string
	Requests, Burst, Cost int
	Per                   string
}

const documentURL = "https://gateway.example/openapi.json"

func parse(t *testing.T, text string) *document {
	t.Helper()
	d := &document{compiler: jsonschema.NewCompiler()}
	var err error
	if d.whole, err = jsonschema.UnmarshalJSON(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, d.whole); err != nil {
		t.Fatal(err)
	}
	return d
}

// operations are those of a document, in order.
func (d *document) operations() []*operation {
	var all []*operation
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			o := d.Paths[path][method]
			o.method, o.path, o.doc = strings.ToUpper(method), path, d
			all = append(all, o)
		}
	}
	return all
}

// at finds a value by a JSON pointer, through references.
func (d *document) at(pointer string) any {
	value := d.whole
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "#/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		object, _ := value.(map[string]any)
		value = d.resolve(object[step])
	}
	return value
}

func (d *document) resolve(value any) any {
	object, _ := value.(map[string]any)
	if ref, isRef := object["$ref"].(string); isRef && len(object) == 1 {
		return d.at(ref)
	}
	return value
}

// response is where the document describes a status, and what it says; nil if nothing.
func (o *operation) response(status string) (pointer string, _ map[string]any) {
	r, _ := o.Responses[status].(map[string]any)
	if ref, isRef := r["$ref"].(string); isRef {
		found, _ := o.doc.at(ref).(map[string]any)
		return ref, found
	}
	return "#/paths/" + escaped(o.path) + "/" + strings.ToLower(o.method) + "/responses/" + status, r
}

func escaped(step string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(step) }

// validate checks an answer against what the document says of its status.
func (o *operation) validate(status, media, body string) error {
	pointer, r := o.response(status)
	content, _ := r["content"].(map[string]any)
	if _, known := content[media]; !known {
		if _, anything := content["*/*"]; anything {
			return nil
		}
		return fmt.Errorf("its media type is %q, and the document has %q", media, slices.Sorted(maps.Keys(content)))
	}
	schema, err := o.doc.compiler.Compile(documentURL + pointer + "/content/" + url.PathEscape(escaped(media)) + "/schema")
	if err != nil {
		return err
	}
	documents := []string{body}
	if media == "application/x-ndjson" {
		documents = slices.Collect(strings.Lines(body))
	}
	for _, text := range documents {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			return fmt.Errorf("it is no JSON: %w", err)
		}
		if err := schema.Validate(value); err != nil {
			return err
		}
	}
	return nil
}
