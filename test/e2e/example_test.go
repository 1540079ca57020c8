package e2e_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestExample has the example's configuration checked as its readers would,
// with nothing behind it, and wants etcd's bindings listed.
func TestExample(t *testing.T) {
	if *direct {
		return // it is about the gateway alone
	}
	config := writeExample(t, "127.0.0.1:2379")
	gatehouse := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), *program, args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	gatehouse("check", "--config", config)
	routes := gatehouse("routes", "--config", config)
	for _, want := range []string{"/v3/kv/range", "/v3/kv/lease/timetolive", "/v3/watch", "/v3/lock/lock", "/v3/election/campaign"} {
		if !strings.Contains(routes, want) {
			t.Errorf("no route to %s in:\n%s", want, routes)
		}
	}
}
