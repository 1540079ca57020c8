package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var readme = filepath.Join(root, "README.md")

// example is a command on a page and what it prints.
type example struct{ command, output string }

// examples are the commands of a page's console blocks, which begin with "$ ".
func examples(t *testing.T, page string) []example {
	t.Helper()
	var found []example
	for _, block := range blocks(t, page, "console") {
		for line := range strings.Lines(block) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				found = append(found, example{command: strings.TrimSpace(command)})
				continue
			}
			if len(found) == 0 {
				t.Fatalf("a console block begins without a command: %q", line)
			}
			found[len(found)-1].output += line
		}
	}
	return found
}

// elsewhere puts the addresses of p in the place of the usual ones.
func (p *process) elsewhere(command string) string {
	return strings.NewReplacer("127.0.0.1:8080", p.http, "127.0.0.1:9090", p.grpc).Replace(command)
}

// matches compares an output with what the page says, letter by letter but for
// blanks at its end, which a page does not show. "…" stands for some text without
// quotes within a line.
func matches(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, " \n")), "…", `[^"\n]+`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(strings.TrimRight(got, " \n"))
}

func TestExamplesPrintWhatThePagesSay(t *testing.T) {
	demo := startDemo(t)
	for _, page := range []string{readme, filepath.Join(root, "docs", "PROTOCOLS.md")} {
		for _, e := range examples(t, page) {
			got, err := shell(t, t.TempDir(), demo.elsewhere(e.command))
			if err != nil {
				t.Errorf("%s: %v\n%s", e.command, err, got)
			} else if !matches(e.output, got) {
				t.Errorf("%s printed\n%s\nand %s says\n%s", e.command, got, page, e.output)
			}
		}
	}
}

// TestReadmeBeginsWithTwoCommands guards what a newcomer sees first.
func TestReadmeBeginsWithTwoCommands(t *testing.T) {
	first := blocks(t, readme, "sh")[0]
	var commands []string
	for line := range strings.Lines(first) {
		command, _, _ := strings.Cut(line, "#")
		commands = append(commands, strings.TrimSpace(command))
	}
	if want := []string{"make demo", "make test"}; !slices.Equal(commands, want) {
		t.Errorf("the first commands are %q, want %q", commands, want)
	}
	const screen = 25
	before, _, _ := strings.Cut(read(t, readme), first)
	if lines := strings.Count(before+first, "\n"); lines > screen {
		t.Errorf("the first commands end on line %d, want at most %d", lines, screen)
	}
	makefile := read(t, filepath.Join(root, "Makefile"))
	for _, target := range []string{"demo", "test"} {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}
