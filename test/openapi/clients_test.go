package openapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// generators make clients of the demo's document. Each folder in clients/ has a program
// that uses the client, and pins the generator. docs/OPENAPI.md has the command.
var generators = []struct {
	language, folder, program string

	install string // installs what the folder pins
	run     string // compiles the program and runs it; Java's command does that too
}{
	{"Java", "java", "src/main/java/Client.java", "", ""},
	{"Go", "go", "main.go", "", "go run . http://127.0.0.1:8080"},
	{
		"Python", "python", "client.py",
		"python3 -m venv venv && pip install --quiet --requirement requirements.txt",
		"mypy client.py >&2 && python client.py http://127.0.0.1:8080",
	},
	{
		"TypeScript", "typescript", "client.ts",
		"npm ci --ignore-scripts --no-audit --no-fund", "npx tsc && node out/client.js http://127.0.0.1:8080",
	},
}

// transcript is what each program prints: of a read, a search, an order that is placed
// twice with one idempotency key and then changed, a refusal, and a stream.
const transcript = `
products/enamel-mug-blue STATE_ACTIVE 14 2026-02-28T16:36:00Z
sent as parcel
found products/enamel-mug-blue
order STATE_PAID 28 4242 once
changed Tove plain
403 PERMISSION_DENIED SCOPE_MISSING
moved 37 REASON_RECEIVED
moved -10 REASON_SHIPPED
moved 1 REASON_RETURNED
`

// TestGeneratedClients: clients that others' generators make of the demo's document
// compile, and their calls of the demo succeed or fail as they should.
func TestGeneratedClients(t *testing.T) {
	for _, program := range []string{"npm", "node", "python3", "mvn", "javac"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install npm python3-venv maven default-jdk-headless, or brew install node python maven openjdk", program)
		}
	}
	binary := filepath.Join(t.TempDir(), "gatehouse")
	run(t, root, "go", "build", "-o", binary, "./cmd/gatehouse")
	page := read(t, root+"/docs/OPENAPI.md")
	for _, g := range generators {
		t.Run(g.language, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("clients", g.folder))); err != nil {
				t.Fatal(err)
			}
			command, uses := example(t, page, g.language)
			checkUse(t, read(t, filepath.Join(dir, g.program)), uses)
			script := strings.Join([]string{"export PATH=$PWD/venv/bin:$PATH", g.install, command, g.run}, "\n")
			printed := run(t, dir, "sh", "-ec", strings.ReplaceAll(script, "127.0.0.1:8080", startDemo(t, binary)))
			if !strings.Contains("\n"+printed, transcript) {
				t.Errorf("it printed\n%s\nwhich lacks\n%s", printed, transcript)
			}
		})
	}
}

var fences = regexp.MustCompile("(?ms)^```\\w+\n(.*?)^```$")

// example is the part of the page about a language: a command, and code that uses what
// the command generates.
func example(t *testing.T, page, language string) (command, use string) {
	t.Helper()
	_, part, _ := strings.Cut(page, "\n### "+language+"\n")
	part, _, _ = strings.Cut(part, "\n##")
	blocks := fences.FindAllStringSubmatch(part, -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/OPENAPI.md has %d examples of %s, want a command and code", len(blocks), language)
	}
	return blocks[0][1], blocks[1][1]
}

// checkUse fails unless a program has the page's code: its paragraphs, one after the other.
func checkUse(t *testing.T, program, uses string) {
	t.Helper()
	rest := flat(program)
	for paragraph := range strings.SplitSeq(uses, "\n\n") {
		_, after, ok := strings.Cut(rest, flat(paragraph))
		if !ok {
			t.Fatalf("the program lacks what docs/OPENAPI.md shows:\n%s", paragraph)
		}
		rest = after
	}
}

// flat is code without its indentation.
func flat(code string) string {
	var lines strings.Builder
	for line := range strings.Lines(code) {
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	return lines.String()
}
