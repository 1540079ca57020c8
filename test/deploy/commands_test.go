package deploy_test

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

// TestCommands holds each command of the page against what it names. What needs
// no cluster and no registry is run.
func TestCommands(t *testing.T) {
	dir := pageFiles(t)
	shop := start(t, "demo")
	gateway := serve(t, configuration(t, build(t, overlay)), shop)
	known := []struct {
		form string
		test func(t *testing.T, line string, m []string)
	}{
		{`^docker build -f (\S+) .* \.$`, func(t *testing.T, line string, m []string) {
			exists(t, root, m[1])
			if !strings.Contains(line, "--build-arg VERSION=") || !strings.Contains(read(t, m[1]), "ARG VERSION=") {
				t.Error("the version is not the build's argument")
			}
			imageIsThatOfTheBase(t, line)
		}},
		{`^docker push `, func(t *testing.T, line string, _ []string) { imageIsThatOfTheBase(t, line) }},
		{`^kubectl create namespace gatehouse$`, func(*testing.T, string, []string) {}},
		{`^kubectl -n gatehouse create secret generic (\w+) --from-literal=(\w+)=`, func(t *testing.T, _ string, m []string) {
			secretIsAsked(t, m[1], m[2])
		}},
		{`^kubectl apply -k (\S+)$`, func(t *testing.T, _ string, m []string) {
			overlayOf(t, dir, strings.TrimPrefix(m[1], "deploy/kubernetes/overlays/"))
		}},
		{`^kubectl -n gatehouse (?:rollout status|rollout undo|port-forward) (deployment|service)/(\S+)(?: (\d+):(\d+))?$`, func(t *testing.T, _ string, m []string) {
			exposes(t, m[1], m[2], m[4])
		}},
		{`^kubectl -n library patch service gatehouse-live --patch '(.*)'$`, func(t *testing.T, _ string, m []string) {
			if want := `{"spec": {"selector": {"gatehouse.dev/track": "green"}}}`; m[1] != want {
				t.Errorf("patch %s: want %s", m[1], want)
			}
		}},
		{`^buf build -o (\S+)$`, func(t *testing.T, _ string, m []string) { exists(t, dir, m[1]) }},
		{`^gatehouse (check .*)$`, func(t *testing.T, _ string, m []string) { run1(t, dir, binary(t), strings.Fields(m[1])...) }},
		{`^curl '?http://127.0.0.1:(8080|9901)(/[^']*)'?$`, func(t *testing.T, _ string, m []string) {
			at := map[string]string{"8080": gateway.http, "9901": gateway.admin}[m[1]]
			if status, body := get(t, "http://"+at+m[2]); status != 200 {
				t.Errorf("%d %s", status, body)
			}
		}},
		{`^promtool check rules (\S+)$`, func(t *testing.T, _ string, m []string) { exists(t, root, m[1]) }}, // rules(t) does
	}
	for _, block := range blocks(t, "sh") {
	lines:
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			for _, k := range known {
				if m := regexp.MustCompile(k.form).FindStringSubmatch(line); m != nil {
					t.Run(line, func(t *testing.T) { k.test(t, line, m) })
					continue lines
				}
			}
			t.Errorf("nothing tests %q", line)
		}
	}
}

func exists(t *testing.T, dir, name string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Error(err)
	}
}

