package live_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// plain is a contract that says nothing of policies: an RPC, and one to be composed of
// calls of the other.
const plain = `file {
  name: "plain.proto" package: "plain.v1" syntax: "proto3"
  message_type { name: "Ask" }
  message_type { name: "Answer" }
  message_type { name: "Page" field { name: "answer" json_name: "answer" number: 1 type: TYPE_MESSAGE type_name: ".plain.v1.Answer" label: LABEL_OPTIONAL } }
  service { name: "Backend" method { name: "Get" input_type: ".plain.v1.Ask" output_type: ".plain.v1.Answer" } }
  service { name: "Pages" method { name: "Get" input_type: ".plain.v1.Ask" output_type: ".plain.v1.Page" } }
}`

// TestDefaultTimeout: where nobody says how long a unary call may take, it is 30
// seconds, in a step of a composed RPC too. 0s is no bound.
func TestDefaultTimeout(t *testing.T) {
	t.Parallel()
	set := new(descriptorpb.FileDescriptorSet)
	if err := prototext.Unmarshal([]byte(plain), set); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "plain.binpb")
	if err := os.WriteFile(image, data, 0o600); err != nil {
		t.Fatal(err)
	}
	left := make(chan time.Duration, 1) // until the deadline, 0 for none
	backend := gatewaytest.Backend(t, gatewaytest.Script{
		"/plain.v1.Backend/Get": gatewaytest.Unary(func(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
			deadline, ok := ctx.Deadline()
			if !ok {
				left <- 0
			} else {
				left <- time.Until(deadline)
			}
			return new(emptypb.Empty), nil
		}),
	})
	started := func(timeout *durationpb.Duration) *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Config(backend, func(c *configv1.Config) {
			schema := &configv1.Schema{Source: &configv1.Schema_Image{Image: image}}
			c.Upstreams[0].Schema = schema
			c.Upstreams = append(c.Upstreams, &configv1.Upstream{Name: "pages", Composed: true, Schema: schema})
			policy := &policyv1.Policy{Auth: &policyv1.Auth{Public: new(true)}, Timeout: timeout}
			c.Expose = []*configv1.Exposure{
				{Select: "plain.v1.Backend.*", Upstream: "shop", Policy: policy}, {Select: "plain.v1.Pages.*", Upstream: "pages", Policy: policy},
			}
			c.Compose = []*composev1.Composition{{
				Rpc: "plain.v1.Pages.Get", Steps: []*composev1.Step{{Name: "answer", Call: "plain.v1.Backend.Get", Into: "answer"}},
			}}
		}))
	}
	for name, tc := range map[string]struct {
		timeout *durationpb.Duration
		least   time.Duration // a call may be slow to arrive, but not as slow as this leaves
		most    time.Duration
	}{"by default": {nil, 1, 30 * time.Second}, "as said": {durationpb.New(time.Hour), 31 * time.Second, time.Hour}, "no bound": {durationpb.New(0), 0, 0}} {
		g := started(tc.timeout)
		cc := gatewaytest.Dial(t, g.GRPC, nil)
		for _, rpc := range []string{"/plain.v1.Backend/Get", "/plain.v1.Pages/Get"} {
			if err := cc.Invoke(t.Context(), rpc, new(emptypb.Empty), new(emptypb.Empty)); err != nil {
				t.Fatalf("%s: %s: %v", name, rpc, err)
			}
			if got := <-left; got < tc.least || got > tc.most {
				t.Errorf("%s: a call of %s has %v left, want %v to %v", name, rpc, got, tc.least, tc.most)
			}
		}
	}
}
