package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

// FuzzYAML: a reader of YAML finds the texts and names that a reader of JSON finds.
func FuzzYAML(f *testing.F) {
	for _, text := range []string{
		"", " ", "a", "true", "No", "null", "~", "1", "1e3", "0x1f", "-", "- a", "a: b", "a #b", "#", "a ", " a", "{}", "[", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a`",
		"a\nb", "\na", "a\n", "a\n\n b", "a\n b\n\tc", "a\n  \nb", "a\n  ", "\ta\nb", "a\r\nb", "---\na", "a\n---\nb", "...", "<<", "=", "2001-01-01", "12:30",
		"\"", "\\", "'", "\x00", "\x7f", "a\x7f\nb", "\u0085", "a\u0085b", "\u2028", "\ufeff", "\ufffe", "\xff", "é", "\u65e5\u672c\n\u8a9e", "😀", "$ref", "/v1/{a}", "a-b", "y", ".inf",
		strings.Repeat("k", 1100), strings.Repeat("é", 700), strings.Repeat("a\n", 600) + "b",
	} {
		f.Add(text)
	}
	things := nasty(f)
	f.Fuzz(func(t *testing.T, text string) {
		source := &openapi.Source{Config: config.Default()}
		source.Config.Openapi = &configv1.OpenApi{Title: text, Description: text + "\n" + text, Servers: []*configv1.OpenApi_Server{{Url: text}}}
		source.Config.Authenticators = []*policyv1.Authenticator{{Name: text}}
		m := *things.Methods[0]
		m.Policy = &policyv1.Policy{Auth: &policyv1.Auth{Accept: []string{text}, Scopes: []string{text}}}
		m.Bindings = []*contract.Binding{m.Bindings[0]}
		source.Methods = []*openapi.Method{&m}
		sameInBoth(t, source)
	})
}

// sameInBoth has the document read in both formats.
func sameInBoth(t *testing.T, s *openapi.Source) {
	t.Helper()
	var fromJSON, fromYAML any
	inJSON := write(t, s, openapi.JSON)
	if err := json.Unmarshal(inJSON, &fromJSON); err != nil {
		t.Fatalf("%v: %s", err, inJSON)
	}
	inYAML := write(t, s, openapi.YAML)
	if err := yaml.Unmarshal(inYAML, &fromYAML); err != nil {
		t.Fatalf("%v: %s", err, inYAML)
	}
	again, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("JSON and YAML differ: %s", diff)
	}
}

// TestYAMLIsJSON: a reader of YAML finds the document that a reader of JSON finds.
func TestYAMLIsJSON(t *testing.T) {
	t.Parallel()
	sameInBoth(t, nasty(t))
}
