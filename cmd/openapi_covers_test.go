package cmd_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestOpenAPIHasAllBindings: whatever the demo serves is in the document of all versions,
// on the paths with a version and on those without.
func TestOpenAPIHasAllBindings(t *testing.T) {
	t.Parallel()
	shop := demo(t)
	text, _, _ := strings.Cut(shop.run(t, "openapi", "--format", "json"), "\nexit code")
	var doc struct {
		Paths    map[string]map[string]json.RawMessage `json:"paths"`
		Unlisted []struct {
			Binding string `json:"binding"`
		} `json:"x-gatehouse-unlisted"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	variable, wildcard := regexp.MustCompile(`\{[^=}]+\}`), regexp.MustCompile(`\*+`)
	template := regexp.MustCompile(`\{[^=}]+=([^}]+)\}`)
	form := func(path string) string {
		return wildcard.ReplaceAllString(template.ReplaceAllString(variable.ReplaceAllString(path, "*"), "$1"), "*")
	}
	known := map[string]bool{}
	for path, item := range doc.Paths {
		for verb := range item {
			known[strings.ToUpper(verb)+" "+form(path)] = true
		}
	}
	for _, u := range doc.Unlisted {
		verb, path, _ := strings.Cut(u.Binding, " ")
		known[verb+" "+form(path)] = true
	}
	served, open := 0, 0
	for line := range strings.Lines(shop.run(t, "routes")) {
		columns := strings.Split(line, "  ")
		if len(columns) < 3 || !strings.HasPrefix(columns[1], "/") {
			continue // not a binding of HTTP
		}
		served++
		if !strings.HasPrefix(columns[1], "/v") {
			open++
		}
		if !known[columns[0]+" "+form(columns[1])] {
			t.Errorf("the document lacks %s %s", columns[0], columns[1])
		}
	}
	if served == 0 || open == 0 {
		t.Errorf("the demo serves %d bindings, %d without a version", served, open)
	}
}
