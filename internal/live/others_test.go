package live_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "google.golang.org/genproto/googleapis/api/annotations" // for options in JSON
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// others is a contract of somebody else. RPCs by what is wrong with their rules:
// B has the binding of A, C names no field, D has no path, E has two bindings that
// are right and one that is not, F nests.
const others = `{"package": "o.v1", "syntax": "proto3", "dependency": ["google/api/annotations.proto"],
	"messageType": [
		{"name": "M", "field": [{"name": "id", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING"}]},
		{"name": "Old", "field": [{"name": "set", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_MESSAGE", "typeName": ".o.v1.OldSet"}]}],
	"service": [{"name": "Empty"}, {"name": "S", "method": [
		{"name": "A", IO, "options": {"[google.api.http]": {"get": "/v1/{id}"}}},
		{"name": "B", IO, "options": {"[google.api.http]": {"get": "/v1/{id=*}"}}},
		{"name": "C", IO, "options": {"[google.api.http]": {"get": "/c/{nope}"}}},
		{"name": "D", IO, "options": {"[google.api.http]": {"body": "*"}}},
		{"name": "E", IO, "options": {"[google.api.http]": {"post": "/e", "body": "*", "additional_bindings": [{"get": "/e/{id"}, {"get": "/e/{id}"}]}}},
		{"name": "F", IO, "options": {"[google.api.http]": {"get": "/f", "additional_bindings": [{"get": "/f/{id}", "additional_bindings": [{"get": "/ff"}]}]}}},
		{"name": "G", "inputType": ".o.v1.M", "outputType": ".o.v1.Old"}]}]}`

const oldSet = `{"package": "o.v1", "syntax": "proto2", "messageType": [
	{"name": "OldSet", "extensionRange": [{"start": 4, "end": 2147483647}], "options": {"messageSetWireFormat": true}}]}`

// othersImage is the image of that contract.
func othersImage(t *testing.T) []byte {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	for _, f := range []struct{ name, text string }{
		{"o/v1/s.proto", strings.NewReplacer("IO,", `"inputType": ".o.v1.M", "outputType": ".o.v1.M",`,
			`["google/api/annotations.proto"]`, `["google/api/annotations.proto", "o/v1/old.proto"]`).Replace(others)},
		{"o/v1/old.proto", oldSet},
	} {
		file := new(descriptorpb.FileDescriptorProto)
		if err := protojson.Unmarshal([]byte(f.text), file); err != nil {
			t.Fatal(err)
		}
		file.Name = new(f.name)
		set.File = append(set.File, file)
	}
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// othersBackend answers with the name of the RPC and what it got.
func othersBackend(t *testing.T) string {
	script := gatewaytest.Script{}
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		script["/o.v1.S/"+name] = gatewaytest.Unary(func(_ context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String(name + " " + in.GetValue()), nil
		})
	}
	return gatewaytest.Backend(t, script)
}

// othersConfig is a configuration with one exposure, of which more is said.
func othersConfig(backend, selected, more string) string {
	return strings.NewReplacer("BACKEND", backend, "SELECT", selected, "MORE", more).Replace(
		`listeners: {http: {address: "127.0.0.1:0"}, grpc: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
upstreams:
  - {name: others, target: "passthrough:///BACKEND", schema: {image: others.binpb}}
expose:
  - select: SELECT
    upstream: others
    policy: {auth: {public: true}}
MORE
reload: {interval: 10ms}
`)
}

func newOthers(t *testing.T) *folder {
	t.Helper()
	f := newFolder(t)
	f.put("others.binpb", othersImage(t))
	return f
}

// refusal is the error of a gateway of that configuration, with the folder cut out.
func (f *folder) refusal(text string) string {
	f.t.Helper()
	f.put("gatehouse.yaml", []byte(text))
	file, err := config.Load(filepath.Join(f.path, "gatehouse.yaml"))
	if err == nil {
		_, err = live.New(f.t.Context(), live.Options{Config: file, LogTo: io.Discard})
	}
	if err == nil {
		f.t.Fatalf("not refused:\n%s", text)
	}
	return strings.ReplaceAll(err.Error(), f.path+"/", "")
}

