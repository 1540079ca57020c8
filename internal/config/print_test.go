package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gatehouse-dev/gatehouse/internal/config"
)

// TestPrint also proves that Parse takes what Print writes, as the same.
func TestPrint(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_HOST", "secret.example.com")
	data, err := os.ReadFile("testdata/print.yml")
	if err != nil {
		t.Fatal(err)
	}
	// The folder is the working one: printed paths of files begin there.
	f, err := config.Parse("print.yml", data)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := f.Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("what was substituted is printed:\n%s", out.String())
	}
	golden(t, "testdata/print.golden", out.String())
	again, err := config.Parse("print.yml", []byte(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Config, again.Config, protocmp.Transform()); diff != "" {
		t.Errorf("printed and read again, it differs (-first +again):\n%s", diff)
	}
}

func TestPrintOfNew(t *testing.T) {
	f, err := config.New(parse(t, minimal).Config)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := f.Print(&out); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("again.yaml", []byte(out.String())); err != nil {
		t.Errorf("%v\nof\n%s", err, out.String())
	}
}
