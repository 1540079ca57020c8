package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	configpkg "github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const againstConfig = `listeners: {http: {address: "127.0.0.1:0"}, grpc: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
upstreams:
  - {name: shop, target: "passthrough:///127.0.0.1:1", schema: {image: shop.binpb}}
expose:
  - {select: "shop.pricing.v1.*", upstream: shop, policy: {auth: {public: true}, timeout: 2s}, metadata: {request: {set: {x-token: a}}}}
`

// mended writes the image with a change.
func mended(t *testing.T, folder string, change func(*descriptorpb.FileDescriptorProto)) {
	t.Helper()
	data, err := os.ReadFile(image(t, "google/type/money.proto"))
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	for _, file := range set.GetFile() {
		if file.GetPackage() == "shop.pricing.v1" {
			change(file)
		}
	}
	if data, err = proto.Marshal(set); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "shop.binpb"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheckAgainst(t *testing.T) {
	file := write(t, againstConfig)
	folder := filepath.Dir(file)
	mended(t, folder, func(*descriptorpb.FileDescriptorProto) {})
	conf, err := configpkg.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g := gatewaytest.StartOptions(t, live.Options{Config: conf})
	for _, tc := range []struct {
		name   string
		from   string
		to     string
		change func(*descriptorpb.FileDescriptorProto)
		code   int
		want   []string
	}{
		{name: "nothing", want: []string{"no difference, but for secrets, which are not compared"}},
		{name: "secret", from: "x-token: a", to: "x-token: b", want: []string{"no difference, but for secrets, which are not compared"}},
		{name: "metadata", from: "{x-token: a}", to: "{x-token: a, x-more: b}", want: []string{"configuration:", "~ expose[0].metadata.request.set.x-more: (none) -> REDACTED"}},
		{name: "policy", from: "timeout: 2s", to: "timeout: 3s", want: []string{"policies:", "~ shop.pricing.v1.PricingService/GetPrice timeout: 2s -> 3s"}},
		{
			name: "routes", code: 1, from: `select: "shop.pricing.v1.*"`, to: `select: "shop.pricing.v1.PricingService.GetPrice"`,
			want: []string{"routes:", "- GET /v1/prices:batchGet shop.pricing.v1.PricingService/BatchGetPrices"},
		},
		{name: "upstream", from: "127.0.0.1:1\"", to: "127.0.0.1:2\"", want: []string{"configuration:", "~ upstreams[0].target: passthrough:///127.0.0.1:1 -> passthrough:///127.0.0.1:2"}},
		{
			name: "restart", from: "upstreams:", to: "limits: {max_headers: 7}\nupstreams:",
			want: []string{"~ limits.max_headers: 100 -> 7  (takes a restart)", "1 field cannot be changed while the gateway runs"},
		},
		{
			name: "compatible", change: func(f *descriptorpb.FileDescriptorProto) {
				f.MessageType[0].Field = append(f.MessageType[0].Field, &descriptorpb.FieldDescriptorProto{
					Name: new("more"), Number: proto.Int32(99), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
					Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), JsonName: new("more"),
				})
			}, want: []string{"contract:", "breaks nobody"},
		},
		{
			name: "breaking", code: 1, change: dropBatch,
			want: []string{"! shop.pricing.v1.PricingService.BatchGetPrices: the RPC is gone (RPC_NO_DELETE)  breaks clients", "set reload.allow_breaking"},
		},
		{name: "allowed", from: "upstreams:", to: "reload: {allow_breaking: true}\nupstreams:", change: dropBatch, want: []string{"RPC_NO_DELETE"}},
	} {
		change := tc.change
		if change == nil {
			change = func(*descriptorpb.FileDescriptorProto) {}
		}
		mended(t, folder, change)
		if err := os.WriteFile(file, []byte(strings.Replace(againstConfig, tc.from, tc.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := run(t, "check", "--config", file, "--against", g.Admin)
		if code != tc.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", tc.name, code, tc.code, stdout, stderr)
		}
		for _, want := range tc.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: does not say %q:\n%s%s", tc.name, want, stdout, stderr)
			}
		}
	}
}

func dropBatch(f *descriptorpb.FileDescriptorProto) {
	for _, s := range f.GetService() {
		s.Method = slices.DeleteFunc(s.GetMethod(), func(m *descriptorpb.MethodDescriptorProto) bool { return m.GetName() == "BatchGetPrices" })
	}
}

func TestCheckAgainstNobody(t *testing.T) {
	code, _, stderr := run(t, "check", "--config", write(t, good), "--against", gatewaytest.Unreachable(t))
	if code != 1 || !strings.Contains(stderr, "--against") {
		t.Errorf("got %d %q", code, stderr)
	}
}
