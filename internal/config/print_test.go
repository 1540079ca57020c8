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

// TestSecretsAreNotPrinted: neither as a whole file nor field by field; and what is
// printed can be read.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_TOKEN", "hunter-env")
	f := parse(t, minimal+`
    metadata:
      request:
        set: {authorization: "Bearer hunter-1", x-key-bin: aHVudGVyLTI=, x-none: "", x-env: "Bearer ${GATEHOUSE_TEST_TOKEN}", x-mixed: "hunter-3 ${GATEHOUSE_TEST_TOKEN}"}
        add: {x-more: "hunter-4 $${x}"}
      response: {set: {x-answer: hunter-5}}
    routes:
      - {headers: {x-beta: "true"}, upstream: catalog, metadata: {request: {set: {x-route: hunter-6}}}}
redis: {addresses: ["127.0.0.1:6379"], password: hunter-7}
`)
	var out strings.Builder
	if err := f.Print(&out); err != nil {
		t.Fatal(err)
	}
	for path, value := range f.Values() {
		out.WriteString("# " + path + " = " + value + "\n")
	}
	for _, secret := range []string{"hunter", "aHVudGVy"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is printed:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "Bearer ${GATEHOUSE_TEST_TOKEN}") {
		t.Errorf("a reference is not printed as it is written:\n%s", out.String())
	}
	again, err := config.Parse("again.yaml", []byte(out.String()))
	if err != nil {
		t.Fatalf("%v\nof\n%s", err, out.String())
	}
	if set := again.Config.GetExpose()[0].GetMetadata().GetRequest().GetSet(); len(set) != 5 || set["x-none"] != "" || set["x-env"] != "Bearer hunter-env" {
		t.Errorf("read again: %v", set)
	}
	out.Reset()
	if err := f.WithSecrets().Print(&out); err != nil {
		t.Fatal(err)
	}
	if again, err = config.Parse("again.yaml", []byte(out.String())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Config, again.Config, protocmp.Transform()); diff != "" {
		t.Errorf("printed with secrets and read again, it differs (-first +again):\n%s", diff)
	}
}