func (f *folder) get(path string) string {
	f.t.Helper()
	a := gatewaytest.Do(f.t, gatewaytest.Client(f.t), f.Request(f.t, "GET", path, ""))
	if a.StatusCode != 200 {
		return a.Status
	}
	return a.Text
}

// grpc calls an RPC of the contract over gRPC.
func (f *folder) grpc(name string) (string, codes.Code) {
	f.t.Helper()
	out := new(wrapperspb.StringValue)
	err := gatewaytest.Dial(f.t, f.GRPC, nil).Invoke(f.t.Context(), "/o.v1.S/"+name, wrapperspb.String("x"), out, grpc.WaitForReady(true))
	return out.GetValue(), status.Code(err)
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// TestRulesThatAreWrong: all of them are told at once, each with its place, and of
// two bindings that are the same both RPCs, once each.
func TestRulesThatAreWrong(t *testing.T) {
	f := newOthers(t)
	got := f.refusal(othersConfig("127.0.0.1:1", "o.v1.S", "    except: [o.v1.S.G]"))
	for _, want := range []string{
		"gatehouse.yaml:5:5: expose[0]: google.api.http: GET /v1/{id=*} of o.v1.S.B: it is the same binding as GET /v1/{id} of o.v1.S.A (google.api.http); change or remove one\n",
		"gatehouse.yaml:5:5: expose[0]: google.api.http: GET /c/{nope} of o.v1.S.C: ",
		"gatehouse.yaml:5:5: expose[0]: google.api.http: of o.v1.S.D: it has no method and path",
		"gatehouse.yaml:5:5: expose[0]: google.api.http, additional_bindings[0]: GET /e/{id of o.v1.S.E: ",
		"gatehouse.yaml:5:5: expose[0]: google.api.http, additional_bindings[0]: GET /f/{id} of o.v1.S.F: it has additional_bindings of its own",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("does not say %q:\n%s", want, got)
		}
	}
	if lines := strings.Count(got, "\n") + 1; lines != 5 {
		t.Errorf("%d errors, want 5:\n%s", lines, got)
	}
}

// TestSkipBadRules: all that is right is served, and each rule that is skipped is a
// warning, a line of the routes, a line of the log, and counted.
func TestSkipBadRules(t *testing.T) {
	f := newOthers(t)
	f.serve(othersConfig(othersBackend(t), "o.v1.S", "    except: [o.v1.S.G]\n    bad_rules: skip"))
	check(t, "the first of two", f.get("/v1/x"), `{"id":"A x"}`)
	check(t, "what is right beside what is not", f.get("/e/x"), `{"id":"E x"}`)
	check(t, "a first rule that is right", f.get("/f?id=x"), `{"id":"F x"}`)
	check(t, "one that is not", f.get("/f/x"), "404 Not Found")
	for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
		if got, code := f.grpc(name); got != name+" x" {
			t.Errorf("gRPC: %s: %q, %v", name, got, code)
		}
	}
	warnings := f.Gateway.Gateway.Table().Warnings
	if len(warnings) != 5 {
		t.Errorf("warnings:\n%s", strings.Join(warnings, "\n"))
	}
	for i, rpc := range []string{"o.v1.S.B", "o.v1.S.C", "o.v1.S.D", "o.v1.S.E", "o.v1.S.F"} {
		if !strings.Contains(warnings[i], "gatehouse.yaml:5:5: expose[0]: google.api.http") || !strings.Contains(warnings[i], "of "+rpc+": ") || !strings.HasSuffix(warnings[i], "; skipped") {
			t.Errorf("warning %q is not about %s", warnings[i], rpc)
		}
	}
	var routes []admin.Route
	if err := json.Unmarshal([]byte(f.admin("/routes")), &routes); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range routes {
		mark := ""
		if r.Skipped != "" {
			mark = "!"
		}
		got = append(got, strings.TrimSpace(mark+r.Verb+" "+r.Path+" "+strings.TrimPrefix(r.Method, "/o.v1.S/")))
	}
	check(t, "routes", strings.Join(got, "\n"), strings.Join([]string{
		"GET /v1/{id} A", "!GET /v1/{id=*} B", "B", "!GET /c/{nope} C", "C", "!  D", "D",
		"POST /e E", "!GET /e/{id E", "GET /e/{id} E", "GET /f F", "!GET /f/{id} F",
	}, "\n"))
	for path, want := range map[string]string{"/v1/x": "GET /v1/{id=*} o.v1.S/B", "/f/x": "GET /f/{id} o.v1.S/F", "/f": "", "/nowhere": ""} {
		e, err := admin.Explain(t.Context(), f.Gateway.Gateway.Table(), "GET", path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, s := range e.Skipped {
			got += s.Binding + " " + s.RPC
			if !strings.Contains(s.Why, "expose[0]: google.api.http") {
				t.Errorf("%s: no reason: %q", path, s.Why)
			}
		}
		check(t, "explain of "+path, got, want)
	}
	if v := sumOf(t, f.Gateway, "gatehouse_skipped_http_rules"); v != 5 {
		t.Errorf("gatehouse_skipped_http_rules %v, want 5", v)
	}

	// A reload that skips others has them in the log.
	f.put("gatehouse.yaml", []byte(othersConfig(othersBackend(t), "o.v1.S", "    except: [o.v1.S.G, o.v1.S.A]\n    bad_rules: skip")))
	gatewaytest.Eventually(t, "the log has what is skipped", func() bool {
		return strings.Contains(f.Log.String(), "of o.v1.S.C: ") && strings.Contains(f.Log.String(), "; skipped")
	})
	check(t, "the other of two, now alone", f.get("/v1/x"), `{"id":"B x"}`)
	if v := sumOf(t, f.Gateway, "gatehouse_skipped_http_rules"); v != 4 {
		t.Errorf("gatehouse_skipped_http_rules %v, want 4", v)
	}
}

