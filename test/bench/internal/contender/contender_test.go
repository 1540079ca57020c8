package contender_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"gopkg.in/yaml.v3"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/token"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// config is what the tests look at.
type config struct {
	Listeners map[string]struct{ Address string }
	Upstreams []struct {
		Target string
		Schema struct{ Image string }
	}
	Authenticators []struct {
		Name string
		Jwt  struct {
			Issuer    string
			Audiences []string
			KeysFile  string `yaml:"jwks_file"`
		}
	}
	Expose []struct {
		Policy map[string]yaml.Node
	}
}

func writeConfig(t *testing.T, name string) config {
	t.Helper()
	c, err := workload.Find("routes-1000")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	s := contender.Settings{Listen: "127.0.0.1:1", Backend: "127.0.0.1:2", Case: c, KeySet: []byte(`{"keys":[]}`)}
	if err := contender.WriteConfig(file, name, s, "127.0.0.1:3", "127.0.0.1:4"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var written config
	if err := yaml.Unmarshal(text, &written); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return written
}

func TestWriteConfig(t *testing.T) {
	for _, name := range []string{contender.Gatehouse, contender.Policies} {
		t.Run(name, func(t *testing.T) {
			config := writeConfig(t, name)
			for listener, want := range map[string]string{"http": "127.0.0.1:1", "grpc": "127.0.0.1:3", "admin": "127.0.0.1:4"} {
				if got := config.Listeners[listener].Address; got != want {
					t.Errorf("listener %s is at %q, want %q", listener, got, want)
				}
			}
			if got := config.Upstreams[0].Target; got != "passthrough:///127.0.0.1:2" {
				t.Errorf("target is %q", got)
			}
			image, err := os.ReadFile(config.Upstreams[0].Schema.Image)
			if err != nil {
				t.Fatal(err)
			}
			if err := proto.Unmarshal(image, new(descriptorpb.FileDescriptorSet)); err != nil {
				t.Errorf("the contract is not an image: %v", err)
			}
		})
	}
}

// TestPoliciesOfContenders wants nothing in either contender that answers in
// the backend's place: the benchmark would measure that.
func TestPoliciesOfContenders(t *testing.T) {
	const off = "disabled: true"
	for name, want := range map[string]map[string]string{
		contender.Gatehouse: {
			"auth": "public: true", "rate_limit": "- unlimited: true", "concurrency": "- unlimited: true", "timeout": "10s",
			"retry": off, "breaker": off, "cache": off, "fallback": off, "idempotency": off,
		},
		contender.Policies: {
			"auth": "accept: [idp]", "rate_limit": "- requests: 1000000\n  per: 1s\n  key: caller.id", "concurrency": "- unlimited: true", "timeout": "10s",
			"retry": "safe: true", "breaker": "{}", "cache": off, "fallback": off, "idempotency": off,
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := writeConfig(t, name).Expose[0].Policy
			if len(policy) != len(want) {
				t.Errorf("%d policies are set, want %d", len(policy), len(want))
			}
			for field, text := range want {
				node := policy[field]
				if got, wanted := plainly(t, &node), parse(t, text); !reflect.DeepEqual(got, wanted) {
					t.Errorf("%s is %v, want %v", field, got, wanted)
				}
			}
		})
	}
}

func plainly(t *testing.T, node *yaml.Node) (v any) {
	t.Helper()
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t *testing.T, text string) (v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestKeysAreWhereTheConfigurationSays, and only there where tokens are verified.
func TestKeysAreWhereTheConfigurationSays(t *testing.T) {
	known := writeConfig(t, contender.Policies).Authenticators
	if len(known) != 1 || known[0].Name != "idp" {
		t.Fatalf("authenticators are %v, want idp", known)
	}
	jwt := known[0].Jwt
	if jwt.Issuer != token.Issuer || !slices.Equal(jwt.Audiences, []string{token.Audience}) {
		t.Errorf("tokens are of %q for %q", jwt.Issuer, jwt.Audiences)
	}
	if keys, err := os.ReadFile(jwt.KeysFile); err != nil || string(keys) != `{"keys":[]}` {
		t.Errorf("the keys are %s, %v", keys, err)
	}
	if known := writeConfig(t, contender.Gatehouse).Authenticators; len(known) != 0 {
		t.Errorf("without policies, authenticators are %v", known)
	}
}

func TestWhoTakesPart(t *testing.T) {
	with := 0
	for _, c := range workload.Cases() {
		for _, name := range contender.Names() {
			takes := contender.TakesPart(name, c)
			if name == contender.Policies && takes {
				with++
			}
			wanted := name != contender.Facade || c.Door == workload.REST
			if name != contender.Policies && takes != wanted {
				t.Errorf("that %s takes part in %s is %v, want %v", name, c.Name, takes, wanted)
			}
		}
	}
	if with != 1 {
		t.Errorf("policies are measured in %d cases, want 1", with)
	}
}

func TestRunNamesTheRoles(t *testing.T) {
	err := contender.Run(context.Background(), "referee", contender.Settings{})
	if err == nil || !strings.Contains(err.Error(), "want backend, facade or floor") {
		t.Errorf("got %v, want an error that names the roles", err)
	}
}

func TestRunNeedsAnAddress(t *testing.T) {
	for _, role := range []string{"backend", "facade", "floor"} {
		err := contender.Run(context.Background(), role, contender.Settings{Listen: "127.0.0.1:-1", Backend: "127.0.0.1:2", Case: workload.Cases()[0]})
		if err == nil {
			t.Errorf("%s: an address that cannot be is no error", role)
		}
	}
}
