package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/descriptorpb"
)

// TestCheckAgainstFile: what was published, and another configuration, take the place of a
// gateway that runs.
func TestCheckAgainstFile(t *testing.T) {
	t.Parallel()
	file := write(t, againstConfig)
	folder := filepath.Dir(file)
	mended(t, folder, func(*descriptorpb.FileDescriptorProto) {})
	files := map[string]string{"config": filepath.Join(folder, "old.yaml"), "json": filepath.Join(folder, "old.json"), "yaml": filepath.Join(folder, "openapi.yaml")}
	save := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(files["config"], againstConfig)
	for _, format := range []string{"json", "yaml"} {
		code, text, stderr := run(t, "openapi", "--config", file, "--format", format)
		if code != 0 {
			t.Fatal(stderr)
		}
		save(files[format], text)
	}
	for _, test := range []struct {
		name, from, to string
		code           int
		want           []string // of each of the files
		ofConfig       []string
	}{
		{"nothing", "", "", 0, nil, []string{"no difference"}},
		{"timeout", "timeout: 2s", "timeout: 1s", 0, []string{"published:", "timeout: 2s -> 1s: calls that take longer fail with 504 (TIMEOUT_NO_SHORTER)  may break clients"}, []string{"policies:"}},
		{"longer", "timeout: 2s", "timeout: 3s", 0, nil, []string{"policies:"}},
		{
			"RPC", `select: "shop.pricing.v1.*"`, `select: "shop.pricing.v1.PricingService.GetPrice"`, 1,
			[]string{"! GET /v1/prices:batchGet shop.pricing.v1.PricingService.BatchGetPrices: the operation is gone", "would break clients; set reload.allow_breaking"}, []string{"routes:"},
		},
		{"errors", "upstreams:", "errors: {format: problem}\nupstreams:", 1, []string{"! GET /v1/prices ", "error media type: application/json -> application/problem+json"}, []string{"~ errors.format"}},
		{"allowed", "upstreams:", "errors: {format: problem}\nreload: {allow_breaking: true}\nupstreams:", 0, []string{"error media type"}, nil},
		{"limit", "upstreams:", "limits: {max_body_bytes: 1KiB}\nupstreams:", 0, []string{"? limit max_body_bytes: 4194304 -> 1024"}, []string{"takes a restart"}},
	} {
		save(file, strings.Replace(againstConfig, test.from, test.to, 1))
		for kind, other := range files {
			code, stdout, stderr := run(t, "check", "--config", file, "--against", other)
			if code != test.code {
				t.Errorf("%s, %s: exit code %d, want %d: %s%s", test.name, kind, code, test.code, stdout, stderr)
			}
			want := test.want
			if kind == "config" {
				want = append(want, test.ofConfig...)
			} else if want == nil {
				want = []string{"nothing that breaks clients of what was published"}
			}
			for _, text := range want {
				if !strings.Contains(stdout+stderr, text) {
					t.Errorf("%s, %s: does not say %q:\n%s%s", test.name, kind, text, stdout, stderr)
				}
			}
		}
	}
	save(files["json"], `{"openapi": "3.1.0", "paths": 1}`)
	if code, _, stderr := run(t, "check", "--config", file, "--against", files["json"]); code != 1 || !strings.Contains(stderr, "old.json: paths: this cannot be a number") {
		t.Errorf("got %d %q", code, stderr)
	}
}

// TestCheckAgainstCORS: between configurations, origins are compared too, which a document
// does not show.
func TestCheckAgainstCORS(t *testing.T) {
	t.Parallel()
	const cors = "cors: {allow_origins: [\"https://a.example\", \"https://b.example\"]}\nupstreams:"
	file := write(t, strings.Replace(againstConfig, "upstreams:", cors, 1))
	mended(t, filepath.Dir(file), func(*descriptorpb.FileDescriptorProto) {})
	next := filepath.Join(filepath.Dir(file), "next.yaml")
	if err := os.WriteFile(next, []byte(strings.Replace(againstConfig, "upstreams:", strings.Replace(cors, `"https://a.example", `, "", 1), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := run(t, "check", "--config", next, "--against", file); code != 1 || !strings.Contains(stdout, "! CORS origin: https://a.example -> (none)") {
		t.Errorf("got %d %s", code, stdout)
	}
}

// TestOwnDocument: check tells how a document of one's own differs from what is served.
func TestOwnDocument(t *testing.T) {
	t.Parallel()
	file := write(t, againstConfig+"openapi: {file: own.yaml}\n")
	folder := filepath.Dir(file)
	mended(t, folder, func(*descriptorpb.FileDescriptorProto) {})
	own := "swagger: '2.0'\nbasePath: /v1\npaths:\n  /prices: {get: {}}\n  /prices:quote: {post: {}}\n  /{name}: {get: {}}\n  /gone: {get: {}}\n"
	if err := os.WriteFile(filepath.Join(folder, "own.yaml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, "check", "--config", file)
	if code != 0 {
		t.Errorf("%d: %s", code, stdout)
	}
	for _, want := range []string{
		"own.yaml lacks what is served: GET /v1/prices:batchGet, PATCH /v1/{price.name=products/*/price}\n",
		"own.yaml has what is not served: GET /v1/gone\n",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("does not say %q: %s", want, stderr)
		}
	}
}