// TestOwnRulesAreNeverSkipped: nor does a binding that may be skipped take the path
// of one that may not, whichever comes first.
func TestOwnRulesAreNeverSkipped(t *testing.T) {
	f := newOthers(t)
	got := f.refusal(othersConfig("127.0.0.1:1", "o.v1.S", "    except: [o.v1.S.G]\n    bad_rules: skip\n    http: [{selector: o.v1.S.A, get: \"/a/{nope}\"}]"))
	if want := "gatehouse.yaml:10:12: expose[0].http[0]: GET /a/{nope} of o.v1.S.A: "; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("got %s\nwant %s...", got, want)
	}
	f.serve(othersConfig(othersBackend(t), "o.v1.S", "    except: [o.v1.S.G]\n    bad_rules: skip\n    http: [{selector: o.v1.S.C, get: \"/v1/{id}\"}]"))
	check(t, "the configuration's own", f.get("/v1/x"), `{"id":"C x"}`)
}

// TestExcept: what is left out is not served, unless another exposure names it.
func TestExcept(t *testing.T) {
	f := newOthers(t)
	f.serve(othersConfig(othersBackend(t), `"o.v1.*"`, `    except: [o.v1.S.B, o.v1.S.C, o.v1.S.D, o.v1.S.E, o.v1.S.F, o.v1.S.G]
  - {select: o.v1.S.B, upstream: others, policy: {auth: {public: true}}, http: [{get: "/b/{id}"}]}`))
	check(t, "what is not left out", f.get("/v1/x"), `{"id":"A x"}`)
	check(t, "what another exposure names", f.get("/b/x"), `{"id":"B x"}`)
	if got, code := f.grpc("C"); code != codes.Unimplemented {
		t.Errorf("what is left out: %q, %v", got, code)
	}
	for _, wrong := range []struct{ more, want string }{
		{"    except: [o.v1.S.a]", `gatehouse.yaml:8:14: expose[0].except[0]: "o.v1.S.a" matches no RPC that select "o.v1.S" names; did you mean "o.v1.S.A"?`},
		{"    except: [o.v1.S]", `gatehouse.yaml:8:13: expose[0].except: leaves out all that select "o.v1.S" names`},
		{"    except: [\"a b\"]", `gatehouse.yaml:8:14: expose[0].except[0]: "a b" is not allowed`},
		{"    except: [o.v1.S.A]\n    http: [{selector: o.v1.S.A, get: /a}]", `gatehouse.yaml:9:23: expose[0].http[0].selector: "o.v1.S.A" is left out by except`},
	} {
		if got := f.refusal(othersConfig("127.0.0.1:1", "o.v1.S", wrong.more)); !strings.Contains(got, wrong.want) {
			t.Errorf("%s:\n got %s\nwant %s", wrong.more, got, wrong.want)
		}
	}
}

