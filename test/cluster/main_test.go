package cluster_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/gatehouse-dev/gatehouse/test/cluster"
)

// programs are built once for all tests.
var programs cluster.Programs

func TestMain(m *testing.M) { goleak.VerifyTestMain(withPrograms{m}) }

type withPrograms struct{ tests *testing.M }

func (w withPrograms) Run() int {
	dir, err := os.MkdirTemp("", "gatehouse-cluster-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = cluster.Programs{Gateway: filepath.Join(dir, "gatehouse"), Backend: filepath.Join(dir, "backend")}
	for _, b := range []struct{ out, in, what string }{
		{programs.Gateway, filepath.Join("..", ".."), "./cmd/gatehouse"},
		{programs.Backend, ".", "./backend"},
	} {
		build := exec.Command("go", append(append([]string{"build"}, raceFlags...), "-o", b.out, b.what)...)
		build.Dir = b.in
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", b.what, err, out)
			return 1
		}
	}
	return w.tests.Run()
}
