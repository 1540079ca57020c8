package deploy_test

import (
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stages are the Dockerfile's, as BuildKit reads it: that of the build, and that
// of the image.
var stages = sync.OnceValues(func() ([]instructions.Stage, error) {
	file, err := os.Open(filepath.Join(root, "deploy", "Dockerfile"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	tree, err := parser.Parse(file)
	if err != nil {
		return nil, err
	}
	if len(tree.Warnings) > 0 {
		return nil, fmt.Errorf("%+v", tree.Warnings)
	}
	all, _, err := instructions.Parse(tree.AST, nil)
	if err == nil && len(all) != 2 {
		err = fmt.Errorf("%d stages: want 2", len(all))
	}
	return all, err
})

// find returns the commands of one kind.
func find[C instructions.Command](s instructions.Stage) []C {
	var found []C
	for _, c := range s.Commands {
		if c, ok := c.(C); ok {
			found = append(found, c)
		}
	}
	return found
}

func TestImageIsMinimal(t *testing.T) {
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	image := all[1]
	if image.BaseName != "scratch" {
		t.Errorf("the image is made from %s, which may have a shell: want scratch", image.BaseName)
	}
	if runs := find[*instructions.RunCommand](image); len(runs) > 0 {
		t.Errorf("the image runs %v while it is made: there is no shell", runs)
	}
	users := find[*instructions.UserCommand](image)
	if len(users) != 1 || users[0].User != "65532:65532" {
		t.Errorf("the image runs as %v: want the number of a nobody, which runAsNonRoot can check", users)
	}
	entry := find[*instructions.EntrypointCommand](image)
	if len(entry) != 1 || entry[0].PrependShell || !slices.Equal(entry[0].CmdLine, []string{"/gatehouse"}) {
		t.Errorf("entrypoint: %+v", entry)
	}
	if cmd := find[*instructions.CmdCommand](image); len(cmd) != 1 || cmd[0].PrependShell {
		t.Errorf("command: %+v", cmd)
	}
	checkPorts(t, image)
	checkCopies(t, all)
}

// checkPorts compares the image's ports with those of the Deployment.
func checkPorts(t *testing.T, image instructions.Stage) {
	t.Helper()
	exposed := find[*instructions.ExposeCommand](image)
	if len(exposed) != 1 {
		t.Fatalf("expose: %v", exposed)
	}
	var ports []string
	for _, p := range container(t, deployment(t, build(t, base), "gatehouse")).Ports {
		ports = append(ports, fmt.Sprint(p.ContainerPort))
	}
	if got := slices.Sorted(slices.Values(exposed[0].Ports)); !slices.Equal(got, slices.Sorted(slices.Values(ports))) {
		t.Errorf("the image exposes %v, the Deployment %v", got, ports)
	}
}

// checkCopies looks for all that the image copies: what the build makes, or what
// the builder's image has.
func checkCopies(t *testing.T, all []instructions.Stage) {
	t.Helper()
	made := regexp.MustCompile(`-o (\S+)`).FindStringSubmatch(buildCommand(t, all[0]))
	if made == nil {
		t.Fatal("the build does not say where it writes")
	}
	known := map[string]bool{
		made[1]:                              true,
		"/etc/ssl/certs/ca-certificates.crt": true, // Debian's, in golang's image
	}
	for _, c := range find[*instructions.CopyCommand](all[1]) {
		if c.From != all[0].Name {
			t.Errorf("%v is copied from %q: want %q", c.SourcePaths, c.From, all[0].Name)
		}
		for _, path := range c.SourcePaths {
			if !known[path] {
				t.Errorf("nothing makes %s", path)
			}
			delete(known, path)
		}
	}
	if len(known) > 0 {
		t.Errorf("the image lacks %v", known)
	}
}

func TestBuilderHasTheToolchainOfGoMod(t *testing.T) {
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^toolchain go(\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if want == nil {
		t.Fatal("go.mod names no toolchain")
	}
	if all[0].BaseName != "golang:"+want[1] {
		t.Errorf("the builder is %s: want golang:%s, the toolchain of go.mod", all[0].BaseName, want[1])
	}
}

// buildCommand is the line that builds the binary.
func buildCommand(t *testing.T, stage instructions.Stage) string {
	t.Helper()
	for _, c := range find[*instructions.RunCommand](stage) {
		if line := strings.Join(c.CmdLine, " "); strings.HasPrefix(line, "go build") {
			return line
		}
	}
	t.Fatal("the Dockerfile does not build")
	return ""
}

// binary is the gateway as the Dockerfile builds it: with its command and
// environment, from what .dockerignore lets into the context. Built once.
func binary(t *testing.T) string {
	t.Helper()
	all, err := stages()
	if err != nil {
		t.Fatal(err)
	}
	command := buildCommand(t, all[0])
	path, err := built(command, environment(all[0]))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func environment(stage instructions.Stage) []string {
	var env []string
	for _, c := range find[*instructions.EnvCommand](stage) {
		for _, pair := range c.Env {
			env = append(env, pair.Key+"="+pair.Value)
		}
	}
	for _, c := range find[*instructions.ArgCommand](stage) {
		for _, arg := range c.Args {
			env = append(env, arg.Key+"="+arg.ValueString())
		}
	}
	// The builder's toolchain is the one that go.mod names; here it must be found.
	return append(env, "GOTOOLCHAIN=auto")
}

var builds struct {
	once sync.Once
	path string
	err  error
}

func built(command string, env []string) (string, error) {
	builds.once.Do(func() {
		source := filepath.Join(temp, "src")
		if builds.err = copyContext(source); builds.err != nil {
			return
		}
		builds.path = filepath.Join(temp, "gatehouse")
		c := exec.Command("sh", "-c", strings.Replace(command, "/out/gatehouse", builds.path, 1))
		c.Dir, c.Env = source, append(os.Environ(), env...)
		if out, err := c.CombinedOutput(); err != nil {
			builds.err = fmt.Errorf("%s: %w\n%s", command, err, out)
		}
	})
	return builds.path, builds.err
}

// copyContext copies what .dockerignore lets through.
func copyContext(to string) error {
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(name, ".git") {
				return fs.SkipDir
			}
			return nil
		}
		if skip, err := ignored.MatchesOrParentMatches(name); err != nil || skip {
			return err
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// TestBinaryIsStatic wants a file that runs in an image that has nothing else.
func TestBinaryIsStatic(t *testing.T) {
	path := binary(t)
	file, err := elf.Open(path)
	if err != nil {
		t.Skipf("not ELF, which is what Linux runs: %v", err)
	}
	defer func() { _ = file.Close() }()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %v: want none, for there is no linker in the image", p.Type)
		}
	}
	if out, err := exec.Command(path, "version").CombinedOutput(); err != nil || !strings.Contains(string(out), "unknown") {
		t.Errorf("version: %v\n%s: want the build argument's default", err, out)
	}
}

func TestContextIsSmall(t *testing.T) {
	binary(t)
	for _, name := range []string{"docs", "test", "deploy", ".git", ".proto", "bin"} {
		if _, err := os.Stat(filepath.Join(temp, "src", name)); err == nil {
			t.Errorf("%s is in the context of the build", name)
		}
	}
}
