package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is an OpenAPI document that was read. It is immutable.
type Document struct {
	OpenAPI  string                     `json:"openapi"`
	Swagger  string                     `json:"swagger"`
	BasePath string                     `json:"basePath"` // of Swagger 2.0
	Servers  []server                   `json:"servers"`
	Info     info                       `json:"info"`
	Paths    map[string]json.RawMessage `json:"paths"`

	items map[string]pathItem // by path
}

// Published is a document in the form that Gatehouse writes. It is immutable.
type Published struct {
	*Document

	Components struct {
		Schemas         map[string]*schema         `json:"schemas"`
		Responses       map[string]*response       `json:"responses"`
		SecuritySchemes map[string]*securityScheme `json:"securitySchemes"`
	} `json:"components"`
	Limits map[string]json.Number `json:"x-gatehouse-limits"`
	Cors   *cors                  `json:"x-gatehouse-cors"`

	operations map[string]*operation // by form of the path and HTTP method
}

type info struct {
	Version string `json:"version"`
}

type server struct {
	URL       string `json:"url"`
	Variables map[string]struct {
		Default string `json:"default"`
	} `json:"variables"`
}

// pathItem has operations by HTTP method, and more.
type pathItem map[string]json.RawMessage

type operation struct {
	ID         string                `json:"operationId"`
	Parameters []*parameter          `json:"parameters"`
	Body       *requestBody          `json:"requestBody"`
	Responses  map[string]*response  `json:"responses"`
	Security   []map[string][]string `json:"security"`

	RPC        string      `json:"x-gatehouse-rpc"`
	RateLimits []rateLimit `json:"x-ratelimit"`
	Degraded   *degraded   `json:"x-gatehouse-degraded"`
	Sunset     string      `json:"x-sunset"`
	Stream     string      `json:"x-gatehouse-stream"`
	Policy     *policy     `json:"x-gatehouse-policy"`

	label string // HTTP method, path and RPC
}

type parameter struct {
	Name     string                `json:"name"`
	In       string                `json:"in"`
	Required bool                  `json:"required"`
	Style    string                `json:"style"`
	Schema   *schema               `json:"schema"`
	Content  map[string]*mediaType `json:"content"`
}

type requestBody struct {
	Required bool                  `json:"required"`
	Content  map[string]*mediaType `json:"content"`
}

type response struct {
	Ref     string                     `json:"$ref"`
	Headers map[string]json.RawMessage `json:"headers"`
	Content map[string]*mediaType      `json:"content"`
}

type mediaType struct {
	Schema *schema `json:"schema"`
}

type securityScheme struct {
	Type        string `json:"type"`
	Description string `json:"description"`
	Name        string `json:"name"`
	In          string `json:"in"`
	Scheme      string `json:"scheme"`
}

// verbs are the HTTP methods that a path may have.
var verbs = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// versions are those of OpenAPI that are read, as documents begin to name them.
var versions = []string{"2.0", "3.0", "3.1"}

// Read reads an OpenAPI document in JSON or YAML. An error names the place.
func Read(text []byte) (*Document, error) {
	text, err := inJSON(text)
	if err != nil {
		return nil, err
	}
	return read(text)
}

func read(text []byte) (*Document, error) {
	d := new(Document)
	if err := decode(text, d, ""); err != nil {
		return nil, err
	}
	version := cmp.Or(d.OpenAPI, d.Swagger)
	if version == "" {
		return nil, errors.New(`it has no member such as "openapi": "3.1.0" or "swagger": "2.0"`)
	}
	if !slices.ContainsFunc(versions, func(known string) bool { return strings.HasPrefix(version, known) }) {
		return nil, fmt.Errorf("version %s of OpenAPI is not known: want %s", version, strings.Join(versions, ", "))
	}
	d.items = make(map[string]pathItem, len(d.Paths))
	for path, raw := range d.Paths {
		var item pathItem
		if err := decode(raw, &item, "paths."+path); err != nil {
			return nil, err
		}
		for _, verb := range verbs {
			if operation := bytes.TrimSpace(item[verb]); len(operation) > 0 && operation[0] != '{' {
				return nil, fmt.Errorf("paths.%s.%s: want an object", path, verb)
			}
		}
		d.items[path] = item
	}
	return d, nil
}

// ReadPublished reads a document that Gatehouse wrote.
func ReadPublished(text []byte) (*Published, error) {
	text, err := inJSON(text)
	if err != nil {
		return nil, err
	}
	p := &Published{operations: map[string]*operation{}}
	if p.Document, err = read(text); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.OpenAPI, "3.1") {
		return nil, fmt.Errorf("it is of version %s, and Gatehouse writes documents of 3.1", cmp.Or(p.OpenAPI, p.Swagger))
	}
	if err := decode(text, p, ""); err != nil {
		return nil, err
	}
	for path, item := range p.items {
		for _, verb := range verbs {
			if item[verb] == nil {
				continue
			}
			o := new(operation)
			if err := decode(item[verb], o, "paths."+path+"."+verb); err != nil {
				return nil, err
			}
			o.label = strings.TrimSpace(strings.ToUpper(verb) + " " + path + " " + o.RPC)
			p.operations[form(path)+" "+strings.ToUpper(verb)] = o
		}
	}
	return p, nil
}