func run1(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func imageIsThatOfTheBase(t *testing.T, line string) {
	t.Helper()
	if image := container(t, deployment(t, build(t, base), "gatehouse")).Image; !strings.Contains(line, " "+image) {
		t.Errorf("the base runs %s", image)
	}
}

// secretIsAsked wants all pods that ask for a secret to ask for this one.
func secretIsAsked(t *testing.T, name, key string) {
	t.Helper()
	asked := 0
	for _, w := range workloads(build(t, overlay)) {
		for _, e := range w.pod.Spec.Containers[0].Env {
			if e.ValueFrom != nil {
				asked++
				if ref := e.ValueFrom.SecretKeyRef; ref == nil || ref.Name != name || ref.Key != key {
					t.Errorf("%s asks for %+v", w.name, ref)
				}
			}
		}
	}
	if asked != 2 {
		t.Errorf("%d ask for it: want the gateway and Redis", asked)
	}
}

// exposes wants a Deployment or Service of the overlay with the port.
func exposes(t *testing.T, kind, name, port string) {
	t.Helper()
	list := build(t, overlay)
	found := port == ""
	switch kind {
	case "deployment":
		for _, p := range container(t, one[*appsv1.Deployment](t, list, name)).Ports {
			found = found || sprint(p.ContainerPort) == port
		}
	case "service":
		for _, p := range service(t, list, name).Spec.Ports {
			found = found || sprint(p.Port) == port
		}
	}
	if !found {
		t.Errorf("%s %s has no port %s", kind, name, port)
	}
}

// TestSizing checks the page's arithmetic, and that the figures it takes are no
// better than those that were measured.
func TestSizing(t *testing.T) {
	page, measured := read(t, "docs", "DEPLOY.md"), read(t, "docs", "PERFORMANCE.md")
	m := regexp.MustCompile(`([\d,]+) x (\d+) / 1,000,000 / ([\d.]+) = ([\d.]+)`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page has no example")
	}
	n := make([]float64, 5)
	for i := 1; i < 5; i++ {
		var err error
		if n[i], err = strconv.ParseFloat(strings.ReplaceAll(m[i], ",", ""), 64); err != nil {
			t.Fatal(err)
		}
	}
	if got := n[1] * n[2] / 1e6 / n[3]; math.Abs(got-n[4]) > 0.005 {
		t.Errorf("%s: it is %.2f", m[0], got)
	}
	_, table, _ := strings.Cut(measured, "\n## Cost\n")
	table, _, _ = strings.Cut(table, "\n## ")
	row := regexp.MustCompile(`(?m)^\|[^|]*\| (Gatehouse[^|]*?) \| \*\*([\d.]+)\*\*.*\| \*\*[\d.]+\*\* \([\d.]+–([\d.]+)\) \|$`)
	policies, most := 0.0, 0.0
	for _, r := range row.FindAllStringSubmatch(table, -1) {
		cpu, _ := strconv.ParseFloat(r[2], 64)
		memory, _ := strconv.ParseFloat(r[3], 64)
		most = max(most, memory)
		if r[1] == "Gatehouse, policies" {
			policies = cpu
		}
	}
	if policies == 0 || policies > n[2] || policies < 0.7*n[2] {
		t.Errorf("a call with policies takes %.1f µs in PERFORMANCE.md: the page takes %.0f, which is a little more", policies, n[2])
	}
	if most == 0 || most >= 128 {
		t.Errorf("the gateway took %.0f MiB in PERFORMANCE.md: the page says below 128", most)
	}
}

// TestFiguresAreThoseOfTheCode: what the page says of memory stands in the code.
func TestFiguresAreThoseOfTheCode(t *testing.T) {
	for says, file := range map[string][2]string{
		"`answers.max_bytes`, by default 64 MiB":      {"docs/CONFIG.md", "| `max_bytes` | size, at least `65536`, at most `1099511627776` | `64MiB` |"},
		"`idempotency_memory.max_bytes`, by default ": {"internal/config/defaults.go", "IdempotencyMemory: &configv1.IdempotencyMemory{MaxBytes: proto.Int64(64 << 20)"},
		"60 MB for a million keys, which is the most": {"interceptors/ratelimit/ratelimit.go", "const DefaultMaxKeys = 1_000_000"},
		"each, by default 16 MiB":                     {"internal/config/defaults.go", "MaxConnectionBytes:   proto.Int64(16 << 20)"},
		"five seconds more for the last traces":       {"internal/live/state.go", "shutdownTime = 5 * time.Second"},
		"`rate_limit` (default `open`)":               {"docs/CONFIG.md", "| `on_failure` | `open`, `closed` | `open` |"},
		"`idempotency` (default `closed`)":            {"docs/CONFIG.md", "| `on_failure` | `open`, `closed` | `closed` |"},
	} {
		if !strings.Contains(read(t, "docs", "DEPLOY.md"), says) {
			t.Errorf("the page does not say %q", says)
		}
		if !strings.Contains(read(t, file[0]), file[1]) {
			t.Errorf("%s does not have %q: is %q still true?", file[0], file[1], says)
		}
	}
}
