package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/config"
)

var update = flag.Bool("update", false, "write the golden files and docs/CONFIG.md anew")

const minimal = `
upstreams:
  - name: catalog
    target: "dns:///catalog:9000"
    schema: {linked: true}
expose:
  - select: "shop.catalog.v1.*"
    upstream: catalog
`

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what comes now (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("gatehouse.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every file in testdata is wrong.
func TestErrors(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_SET", "Very Secret")
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			_, err := config.Load(path)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "Secret") {
				t.Errorf("the error tells what was substituted: %v", err)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}

func TestLoadAbsent(t *testing.T) {
	for path, want := range map[string]string{
		"testdata/none.yml": "testdata/none.yml: cannot read the configuration: no such file or directory",
		"testdata":          "testdata: cannot read the configuration: it is a folder: want a regular file",
	} {
		if _, err := config.Load(path); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	_, err := config.Parse("a.yaml", []byte(strings.Repeat("#", 8<<20+1)))
	if err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("error %v", err)
	}
}

func TestParse(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_HOST", "catalog:{evil:true},[x]#")
	f := parse(t, `
listeners:
  http: {address: ":0", tls: {cert_file: testdata/files/cert.pem, key_file: testdata/files/cert.pem, min_version: 1.3}}
upstreams:
  - name: catalog
    target: "dns:///${GATEHOUSE_TEST_HOST}$${x}$y"
    schema: &schema {linked: true}
    tls: {}
    maxReceiveBytes: 1MiB
    authority: 8080
    keepalive: &keepalive {time: 1m30s}
  - name: other
    target: unix:/run/x.sock
    schema: *schema
    keepalive: *keepalive
expose:
  - select: shop.catalog.v1.CatalogService
    upstream: catalog
    policy: {timeout: 500ms}
    http:
      - selector: shop.catalog.v1.CatalogService.GetShelf
        get: /v2/{name=shelves/*}
        additional_bindings: [{custom: {kind: HEAD, path: /v2/shelf}}]
json: {profile: grpc-gateway, emit_defaults: false}
errors: {format: FORMAT_PROBLEM}
log: {format: json, access: false}
`[1:])
	c := f.Config
	if got, want := c.GetUpstreams()[0].GetTarget(), "dns:///catalog:{evil:true},[x]#${x}$y"; got != want {
		t.Errorf("target %q, want %q", got, want)
	}
	if u := c.GetUpstreams()[0]; u.GetTls() == nil || u.GetMaxReceiveBytes() != 1<<20 || u.GetAuthority() != "8080" {
		t.Errorf("upstream %v", u)
	}
	if got := c.GetUpstreams()[1].GetKeepalive(); got.GetTime().AsDuration().Seconds() != 90 || got.GetTimeout().AsDuration().Seconds() != 3 {
		t.Errorf("keepalive %v", got)
	}
	if got := c.GetExpose()[0].GetHttp()[0].GetAdditionalBindings()[0].GetCustom().GetKind(); got != "HEAD" {
		t.Errorf("custom kind %q", got)
	}
	want := &configv1.Json{
		Profile: configv1.Json_PROFILE_GRPC_GATEWAY, ProtoNames: new(false), EmitDefaults: new(false),
		EnumNumbers: new(false), IgnoreUnknownFields: new(true), IgnoreUnknownQuery: new(true), WrapStreams: new(true),
	}
	if diff := cmp.Diff(want, c.GetJson(), protocmp.Transform()); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
	if c.GetErrors().GetFormat() != configv1.Errors_FORMAT_PROBLEM || c.GetListeners().GetHttp().GetTls().GetMinVersion() != configv1.ServerTls_VERSION_1_3 {
		t.Errorf("errors %v, listeners %v", c.GetErrors(), c.GetListeners())
	}
	for path, want := range map[string]string{
		"upstreams[0].target":                "gatehouse.yaml:5:13",
		"upstreams[1].keepalive":             "gatehouse.yaml:14:16",
		"upstreams[1].name":                  "gatehouse.yaml:11:11",
		"expose[0].http[0].get":              "gatehouse.yaml:21:14",
		"expose[0].policy.timeout":           "gatehouse.yaml:18:23",
		"upstreams[0].authority.nothing.at":  "gatehouse.yaml:9:16",
		"limits.max_depth":                   "gatehouse.yaml:1:1",
		"listeners.http.trusted_proxies[12]": "gatehouse.yaml:2:9",
	} {
		if got := f.Position(path).String(); got != want {
			t.Errorf("position of %s is %s, want %s", path, got, want)
		}
	}
}

func TestSheddingBounds(t *testing.T) {
	for text, wrong := range map[string]bool{
		"shedding: {enabled: true, min_limit: 30, max_limit: 29}\n":  true,
		"shedding: {enabled: true, min_limit: 30, max_limit: 30}\n":  false,
		"shedding: {enabled: false, min_limit: 30, max_limit: 29}\n": false,
	} {
		_, err := config.Parse("gatehouse.yaml", []byte(text+minimal))
		if (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "shedding.max_limit: must not be less than min_limit") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func TestSubstituteFile(t *testing.T) {
	folder := t.TempDir()
	for name, data := range map[string]string{"secret": "s3cret\r\n", "two": "a\n\n", "big": strings.Repeat("x", 64<<10+1), "bin": "\xff"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(folder, "gatehouse.yaml")
	with := func(value string) string {
		return strings.Replace(minimal, "schema:", "tls: {server_name: \""+value+"\"}\n    schema:", 1)
	}
	for value, want := range map[string]string{
		"${file:secret}":                       "s3cret",
		"a${file:two}b":                        "a" + "a\n" + "b",
		"${file:" + folder + "/secret}":        "s3cret",
		"$${file:secret}":                      "${file:secret}",
		"$$${file:secret} $1 $ {x}":            "$${file:secret} $1 $ {x}",
		"${file:secret}${file:secret}":         "s3crets3cret",
		"no substitution but $$ and } and ${}": "",
	} {
		f, err := config.Parse(name, []byte(with(value)))
		if want == "" {
			if err == nil {
				t.Errorf("%s: no error", value)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got := f.Config.GetUpstreams()[0].GetTls().GetServerName(); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
	for value, want := range map[string]string{
		"${file:big}": "larger than 64 KiB", "${file:bin}": "not valid UTF-8", "${file:/dev/zero}": "want a regular file", "${file:}": "cannot read",
	} {
		if _, err := config.Parse(name, []byte(with(value))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", value, err, want)
		}
	}
}

func TestRelativePaths(t *testing.T) {
	folder := t.TempDir()
	image := filepath.Join(folder, "catalog.binpb")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse(filepath.Join(folder, "gatehouse.yaml"), []byte(strings.Replace(minimal, "linked: true", "image: catalog.binpb", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Config.GetUpstreams()[0].GetSchema().GetImage(); got != image {
		t.Errorf("image %q, want %q", got, image)
	}
}

func TestErrorsAreListed(t *testing.T) {
	_, err := config.Parse("a.yaml", []byte("upstreams: 1\nexpose: 2\n"))
	list, ok := errors.AsType[config.Errors](err)
	if !ok || len(list) != 2 || list[1].Path != "expose" || list[1].Position != (config.Position{File: "a.yaml", Line: 2, Column: 9}) {
		t.Errorf("error %#v", err)
	}
	if one, ok := errors.AsType[*config.Error](err); !ok || one.Path != "upstreams" {
		t.Errorf("error %#v", err)
	}
}

func TestErrorf(t *testing.T) {
	f := parse(t, minimal)
	got := f.Errorf("upstreams[0].schema.image", "broken %d", 7).Error()
	if want := "gatehouse.yaml:5:13: upstreams[0].schema.image: broken 7"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestNew(t *testing.T) {
	made := &configv1.Config{
		Upstreams: []*configv1.Upstream{{Name: "a", Target: "x", Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}}}},
		Expose:    []*configv1.Exposure{{Select: "*", Upstream: "b"}},
	}
	_, err := config.New(made)
	if want := `expose[0].upstream: no upstream is named "b"; did you mean "a"?`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	made.Expose[0].Upstream = "a"
	f, err := config.New(made)
	if err != nil {
		t.Fatal(err)
	}
	if f.Config.GetLimits().GetMaxDepth() != 100 || made.GetLimits() != nil {
		t.Errorf("limits %v, given %v", f.Config.GetLimits(), made.GetLimits())
	}
}

func TestWith(t *testing.T) {
	f := parse(t, minimal)
	changed, err := f.With(func(c *configv1.Config) { c.Listeners.Http.Address = "127.0.0.1:1" })
	if err != nil {
		t.Fatal(err)
	}
	if got := changed.Config.GetListeners().GetHttp().GetAddress(); got != "127.0.0.1:1" {
		t.Errorf("changed to %q", got)
	}
	if got := f.Config.GetListeners().GetHttp().GetAddress(); got != "127.0.0.1:8080" {
		t.Errorf("the first changed too: %q", got)
	}
	_, err = f.With(func(c *configv1.Config) { c.Listeners.Http.Address = "127.0.0.1:9090" })
	if err == nil || !strings.Contains(err.Error(), "is taken by") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("testdata/fuzz.yaml", data)
		if err != nil {
			list, ok := errors.AsType[config.Errors](err)
			if !ok || len(list) == 0 || err.Error() == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		var out strings.Builder
		if err := file.Print(&out); err != nil {
			t.Fatal(err)
		}
	})
}
