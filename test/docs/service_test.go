package docs_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The configurations of the README, in their order.
const (
	imageConfig = iota
	reflectionConfig
	httpConfig
)

// A reader's folder has the README's configuration for a library that runs.
func folder(t *testing.T, l *library, config int) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.ReplaceAll(blocks(t, readme, "yaml")[config], "localhost:9000", l.serve(t))
	write(t, filepath.Join(dir, "gatehouse.yaml"), text)
	return dir
}

func TestServiceFromAnImage(t *testing.T) {
	l := newLibrary(t)
	dir := folder(t, l, imageConfig)
	l.writeImage(t, filepath.Join(dir, "library.binpb"))
	p := start(t, dir, bin+"/gatehouse", "msg=serving", "serve", "--config", "gatehouse.yaml")
	checkServes(t, l, p, "/v1/books/sand")
}

func TestServiceByReflection(t *testing.T) {
	l := newLibrary(t)
	p := start(t, folder(t, l, reflectionConfig), bin+"/gatehouse", "msg=serving", "serve", "--config", "gatehouse.yaml")
	checkServes(t, l, p, "/v1/books/sand")
}

// TestServiceLinkedIn builds the README's program in a module of its own.
func TestServiceLinkedIn(t *testing.T) {
	l := newLibrary(t)
	dir := folder(t, l, imageConfig)
	config := filepath.Join(dir, "gatehouse.yaml")
	write(t, config, strings.Replace(read(t, config), "{image: library.binpb}", "{linked: true}", 1))
	write(t, filepath.Join(dir, "main.go"), blocks(t, readme, "go")[0])
	l.writeGo(t, filepath.Join(dir, "gen"))
	buildGateway(t, dir)
	p := start(t, dir, filepath.Join(dir, "gateway"), "msg=serving", "serve", "--config", "gatehouse.yaml")
	checkServes(t, l, p, "/v1/books/sand")
}

// buildGateway builds the program in dir as a module of its own.
func buildGateway(t *testing.T, dir string) {
	t.Helper()
	product, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example.com/library\n\ngo 1.26.0\n\n"+
		"require github.com/gatehouse-dev/gatehouse v0.0.0\n\nreplace github.com/gatehouse-dev/gatehouse => "+product+"\n")
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	if err := goBuild(dir, ".", "gateway", "-mod=mod"); err != nil {
		t.Fatal(err)
	}
}

func TestServiceWithBindingsOfTheConfiguration(t *testing.T) {
	l := newLibrary(t)
	dir := folder(t, l, httpConfig)
	p := start(t, dir, bin+"/gatehouse", "msg=serving", "serve", "--config", "gatehouse.yaml")
	checkServes(t, l, p, "/catalogue/books/sand")
	if _, err := shell(t, dir, "gatehouse check --config gatehouse.yaml"); err != nil {
		t.Errorf("check: %v", err)
	}
	got, err := shell(t, dir, "gatehouse routes --config gatehouse.yaml")
	if want := blocks(t, readme, "text")[0]; err != nil || !matches(want, got) {
		t.Errorf("routes printed %v\n%s\nand README.md says\n%s", err, got, want)
	}
}

// TestConfigurationsAreShort keeps the promise of a first service in a minute.
func TestConfigurationsAreShort(t *testing.T) {
	for _, language := range []string{"yaml", "go"} {
		for _, block := range blocks(t, readme, language) {
			lines := 0
			for line := range strings.Lines(block) {
				if strings.TrimSpace(line) != "" {
					lines++
				}
			}
			if lines >= 10 {
				t.Errorf("%d lines, want less than 10:\n%s", lines, block)
			}
		}
	}
}

// checkServes reads a book over REST and over gRPC.
func checkServes(t *testing.T, l *library, p *process, path string) {
	t.Helper()
	response, err := http.Get("http://" + p.http + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got map[string]string // the library, a dynamic one, sends fields in any order
	err = json.NewDecoder(response.Body).Decode(&got)
	want := map[string]string{"name": "books/sand", "title": "On sand"}
	if err != nil || response.StatusCode != http.StatusOK || !maps.Equal(got, want) {
		t.Errorf("GET %s: %s, %v, %v, want 200 and %v", path, response.Status, got, err, want)
	}
	conn, err := grpc.NewClient(p.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request, book := l.message(t, "library.v1.GetBookRequest"), l.message(t, "library.v1.Book")
	request.Set(request.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString("books/sand"))
	if err := conn.Invoke(t.Context(), "/library.v1.LibraryService/GetBook", request, book); err != nil {
		t.Fatal(err)
	}
	if got := book.Get(book.Descriptor().Fields().ByName("title")).String(); got != "On sand" {
		t.Errorf("the title is %q over gRPC, want %q", got, "On sand")
	}
}