// inJSON is a document in JSON.
func inJSON(text []byte) ([]byte, error) {
	if IsJSON(text) {
		return text, nil
	}
	return jsonOf(text)
}

// IsJSON tells JSON from YAML.
func IsJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

// Version is that of the document.
func (d *Document) Version() string { return d.Info.Version }

// IsDocument reports whether a file has an OpenAPI document, and not something else in
// JSON or YAML, such as a configuration.
func IsDocument(text []byte) bool {
	if IsJSON(text) {
		var head struct {
			OpenAPI any `json:"openapi"`
			Swagger any `json:"swagger"`
		}
		err := json.Unmarshal(text, &head)
		_, isText := head.OpenAPI.(string) // a configuration has settings by this name
		return err == nil && (isText || head.Swagger != nil)
	}
	return versionInYAML.Match(text)
}

// versionInYAML is the member that begins a document. To parse all of a large one for it
// would take long.
var versionInYAML = regexp.MustCompile(`(?m)^["']?(?:openapi|swagger)["']?:[ \t]*["']?[0-9]`)

// jsonOf turns YAML into JSON. Aliases are refused: with them a short text becomes a
// document of any size.
func jsonOf(text []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if line := aliasIn(&node); line > 0 {
		return nil, fmt.Errorf("line %d: an alias is not supported: write out what it stands for", line)
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	value, err := withTextKeys(value)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// aliasIn is the line of the first alias, 0 if there is none.
func aliasIn(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		return n.Line
	}
	for _, inner := range n.Content {
		if line := aliasIn(inner); line > 0 {
			return line
		}
	}
	return 0
}

// nameError is a key that is no name. Its place is put together on the way out: to have it
// ready for every value would copy the names of all that it is in.
type nameError struct {
	at  string
	key any
}

// Error says where the key is.
func (e *nameError) Error() string {
	return fmt.Sprintf("%s: %v is no name", strings.TrimPrefix(e.at, "."), e.key)
}

func within(at string, err error) error {
	if bad, ok := errors.AsType[*nameError](err); ok {
		bad.at = at + bad.at
	}
	return err
}

// withTextKeys is a value in which all names are text: YAML reads the 200 of responses as
// a number.
func withTextKeys(value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			changed, err := withTextKeys(inner)
			if err != nil {
				return nil, within("."+name, err)
			}
			v[name] = changed
		}
	case map[any]any:
		named := make(map[string]any, len(v))
		for key, inner := range v {
			switch key.(type) {
			case string, int, bool, float64:
			default:
				return nil, &nameError{key: key}
			}
			name := fmt.Sprint(key)
			changed, err := withTextKeys(inner)
			if err != nil {
				return nil, within("."+name, err)
			}
			named[name] = changed
		}
		return named, nil
	case []any:
		for i, inner := range v {
			changed, err := withTextKeys(inner)
			if err != nil {
				return nil, within(fmt.Sprintf("[%d]", i), err)
			}
			v[i] = changed
		}
	}
	return value, nil
}

// decode reads JSON. An error has the line and column, or the names of the members that
// lead to the place.
func decode(text []byte, to any, at string) error {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	err := in.Decode(to)
	if err == nil && in.More() {
		return fmt.Errorf("%s: something follows the document", position(text, in.InputOffset()))
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %s", position(text, syntax.Offset), strings.TrimPrefix(syntax.Error(), "json: "))
	case errors.As(err, &kind):
		place := strings.Trim(at+"."+kind.Field, ".")
		if place == "" {
			place = "the document"
		}
		article := "a"
		if kind.Value == "array" || kind.Value == "object" {
			article = "an"
		}
		return fmt.Errorf("%s: this cannot be %s %s", place, article, kind.Value)
	case err != nil:
		return fmt.Errorf("%s: %w", position(text, int64(len(text))), err)
	}
	return nil
}

// position is the line and column of an offset.
func position(text []byte, offset int64) string {
	before := text[:min(max(offset-1, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}

// form is a path without the names of its variables.
func form(path string) string {
	var b strings.Builder
	for path != "" {
		before, rest, found := strings.Cut(path, "{")
		b.WriteString(before)
		if !found {
			break
		}
		b.WriteString("{}")
		_, path, _ = strings.Cut(rest, "}")
	}
	return b.String()
}
