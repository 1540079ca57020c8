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
		{"default", health(t, 0, 0, 0), 2, 0, "default"},
		{"no descriptor", nil, 2, 0, "default"},
		{"no descriptor, exposure", nil, 0, time.Second, "gatehouse.yaml:8:23 expose[0].policy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := f.Policy(test.md, test.exposure)
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
			if want := "  timeout: " + test.want.String() + "  # " + test.origin + "\n"; out.String() != want {
				t.Errorf("printed %q, want %q", out.String(), want)
			}
		})
	}
}

// Every field of a policy has a default, so that a policy in force is whole.
func TestPolicyIsWhole(t *testing.T) {
	got, err := parse(t, minimal).Policy(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := got.Policy.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		if field := m.Descriptor().Fields().Get(i); !m.Has(field) || !field.HasPresence() {
			t.Errorf("%s has no default, or cannot be told from one", field.Name())
		}
	}
}

func TestPolicyOfContractIsChecked(t *testing.T) {
	_, err := parse(t, minimal).Policy(health(t, -time.Second, 0, 0), 0)
	for _, want := range []string{"option of rpc grpc.health.v1.Health.Check", "gatehouse.policy.v1.method", "timeout", "greater than"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
