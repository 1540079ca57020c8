package cmd_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	configfile "github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/handover"
)

// unit is a unit file: values by section and name, in order.
type unit map[string][]string

// readUnit reads what systemd.syntax(7) allows and we use.
func readUnit(t *testing.T, file string) unit {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, section := unit{}, ""
	for n, line := range strings.Split(string(text), "\n") {
		name, value, isSetting := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		case isSetting && section != "" && regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(name):
			all[section+"."+name] = append(all[section+"."+name], value)
		default:
			t.Errorf("%s:%d: is no setting: %s", file, n+1, line)
		}
	}
	return all
}

const units = "../deploy/systemd/"

// TestUnits: the files for systemd ask for what the gateway has, and agree with
// one another and with the page about them.
func TestUnits(t *testing.T) {
	page, err := os.ReadFile("../docs/RESTART.md")
	if err != nil {
		t.Fatal(err)
	}
	service := readUnit(t, units+"gatehouse.service")
	sockets := strings.Fields(service["Service.Sockets"][0])
	files, err := filepath.Glob(units + "*.socket")
	if err != nil || len(files) != len(sockets) || len(files) != len(handover.Names()) {
		t.Fatalf("%v: %v, want %v", err, files, sockets)
	}
	addresses := listeners(t, string(page))
	for _, name := range sockets {
		socket := readUnit(t, units+name)
		listener := socket["Socket.FileDescriptorName"][0]
		if !slices.Contains(handover.Names(), listener) {
			t.Errorf("%s: no listener is called %q", name, listener)
		}
		if socket["Socket.Service"][0] != "gatehouse.service" || socket["Install.WantedBy"][0] != "sockets.target" {
			t.Errorf("%s: is no socket of the service", name)
		}
		if got := socket["Socket.ListenStream"][0]; got != strings.TrimPrefix(addresses[listener], ":") {
			t.Errorf("%s: is at %s, and in the configuration at %s", name, got, addresses[listener])
		}
	}
	for name, want := range map[string]string{"Type": "notify", "NotifyAccess": "main", "NoNewPrivileges": "yes", "DynamicUser": "yes", "ProtectSystem": "strict"} {
		if got := service["Service."+name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%v, want %s", name, got, want)
		}
	}
	checkCommand(t, strings.Fields(service["Service.ExecStart"][0]))
	for _, file := range []string{"gatehouse.service", "gatehouse-http.socket"} {
		text, err := os.ReadFile(units + file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```ini\n# deploy/systemd/"+file+"\n"+string(text)+"```\n") {
			t.Errorf("docs/RESTART.md does not show %s as it is", file)
		}
	}
}

// checkCommand has the command line read up to the configuration, which is not
// there.
func checkCommand(t *testing.T, command []string) {
	t.Helper()
	code, _, stderr := run(t, command[1:]...)
	if want := command[len(command)-1] + ": cannot read the configuration"; code != 1 || !strings.Contains(stderr, want) {
		t.Errorf("%v: exit code %d, %s", command, code, stderr)
	}
}

// listeners are the addresses in the page's configuration for systemd, as they
// are understood.
func listeners(t *testing.T, page string) map[string]string {
	t.Helper()
	var found map[string]string
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		text := block[1] + "upstreams: [{name: a, target: \"dns:///a:1\", schema: {linked: true}}]\nexpose: [{select: a.b, upstream: a}]\n"
		file, err := configfile.Parse("RESTART.md", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if !strings.Contains(text, "listeners:") {
			continue
		}
		l := file.Config.GetListeners()
		found = map[string]string{"http": l.GetHttp().GetAddress(), "grpc": l.GetGrpc().GetAddress(), "admin": l.GetAdmin().GetAddress()}
	}
	for name, address := range found {
		if _, _, err := net.SplitHostPort(address); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return found
}
