package cmd_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/cmd"
)

func TestWrongUseSaysWhatWouldBeRight(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"serv", "gatehouse: unknown command \"serv\": did you mean \"serve\"?; see `gatehouse --help`\n"},
		{"proxy", "gatehouse: unknown command \"proxy\"; see `gatehouse --help`\n"},
		{"serve", "gatehouse: --config FILE is missing; see `gatehouse serve --help`\n"},
		{"check --config=", "gatehouse: --config FILE is missing; see `gatehouse check --help`\n"},
		{"routes now", "gatehouse: unexpected argument \"now\"; see `gatehouse routes --help`\n"},
		{"serve --port 80", "gatehouse: unknown flag: --port; see `gatehouse serve --help`\n"},
		{"hash key", "gatehouse: unexpected argument \"key\"; see `gatehouse hash --help`\n"},
		{"protos", "gatehouse: DIR is missing; see `gatehouse protos --help`\n"},
		{"protos a b", "gatehouse: unexpected argument \"b\"; see `gatehouse protos --help`\n"},
		{"hash --key x", "gatehouse: unknown flag: --key; see `gatehouse hash --help`\n"},
		{"routes -c x.yaml -o xml", "gatehouse: --output: unknown format \"xml\": want table or json; see `gatehouse routes --help`\n"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := new(cmd.App).Run(t.Context(), strings.Fields(tc.line), &stdout, &stderr)
			if code != 2 || stderr.String() != tc.want || stdout.Len() > 0 {
				t.Errorf("exit code %d, %q, want 2, %q; on stdout: %q", code, stderr.String(), tc.want, stdout.String())
			}
		})
	}
}

func TestWithoutACommandTheHelpIsPrinted(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := new(cmd.App).Run(t.Context(), nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q, want 0 and nothing", code, stderr.String())
	}
	for _, name := range []string{"serve", "check", "routes", "hash", "protos", "version"} {
		if !strings.Contains(stdout.String(), "\n  "+name+" ") {
			t.Errorf("the help does not name %s:\n%s", name, stdout.String())
		}
	}
}
