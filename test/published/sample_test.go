package published_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// sample is a value that a schema allows. Of an object it has what must be there.
func (d *document) sample(schema map[string]any) any {
	if ref, isRef := schema["$ref"].(string); isRef {
		inner, _ := d.at(ref).(map[string]any)
		return d.sample(inner)
	}
	if value, isConst := schema["const"]; isConst {
		return value
	}
	if values, isEnum := schema["enum"].([]any); isEnum {
		return values[len(values)-1]
	}
	kind := schema["type"]
	if kinds, isList := kind.([]any); isList {
		kind = kinds[0]
	}
	switch kind {
	case "object":
		return d.sampleObject(schema)
	case "array":
		items, _ := schema["items"].(map[string]any)
		return []any{d.sample(items)}
	case "integer", "number":
		return max(1, number(schema["minimum"]))
	case "boolean":
		return true
	default:
		return sampleText(schema)
	}
}

func (d *document) sampleObject(schema map[string]any) map[string]any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range texts(schema["required"]) {
		property, _ := properties[name].(map[string]any)
		object[name] = d.sample(property)
	}
	return object
}

func sampleText(schema map[string]any) string {
	if schema["format"] == "date-time" {
		return "2026-01-31T12:30:00Z"
	}
	pattern, _ := schema["pattern"].(string)
	for _, text := range []string{"abc", "1", "1s"} {
		if regexp.MustCompile(pattern).MatchString(text) {
			return text
		}
	}
	return ""
}

func number(v any) float64 {
	switch n := v.(type) {
	case float64:
		return n
	case json.Number:
		f, err := n.Float64()
		if err == nil {
			return f
		}
	}
	return 0
}

func texts(v any) []string {
	list, _ := v.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		all = append(all, fmt.Sprint(item))
	}
	return all
}

// bodySchema is the schema of a JSON body, nil if there is none.
func (o *operation) bodySchema() map[string]any {
	if o.Body == nil {
		return nil
	}
	for _, media := range []string{"application/json", "application/x-ndjson"} {
		if content, known := o.Body.Content[media]; known {
			schema, _ := o.doc.resolve(content.Schema).(map[string]any)
			return schema
		}
	}
	return nil
}

// media is a media type of the body.
func (o *operation) media() string {
	types := slices.Sorted(maps.Keys(o.Body.Content))
	return strings.Replace(types[len(types)-1], "*/*", "text/plain", 1)
}

// target is a path with what it must have.
func (o *operation) target() string {
	path, query := o.path, url.Values{}
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(o.doc.sample(p.Schema))))
		case p.In == "query" && p.Required:
			query.Set(p.Name, fmt.Sprint(o.doc.sample(p.Schema)))
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}
