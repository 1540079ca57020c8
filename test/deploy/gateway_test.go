package deploy_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// process is a running gateway.
type process struct{ http, grpc, admin string }

var serving = regexp.MustCompile(`msg"?[=:]"?serving"?.*http"?[=:]"?([^\s",]+)"?.*grpc"?[=:]"?([^\s",]+)"?.*admin"?[=:]"?([^\s",}]+)`)

// start runs the gateway on free ports, waits until it serves, and ends it with
// the test, when it must exit with 0.
func start(t *testing.T, args ...string) process {
	t.Helper()
	c := exec.Command(binary(t), append(args, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0")...)
	c.Env = append(os.Environ(), "REDIS_PASSWORD=secret")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = in, in
	err = c.Start()
	_ = in.Close()
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan []string, 1)
	text := make(chan string, 1)
	go func() { text <- follow(out, found) }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		printed := <-text
		if err := c.Wait(); err != nil {
			t.Errorf("it ended with %v:\n%s", err, printed)
		}
	})
	select {
	case m := <-found:
		return process{m[1], m[2], m[3]}
	case printed := <-text:
		text <- printed
		t.Fatal("it does not serve")
	case <-time.After(time.Minute):
		t.Fatal("it does not serve after a minute")
	}
	return process{}
}

// follow reads to the end, and tells the addresses when they are told.
func follow(out io.ReadCloser, found chan<- []string) string {
	defer func() { _ = out.Close() }()
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			found <- m
		}
	}
	return printed.String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// configuration is the gatehouse.yaml that the pods of a kustomization are given.
func configuration(t *testing.T, list objects) string {
	t.Helper()
	d := deployment(t, list, "gatehouse")
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.ConfigMap != nil {
			return one[*corev1.ConfigMap](t, list, v.ConfigMap.Name).Data["gatehouse.yaml"]
		}
	}
	t.Fatal("no configuration is mounted")
	return ""
}

// check is `gatehouse check` on a configuration.
func check(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "gatehouse.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(binary(t), "check", "--config", path)
	c.Env = append(os.Environ(), "REDIS_PASSWORD=secret")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s in\n%s", err, out, text)
	}
	return path
}

// settings are what of a configuration concerns the pod around it.
type settings struct {
	Listeners map[string]struct{ Address string }
	Upstreams []struct{ Target string }
	Redis     struct{ Addresses []string }
	Drain     struct{ Delay, Timeout string }
}

func parse(t *testing.T, text string) settings {
	t.Helper()
	var s settings
	if err := yaml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConfigurationsFitTheirPods(t *testing.T) {
	for _, path := range []string{base, overlay} {
		list := build(t, path)
		text := configuration(t, list)
		check(t, t.TempDir(), text)
		d, s := deployment(t, list, "gatehouse"), parse(t, text)
		for _, p := range container(t, d).Ports {
			if got, want := s.Listeners[p.Name].Address, ":"+sprint(p.ContainerPort); got != want {
				t.Errorf("%s: listener %s is at %q, the container's port is %s", path, p.Name, got, want)
			}
		}
		delay, err := time.ParseDuration(s.Drain.Delay)
		if err != nil {
			t.Fatal(err)
		}
		timeout, err := time.ParseDuration(s.Drain.Timeout)
		if err != nil {
			t.Fatal(err)
		}
		const lastSpans = 5 * time.Second
		grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		if need := delay + timeout + lastSpans; grace < need {
			t.Errorf("%s: the pod is killed after %v: draining takes up to %v", path, grace, need)
		}
		ready := container(t, d).ReadinessProbe
		if unready := time.Duration(ready.PeriodSeconds*ready.FailureThreshold) * time.Second; delay < unready {
			t.Errorf("%s: drain.delay %v ends before the probe has noticed, which takes %v", path, delay, unready)
		}
	}
}

// TestMemoryLimits wants the limit by which the gateway bounds what it holds.
func TestMemoryLimits(t *testing.T) {
	c := container(t, deployment(t, build(t, base), "gatehouse"))
	if c.Resources.Limits.Memory().Value() == 0 {
		t.Error("the container has no limit of memory: want one, which the gateway goes by")
	}
	for _, e := range c.Env {
		if e.Name == "GOMEMLIMIT" {
			t.Error("GOMEMLIMIT is set: the gateway would take less than the container's limit allows")
		}
	}
}

// TestExampleServes runs what the overlay has: the demo for the shop, with the
// arguments of its pods, and a gateway with the overlay's configuration in front.
// There is no Redis, so that what is said of its absence is seen too.
func TestExampleServes(t *testing.T) {
	list := build(t, overlay)
	shop := deployment(t, list, "shop")
	if args := container(t, shop).Args; args[0] != "demo" {
		t.Fatalf("the shop is started with %v", args)
	}
	backend := start(t, "demo")
	gateway := serve(t, configuration(t, list), backend)
	if status, body := get(t, "http://"+gateway.http+"/v1/shelves?pageSize=1"); status != 200 || !strings.Contains(body, "shelves/climbing") {
		t.Errorf("shelves: %d %s", status, body)
	}
	if status, body := get(t, "http://"+gateway.http+"/v1/products:search?query=tent"); status != 200 {
		t.Errorf("a limit that is open without Redis refuses: %d %s", status, body)
	}
	for _, path := range []string{"/livez", "/readyz"} { // those of the probes
		if status, body := get(t, "http://"+gateway.admin+path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// serve runs a gateway with a configuration whose backends and Redis are replaced
// by what there is here.
func serve(t *testing.T, text string, backend process) process {
	t.Helper()
	for _, u := range parse(t, text).Upstreams {
		text = strings.ReplaceAll(text, `"`+u.Target+`"`, `"dns:///`+backend.grpc+`"`)
	}
	for _, a := range parse(t, text).Redis.Addresses {
		text = strings.ReplaceAll(text, `"`+a+`"`, `"127.0.0.1:1"`)
	}
	text = strings.ReplaceAll(text, "delay: 10s", "delay: 0s") // nobody balances here
	return start(t, "serve", "--config", check(t, t.TempDir(), text))
}

// TestNamesAreServices wants every host that the configuration names to be a
// Service that is there, at a port that it has.
func TestNamesAreServices(t *testing.T) {
	list := build(t, overlay)
	s := parse(t, configuration(t, list))
	names := s.Redis.Addresses
	for _, u := range s.Upstreams {
		names = append(names, strings.TrimPrefix(u.Target, "dns:///"))
	}
	if len(names) < 2 {
		t.Fatalf("only %v is named", names)
	}
	for _, name := range names {
		host, number, _ := strings.Cut(name, ":")
		service := one[*corev1.Service](t, list, host)
		if service.Spec.ClusterIP != corev1.ClusterIPNone {
			t.Errorf("%s is not headless: a connection would see one pod", host)
		}
		if len(service.Spec.Ports) != 1 || sprint(service.Spec.Ports[0].Port) != number {
			t.Errorf("%s: the service has ports %v", name, service.Spec.Ports)
		}
	}
}
