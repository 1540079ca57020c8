package config_test

import (
	"strings"
	"testing"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// health is grpc.health.v1.Health.Check with timeouts as options; 0 is none.
func health(t *testing.T, method, service, file time.Duration) protoreflect.MethodDescriptor {
	t.Helper()
	f := protodesc.ToFileDescriptorProto(healthv1.File_grpc_health_v1_health_proto)
	s := f.GetService()[0]
	s.Options, s.Method[0].Options = new(descriptorpb.ServiceOptions), new(descriptorpb.MethodOptions)
	set := func(options proto.Message, xt protoreflect.ExtensionType, timeout time.Duration) {
		if timeout != 0 {
			proto.SetExtension(options, xt, &policyv1.Policy{Timeout: durationpb.New(timeout)})
		}
	}
	set(s.GetMethod()[0].GetOptions(), policyv1.E_Method, method)
	set(s.GetOptions(), policyv1.E_Service, service)
	set(f.GetOptions(), policyv1.E_File, file)
	made, err := protodesc.NewFile(f, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return made.Services().Get(0).Methods().Get(0)
}

func TestPolicy(t *testing.T) {
	f := parse(t, strings.TrimSpace(minimal)+`
    policy: {timeout: 1s}
  - {select: "*", upstream: catalog, policy: {timeout: 0s}}
  - {select: "a.*", upstream: catalog}
  - {select: "b.*", upstream: catalog, policy: {}}
`)
	tests := []struct {
		name     string
		md       protoreflect.MethodDescriptor
		exposure int
		want     time.Duration
		origin   string
	}{
		{"exposure", health(t, 2*time.Second, 3*time.Second, 4*time.Second), 0, time.Second, "gatehouse.yaml:8:23 expose[0].policy"},
		{"exposure says zero", health(t, 2*time.Second, 3*time.Second, 4*time.Second), 1, 0, "gatehouse.yaml:9:56 expose[1].policy"},
		{"rpc", health(t, 2*time.Second, 3*time.Second, 4*time.Second), 2, 2 * time.Second, "option of rpc grpc.health.v1.Health.Check"},
		{"service", health(t, 0, 3*time.Second, 4*time.Second), 3, 3 * time.Second, "option of service grpc.health.v1.Health"},
		{"file", health(t, 0, 0, 4*time.Second), 2, 4 * time.Second, "option of file grpc/health/v1/health.proto"},
		{"default", health(t, 0, 0, 0), 2, 30 * time.Second, "default"},
		{"no descriptor", nil, 2, 30 * time.Second, "default"},
		{"no descriptor, exposure", nil, 0, time.Second, "gatehouse.yaml:8:23 expose[0].policy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := f.Merger().Policy(test.md, test.exposure)
			if err != nil {
				t.Fatal(err)
			}
			if got.Policy.GetTimeout().AsDuration() != test.want || got.Origin["timeout"] != test.origin {
				t.Errorf("timeout %v from %q, want %v from %q", got.Policy.GetTimeout().AsDuration(), got.Origin["timeout"], test.want, test.origin)
			}
			var out strings.Builder
			if err := got.Print(&out, "  "); err != nil {
				t.Fatal(err)
			}
			want := "  timeout: " + test.want.String() + "  # " + test.origin + "\n  priority: normal  # default\n"
			if out.String() != want {
				t.Errorf("printed %q, want %q", out.String(), want)
			}
		})
	}
}

// Every field of a policy is set that has a default by its comment, and is the
// default that the comment names; fields without one are the user's to give.
func TestPolicyIsWhole(t *testing.T) {
	got, err := parse(t, strings.TrimSpace(minimal)+`
    policy:
      auth: {}
      rate_limit: {requests: 7}
      concurrency: {limit: 7}
      retry: {hedge: {}}
      breaker: {}
      fallback: {}
      cache: {}
      idempotency: {}
`).Merger().Policy(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := got.Print(&out, ""); err != nil {
		t.Fatal(err)
	}
	d := newDocs(t)
	checked := 0
	var walk func(m protoreflect.Message)
	walk = func(m protoreflect.Message) {
		for i := range m.Descriptor().Fields().Len() {
			field := m.Descriptor().Fields().Get(i)
			switch {
			case field.IsList() && field.Message() != nil && m.Has(field):
				walk(m.Get(field).List().Get(0).Message())
			case field.Message() != nil && field.Message().FullName() != "google.protobuf.Duration" && !field.IsMap() && !field.IsList() && m.Has(field):
				walk(m.Get(field).Message())
			}
			_, said := d.text(field)
			if !strings.HasPrefix(said, "`") {
				continue
			}
			checked++
			want, _, _ := strings.Cut(strings.TrimPrefix(said, "`"), "`")
			if want == "requests" {
				want = "7"
			}
			plain := strings.NewReplacer("[", "", "]", "", "'", "", `"`, "")
			if line := string(field.Name()) + ": " + plain.Replace(want); !strings.Contains(plain.Replace(out.String()), line) {
				t.Errorf("%s: no line %q in\n%s", field.FullName(), line, out.String())
			}
		}
	}
	walk(got.Policy.ProtoReflect())
	if checked < 40 {
		t.Errorf("only %d defaults were looked at", checked)
	}
}

// A part of a policy is merged field by field, but for who may call.
func TestPartsOfAPolicyAreMerged(t *testing.T) {
	f := parse(t, strings.TrimSpace(minimal)+`
    policy: {retry: {attempts: 5}, fallback: {response: "{}"}, auth: {public: true}, rate_limit: [{requests: 1}, {requests: 2, burst: 9}]}
`)
	md := health(t, 0, 0, 0)
	options, ok := md.Options().(*descriptorpb.MethodOptions)
	if !ok {
		t.Fatal("no options")
	}
	proto.SetExtension(options, policyv1.E_Method, &policyv1.Policy{
		Retry:     &policyv1.Retry{Attempts: proto.Uint32(2), Multiplier: proto.Float64(3)},
		Fallback:  &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: durationpb.New(time.Minute)}},
		Auth:      &policyv1.Auth{Accept: []string{"idp"}, Scopes: []string{"read"}},
		RateLimit: []*policyv1.RateLimit{{Requests: proto.Uint32(100)}},
	})
	got, err := f.Merger().Policy(md, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Policy
	if p.GetRetry().GetAttempts() != 5 || p.GetRetry().GetMultiplier() != 3 {
		t.Errorf("retry %v, want attempts of the exposure and the multiplier of the RPC", p.GetRetry())
	}
	if p.GetFallback().GetLastGood() != nil || p.GetFallback().GetResponse() != "{}" {
		t.Errorf("fallback %v, want the response alone", p.GetFallback())
	}
	if !p.GetAuth().GetPublic() || len(p.GetAuth().GetAccept())+len(p.GetAuth().GetScopes()) != 0 {
		t.Errorf("auth %v, want the exposure's alone", p.GetAuth())
	}
	if limits := p.GetRateLimit(); len(limits) != 2 || limits[0].GetBurst() != 1 || limits[1].GetBurst() != 9 {
		t.Errorf("limits %v, want the exposure's two", limits)
	}
	for path, want := range map[string]string{
		"retry.attempts": "gatehouse.yaml:8:", "retry.multiplier": "option of rpc", "retry.max_backoff": "default", "auth.public": "gatehouse.yaml:8:",
	} {
		if !strings.HasPrefix(got.Origin[path], want) {
			t.Errorf("%s is from %q, want %s", path, got.Origin[path], want)
		}
	}
}

func TestPolicyOfContractIsChecked(t *testing.T) {
	_, err := parse(t, minimal).Merger().Policy(health(t, -time.Second, 0, 0), 0)
	for _, want := range []string{"option of rpc grpc.health.v1.Health.Check", "gatehouse.policy.v1.method", "timeout", "greater than"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
