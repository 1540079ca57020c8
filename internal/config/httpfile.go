package config

import (
	"crypto/sha256"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/api/annotations"
)

// serviceType is the type of the files that [ReadHTTPFile] reads, as they say it.
const serviceType = "google.api.Service"

// HTTPFile holds the HTTP rules of a google.api.Service configuration. It is
// immutable.
type HTTPFile struct {
	// Rules are in the order of the file, each with a selector.
	Rules []*annotations.HttpRule
	// SHA256 is that of the file's bytes in hexadecimal.
	SHA256 string

	file File // for its name and positions
}

// ReadHTTPFile reads the section http.rules of a google.api.Service configuration,
// in YAML or JSON, strictly. All other sections are ignored. Its error is an
// [Errors], unless the file cannot be read.
func ReadHTTPFile(path string) (*HTTPFile, error) {
	data, err := readFile(path, "file of HTTP rules")
	if err != nil {
		return nil, err
	}
	d := &decoder{
		name: path, positions: map[string]Position{}, verbatim: true,
		empty: "the file is empty; it needs at least http: {rules: [...]}",
	}
	http := new(annotations.Http)
	if root := d.document(data); root != nil {
		d.service(root, http)
	}
	f := &HTTPFile{Rules: http.GetRules(), SHA256: fmt.Sprintf("%x", sha256.Sum256(data)), file: File{Name: path, positions: d.positions}}
	for i, rule := range f.Rules {
		if rule.GetSelector() == "" && len(d.errors) == 0 {
			d.errors = append(d.errors, f.file.problem(fmt.Sprintf("http.rules[%d].selector", i), "required; give the RPC in full"))
		}
	}
	if len(d.errors) > 0 {
		return nil, d.errors.sorted()
	}
	return f, nil
}

// Place is where the rule at an index of Rules is written, and its path in the file.
func (f *HTTPFile) Place(rule int) (at Position, path string) {
	path = fmt.Sprintf("http.rules[%d]", rule)
	return f.file.Position(path), path
}

// service reads the section http of a google.api.Service and checks its type.
func (d *decoder) service(root *yaml.Node, http *annotations.Http) {
	if root.Kind != yaml.MappingNode {
		d.fail(root, "", "expected a mapping with type: %s and http, got %s", serviceType, shown(root))
		return
	}
	found := false
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch key, value := root.Content[i], root.Content[i+1]; key.Value {
		case "type":
			if value.Value != serviceType {
				d.fail(value, "type", "expected %s, got %s", serviceType, shown(value))
			}
		case "http":
			if found {
				d.fail(key, "http", "is there twice; join the two")
				return
			}
			found = true
			d.message(value, http.ProtoReflect(), "http", 1)
		}
	}
	if len(http.GetRules()) == 0 && len(d.errors) == 0 {
		d.fail(root, "http.rules", "the file has no HTTP rules")
	}
}
