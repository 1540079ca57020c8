package live

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

func TestUsableLimit(t *testing.T) {
	const mib = 1 << 20
	for name, tc := range map[string]struct {
		runtime int64
		cgroup  uint64
		want    int64
	}{
		"none":                          {math.MaxInt64, 0, 0},
		"a cgroup without a limit":      {math.MaxInt64, math.MaxUint64, 0},
		"Go's":                          {1000 * mib, 0, 800 * mib},
		"the cgroup's":                  {math.MaxInt64, 500 * mib, 400 * mib},
		"the cgroup's, which is less":   {1000 * mib, 500 * mib, 400 * mib},
		"Go's, which is less":           {1000 * mib, 2000 * mib, 800 * mib},
		"Go's, in a cgroup without one": {1000 * mib, math.MaxUint64, 800 * mib},
	} {
		if got := usableLimit(tc.runtime, tc.cgroup); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// accounts is what a process makes of its limits.
type accounts struct{ Process, Runtime int64 }

// TestNewMemory makes the account in processes of their own, since it sets the limit of
// Go's runtime.
func TestNewMemory(t *testing.T) {
	const mib = 1 << 20
	if text, ok := os.LookupEnv("GATEHOUSE_TEST_LIMITS"); ok {
		l := new(configv1.Limits)
		if err := json.Unmarshal([]byte(text), l); err != nil {
			t.Fatal(err)
		}
		_ = newMemory(l)
		p := newMemory(l) // as for another gateway of the process
		out, err := json.Marshal(accounts{Process: p.Limit(), Runtime: debug.SetMemoryLimit(-1)})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(os.Getenv("GATEHOUSE_TEST_OUT"), out, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	none := accounts{0, math.MaxInt64}
	if cgroup, err := memlimit.FromCgroup(); err == nil && cgroup < math.MaxInt64 {
		none.Runtime = usableLimit(math.MaxInt64, cgroup)
		none.Process = int64(forClients * float64(none.Runtime))
	}
	for name, tc := range map[string]struct {
		limits, goLimit string
		want            accounts
	}{
		"explicit":                      {`{"memory": 104857600}`, "", accounts{40 * mib, 100 * mib}},
		"explicit, and Go's is less":    {`{"memory": 104857600}`, "50MiB", accounts{40 * mib, 100 * mib}},
		"explicit, for none":            {`{"memory": 0}`, "50MiB", accounts{0, 50 * mib}},
		"that of Go":                    {`{}`, "50MiB", accounts{16 * mib, 40 * mib}},
		"none but the cgroup's, if any": {`{}`, "", none},
	} {
		t.Run(name, func(t *testing.T) {
			file := t.TempDir() + "/accounts"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNewMemory$")
			cmd.Env = append(os.Environ(), "GATEHOUSE_TEST_LIMITS="+tc.limits, "GATEHOUSE_TEST_OUT="+file, "GOMEMLIMIT="+tc.goLimit)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got accounts
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