// TestEmptyHTTP: no bindings at all, and the rest stays.
func TestEmptyHTTP(t *testing.T) {
	for _, said := range []string{"http: []", "grpc_only: true"} {
		f := newOthers(t)
		f.serve(othersConfig(othersBackend(t), "o.v1.S.A", "    "+said))
		check(t, said, f.get("/v1/x"), "404 Not Found")
		if got, code := f.grpc("A"); got != "A x" {
			t.Errorf("%s: gRPC: %q, %v", said, got, code)
		}
		if routes := admin.Routes(f.Gateway.Gateway.Table()); len(routes) != 1 || routes[0].Verb != "" {
			t.Errorf("%s: routes %v", said, routes)
		}
		// What may be repeated may be repeated on gRPC too.
		if safe := f.Gateway.Gateway.Table().Methods[0].Effective.Policy.GetRetry(); safe != nil && !safe.GetSafe() {
			t.Errorf("%s: the RPC has become one that must not be repeated", said)
		}
		var text strings.Builder
		if err := f.Gateway.Gateway.Table().File.Print(&text); err != nil || !strings.Contains(text.String(), "grpc_only: true") {
			t.Errorf("%s: printed as %s", said, text.String())
		}
		// Without it, the bindings of the contract are back.
		f.put("gatehouse.yaml", []byte(strings.Replace(othersConfig(othersBackend(t), "o.v1.S.A", ""), "\n\n", "\n", 1)))
		gatewaytest.Eventually(t, "the contract's binding", func() bool { return f.get("/v1/x") == `{"id":"A x"}` })
	}
	f := newOthers(t)
	got := f.refusal(othersConfig("127.0.0.1:1", "o.v1.S.A", "    grpc_only: true\n    http: [{get: /a}]"))
	if want := "gatehouse.yaml:9:11: expose[0].http: gives HTTP bindings to what is served on gRPC only"; !strings.HasPrefix(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestRepeatedSelector: the last rule for an RPC counts, and check says so. A rule
// of the exposure that serves the RPC counts before those of others.
func TestRepeatedSelector(t *testing.T) {
	f := newOthers(t)
	f.serve(othersConfig(othersBackend(t), "o.v1.S.A", `    http:
      - {get: "/first/{id}"}
      - {selector: o.v1.S.A, get: "/second/{id}", additional_bindings: [{get: "/third/{id}"}]}
  - select: "o.v1.*"
    upstream: others
    except: [o.v1.S.B, o.v1.S.C, o.v1.S.D, o.v1.S.E, o.v1.S.F, o.v1.S.G]
    http: [{selector: o.v1.S.A, get: "/fourth/{id}"}]`))
	for path, want := range map[string]string{
		"/first/x": "404 Not Found", "/second/x": `{"id":"A x"}`, "/third/x": `{"id":"A x"}`, "/fourth/x": "404 Not Found", "/v1/x": "404 Not Found",
	} {
		check(t, path, f.get(path), want)
	}
	warnings := strings.ReplaceAll(strings.Join(f.Gateway.Gateway.Table().Warnings, "\n"), f.path+"/", "")
	for _, want := range []string{
		"gatehouse.yaml:9:9: expose[0].http[0]: this rule for o.v1.S.A does not count: the one that counts is expose[0].http[1] at gatehouse.yaml:10:9",
		"gatehouse.yaml:14:12: expose[1].http[0]: this rule for o.v1.S.A does not count: the one that counts is expose[0].http[1] at gatehouse.yaml:10:9",
	} {
		if !strings.Contains(warnings, want) {
			t.Errorf("does not warn %q:\n%s", want, warnings)
		}
	}
}

// serviceConfig is a configuration as teams have it, with sections that nobody here
// knows.
const serviceConfig = `type: google.api.Service
config_version: 3
name: others.example.com
apis:
- name: o.v1.S
documentation:
  rules: [{selector: "*", description: "${HOME}"}]
unknown_section: !whatever {a: ~}
http:
  rules:
  - selector: o.v1.S.A
    get: /replaced/{id}
  - selector: o.v1.S.B
    get: /b/{id}
    additional_bindings:
    - post: /b
      body: "*"
  - selector: o.v1.S.A
    get: /a/{id}
  - selector: google.longrunning.Operations.GetOperation
    get: /operations/{name}
`

// TestHTTPFile: the rules of a service configuration take the place of the
// contract's, and are taken anew when the file changes.
func TestHTTPFile(t *testing.T) {
	f := newOthers(t)
	f.put("service.yaml", []byte(serviceConfig))
	f.put("more.json", []byte(`{"type": "google.api.Service", "http": {"rules": [{"selector": "o.v1.S.E", "get": "/json/{id}"}]}}`))
	const more = `    except: [o.v1.S.C, o.v1.S.D, o.v1.S.F, o.v1.S.G]
    http_file: [service.yaml, more.json]
    http: [{selector: o.v1.S.B, get: "/own/{id}"}]`
	f.serve(othersConfig(othersBackend(t), "o.v1.S", strings.Replace(more, "    http: [{selector: o.v1.S.B, get: \"/own/{id}\"}]", "", 1)))
	for path, want := range map[string]string{
		"/a/x": `{"id":"A x"}`, "/b/x": `{"id":"B x"}`, "/json/x": `{"id":"E x"}`, "/replaced/x": "404 Not Found", "/v1/x": "404 Not Found", "/e/x": "404 Not Found",
	} {
		check(t, path, f.get(path), want)
	}
	check(t, "an additional binding", gatewaytest.Do(t, gatewaytest.Client(t), f.Request(t, "POST", "/b", `{"id": "y"}`, "content-type: application/json")).Text, `{"id":"B y"}`)
	warnings := strings.Join(f.Gateway.Gateway.Table().Warnings, "\n")
	if want := "service.yaml:11:5: http.rules[0]: this rule for o.v1.S.A does not count: the one that counts is expose[0].http_file[0] at "; !strings.Contains(warnings, want) {
		t.Errorf("does not warn %q:\n%s", want, warnings)
	}
	if want := `expose[0].http_file: these rules do not count, because upstream "others" has no such RPC: google.longrunning.Operations.GetOperation`; !strings.HasSuffix(warnings, want) {
		t.Errorf("warnings %s\nwant %s", warnings, want)
	}

	f.put("service.yaml", []byte(strings.Replace(serviceConfig, "/a/{id}", "/changed/{id}", 1)))
	gatewaytest.Eventually(t, "the changed rule", func() bool { return f.get("/changed/x") == `{"id":"A x"}` })
	check(t, "the rule before", f.get("/a/x"), "404 Not Found")

	f.put("service.yaml", []byte(strings.Replace(serviceConfig, "/a/{id}", "/a/{nope}", 1)))
	f.until(admin.Refused, "service.yaml:18:5: http.rules[2]: GET /a/{nope} of o.v1.S.A: ")
	check(t, "the last good one", f.get("/changed/x"), `{"id":"A x"}`)
	f.put("service.yaml", []byte(serviceConfig))
	gatewaytest.Eventually(t, "the first again", func() bool { return f.get("/a/x") == `{"id":"A x"}` })

	f.put("gatehouse.yaml", []byte(othersConfig(othersBackend(t), "o.v1.S", more)))
	gatewaytest.Eventually(t, "the configuration's own rule wins", func() bool { return f.get("/own/x") == `{"id":"B x"}` })
	check(t, "the file's", f.get("/b/x"), "404 Not Found")
}

// TestHTTPFileThatIsWrong: each mistake has its place. A file that was gone, as an
// image may be too, is taken again once it is back.
func TestHTTPFileThatIsWrong(t *testing.T) {
	const more = "    except: [o.v1.S.C, o.v1.S.D, o.v1.S.E, o.v1.S.F, o.v1.S.G]\n    http_file: [service.yaml]"
	f := newOthers(t)
	text := othersConfig(othersBackend(t), "o.v1.S", more)
	if got := f.refusal(text); !strings.HasPrefix(got, "gatehouse.yaml:9:17: expose[0].http_file[0]: cannot read") || !strings.HasSuffix(got, "no such file") {
		t.Errorf("absent: %s", got)
	}
	for _, wrong := range []struct{ file, want string }{
		{"type: google.api.Servic\nhttp: {rules: [{selector: a.B, get: /a}]}", `service.yaml:1:7: type: expected google.api.Service, got "google.api.Servic"`},
		{"http: {rules: [{selector: o.v1.S.A, gett: /a}]}", `service.yaml:1:37: http.rules[0].gett: unknown field; did you mean "get"?`},
		{"http: {rules: [{get: /a}]}", "service.yaml:1:16: http.rules[0].selector: required"},
		{"http: {rules: []}", "service.yaml:1:1: http.rules: the file has no HTTP rules"},
		{"type: google.api.Service", "service.yaml:1:1: http.rules: the file has no HTTP rules"},
		{"http: {rules: [{selector: a.B, get: /a}]}\nhttp: {rules: []}", "service.yaml:2:1: http: is there twice"},
		{"[1]", "service.yaml:1:1: expected a mapping"},
		{"", "service.yaml:1:1: the file is empty"},
		{"http: {rules: [{selector: o.v1.S.B, get: \"/x/{id}\"}, {selector: o.v1.S.A, get: \"/x/{id}\"}]}", "service.yaml:1:16: http.rules[0]: GET /x/{id} of o.v1.S.B: it is the same binding as GET /x/{id} of o.v1.S.A (service.yaml:1:54); change or remove one"},
	} {
		f.put("service.yaml", []byte(wrong.file))
		if got := f.refusal(text); !strings.Contains(got, wrong.want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\n got %s\nwant %s", wrong.file, got, wrong.want)
		}
	}
	f.put("service.yaml", []byte(serviceConfig))
	f.serve(text)
	for _, name := range []string{"service.yaml", "others.binpb"} {
		data, err := os.ReadFile(filepath.Join(f.path, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(f.path, name)); err != nil {
			t.Fatal(err)
		}
		f.until(admin.Refused, name+": no such file")
		check(t, "the last good one", f.get("/a/x"), `{"id":"A x"}`)
		f.put(name, data)
		gatewaytest.Eventually(t, name+" is there again", func() bool { return f.status().Last.Result != admin.Refused })
	}
}

// TestSelectOfServiceWithoutRPCs: such a service is there, and says why that is no
// use.
func TestSelectOfServiceWithoutRPCs(t *testing.T) {
	f := newOthers(t)
	for selected, want := range map[string]string{
		"o.v1.Empty":      `gatehouse.yaml:5:13: expose[0].select: "o.v1.Empty" matches no RPC of upstream "others": it names o.v1.Empty, without any RPC in the contract`,
		`"o.v1.Empty.*"`:  `gatehouse.yaml:5:13: expose[0].select: "o.v1.Empty.*" matches no RPC of upstream "others": it names o.v1.Empty, without any RPC in the contract`,
		"o.v1.NotAtAll":   `"o.v1.NotAtAll" matches no RPC of upstream "others", which has o.v1.Empty, o.v1.S`,
		"o.v1.Empty.Some": `"o.v1.Empty.Some" matches no RPC of upstream "others", which has o.v1.Empty, o.v1.S`,
	} {
		if got := f.refusal(othersConfig("127.0.0.1:1", selected, "")); !strings.Contains(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", selected, got, want)
		}
	}
}

// TestMessageSetInContract: only what has one in its messages is refused, by name,
// if it is exposed.
func TestMessageSetInContract(t *testing.T) {
	f := newOthers(t)
	got := f.refusal(othersConfig("127.0.0.1:1", "o.v1.S", "    bad_rules: skip"))
	if want := "gatehouse.yaml:5:13: expose[0].select: o.v1.S.G cannot be served: its messages contain o.v1.OldSet, a MessageSet"; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("got %s\nwant %s", got, want)
	}
	f.serve(othersConfig(othersBackend(t), "o.v1.S.A", ""))
	check(t, "an RPC beside it", f.get("/v1/x"), `{"id":"A x"}`)
}
