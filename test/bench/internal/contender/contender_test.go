package contender_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"gopkg.in/yaml.v3"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

func TestWriteConfig(t *testing.T) {
	c, err := workload.Find("routes-1000")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	s := contender.Settings{Listen: "127.0.0.1:1", Backend: "127.0.0.1:2", Case: c}
	if err := contender.WriteConfig(file, s, "127.0.0.1:3", "127.0.0.1:4"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Listeners map[string]struct{ Address string }
		Upstreams []struct {
			Target string
			Schema struct{ Image string }
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for name, want := range map[string]string{"http": "127.0.0.1:1", "grpc": "127.0.0.1:3", "admin": "127.0.0.1:4"} {
		if got := config.Listeners[name].Address; got != want {
			t.Errorf("listener %s is at %q, want %q", name, got, want)
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
