// Package deploy_test proves that what is in deploy/ and docs/DEPLOY.md is right,
// as far as that can be told without a cluster, a registry and a Prometheus.
package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// root is the product's folder, seen from here.
const root = "../.."

// temp is a folder for the binary that the tests run. TestMain makes and removes it.
var temp string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if temp, err = os.MkdirTemp("", "gatehouse-deploy-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(temp) }()
	return m.Run()
}

func read(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
