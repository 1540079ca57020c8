package docs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The contract of the library, with a policy.
var libraryWithPolicy = strings.NewReplacer(
	`import "google/api/annotations.proto";`, "import \"gatehouse/policy/v1/policy.proto\";\nimport \"google/api/annotations.proto\";",
	`option (google.api.http)`, "option (gatehouse.policy.v1.method) = {auth: {public: true} timeout: {seconds: 2}};\n    option (google.api.http)",
).Replace(libraryProto)

// What npm installs to generate TypeScript and to check it.
const (
	typeScriptPlugin  = "@bufbuild/protoc-gen-es@2.17.0"
	typeScriptRuntime = "@bufbuild/protobuf@2.17.0"
	typeScript        = "typescript@5.9.3"
)

// withOptions is a folder with that contract and with what `gatehouse protos`
// writes.
func withOptions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "proto", libraryFile), libraryWithPolicy)
	write(t, filepath.Join(dir, "buf.yaml"), "version: v2\nmodules:\n  - path: proto\n  - path: third_party\n")
	for range 2 { // it writes over what it wrote
		if out, err := shell(t, dir, "gatehouse protos third_party"); err != nil || !strings.Contains(out, "third_party/gatehouse/policy/v1/policy.proto\n") {
			t.Fatalf("protos: %v\n%s", err, out)
		}
	}
	return dir
}

// need fails the test, with what to install, where a program is missing.
func need(t *testing.T, program, install string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("this test needs %s: %s", program, install)
	}
}

func needProtoc(t *testing.T) {
	t.Helper()
	need(t, "protoc", "apt-get install protobuf-compiler, or brew install protobuf")
}

// must runs a command line.
func must(t *testing.T, dir, line string) string {
	t.Helper()
	out, err := shell(t, dir, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// compilers make an image of the contract, each in its own way.
var compilers = map[string]func(t *testing.T, dir string){
	"buf": func(t *testing.T, dir string) {
		t.Helper()
		must(t, root, "go tool -modfile=tools/buf/go.mod buf build "+dir+" -o "+dir+"/library.binpb")
	},
	"protoc": func(t *testing.T, dir string) {
		t.Helper()
		needProtoc(t)
		must(t, dir, "protoc -I proto -I third_party --include_imports -o library.binpb "+libraryFile)
	},
}

// TestOptionsCount: the policy of the contract is in force, whoever compiled it,
// from an image and by reflection. The backend does not know the options.
func TestOptionsCount(t *testing.T) {
	for name, compile := range compilers {
		t.Run(name, func(t *testing.T) {
			dir := withOptions(t)
			compile(t, dir)
			l := &library{set: new(descriptorpb.FileDescriptorSet)}
			if err := proto.Unmarshal([]byte(read(t, filepath.Join(dir, "library.binpb"))), l.set); err != nil {
				t.Fatal(err)
			}
			checkUnknown(t, l)
			var err error
			if l.files, err = protodesc.NewFiles(l.set); err != nil {
				t.Fatal(err)
			}
			for _, schema := range []string{"{image: library.binpb}", "{reflection: true}"} {
				write(t, filepath.Join(dir, "gatehouse.yaml"), "upstreams:\n  - {name: library, target: \"dns:///"+l.serve(t)+"\", schema: "+schema+"}\nexpose:\n  - {select: \"library.v1.*\", upstream: library}\n")
				p := start(t, dir, bin+"/gatehouse", "msg=serving", "serve", "--config", "gatehouse.yaml")
				checkServes(t, l, p, "/v1/books/sand") // it is public by the contract alone
				if out := must(t, dir, "gatehouse check --config gatehouse.yaml --print"); !strings.Contains(out, "timeout: 2s") {
					t.Errorf("%s: the timeout of the contract is not in force:\n%s", schema, out)
				}
			}
		})
	}
}

// checkUnknown makes sure that this program does not know the options, as most
// backends do not.
func checkUnknown(t *testing.T, l *library) {
	t.Helper()
	for _, file := range l.set.GetFile() {
		for _, service := range file.GetService() {
			for _, m := range service.GetMethod() {
				if len(m.GetOptions().ProtoReflect().GetUnknown()) == 0 {
					t.Errorf("%s has no options that are unknown here: this test tests nothing", m.GetName())
				}
			}
		}
	}
}

// protoFiles are those of the contract and of the options.
func protoFiles(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, folder := range []string{"proto", "third_party"} {
		below := filepath.Join(dir, folder)
		err := fs.WalkDir(os.DirFS(below), ".", func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				all = append(all, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(all, " ")
}

// TestGoCodeOfOptions: it imports Gatehouse's module, for which the options'
// go_package stands, and a gateway that links it serves by it.
func TestGoCodeOfOptions(t *testing.T) {
	needProtoc(t)
	dir := withOptions(t)
	compilers["protoc"](t, dir)
	l := &library{set: new(descriptorpb.FileDescriptorSet)}
	if err := proto.Unmarshal([]byte(read(t, filepath.Join(dir, "library.binpb"))), l.set); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.files, err = protodesc.NewFiles(l.set); err != nil {
		t.Fatal(err)
	}
	if err := goBuild(".", "google.golang.org/protobuf/cmd/protoc-gen-go", bin+"/protoc-gen-go"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "gen", "README"), "")
	must(t, dir, "protoc -I proto -I third_party --go_out=gen --go_opt=paths=source_relative "+libraryFile)
	write(t, filepath.Join(dir, "main.go"), blocks(t, readme, "go")[0])
	buildGateway(t, dir)
	write(t, filepath.Join(dir, "gatehouse.yaml"), "upstreams:\n  - {name: library, target: \"dns:///"+l.serve(t)+"\", schema: {linked: true}}\nexpose:\n  - {select: \"library.v1.*\", upstream: library}\n")
	p := start(t, dir, filepath.Join(dir, "gateway"), "msg=serving", "serve", "--config", "gatehouse.yaml")
	checkServes(t, l, p, "/v1/books/sand")
}

// TestPythonCodeOfOptions: every module is generated, and compiles.
func TestPythonCodeOfOptions(t *testing.T) {
	needProtoc(t)
	need(t, "python3", "apt-get install python3")
	dir := withOptions(t)
	write(t, filepath.Join(dir, "py", "README"), "")
	must(t, dir, "protoc -I proto -I third_party --python_out=py "+protoFiles(t, dir))
	must(t, dir, "python3 -m compileall -q py")
	if text := read(t, filepath.Join(dir, "py/library/v1/library_pb2.py")); !strings.Contains(text, "from gatehouse.policy.v1 import policy_pb2") {
		t.Errorf("the contract does not import the options:\n%s", text)
	}
	read(t, filepath.Join(dir, "py/gatehouse/policy/v1/policy_pb2.py"))
}

// TestTypeScriptCodeOfOptions: every module is generated, and its types hold.
func TestTypeScriptCodeOfOptions(t *testing.T) {
	needProtoc(t)
	need(t, "npm", "apt-get install npm")
	dir := withOptions(t)
	write(t, filepath.Join(dir, "package.json"), `{"private": true, "type": "module"}`)
	must(t, dir, "npm install --no-audit --no-fund --ignore-scripts "+typeScriptPlugin+" "+typeScriptRuntime+" "+typeScript)
	write(t, filepath.Join(dir, "ts", "README"), "")
	must(t, dir, "PATH=$PWD/node_modules/.bin:$PATH protoc -I proto -I third_party --es_out=ts --es_opt=target=ts,import_extension=js "+protoFiles(t, dir))
	write(t, filepath.Join(dir, "ts", "use.ts"), `import { getOption } from "@bufbuild/protobuf";
import { method } from "./gatehouse/policy/v1/policy_pb.js";
import { LibraryService } from "./library/v1/library_pb.js";

const timeout: bigint | undefined = getOption(LibraryService.method.getBook, method).timeout?.seconds;
console.log(String(timeout));
`)
	must(t, dir, "node_modules/.bin/tsc --strict --module nodenext --target es2022 --outDir js ts/use.ts")
	if got := must(t, dir, "node js/use.js"); got != "2\n" {
		t.Errorf("the policy's timeout in TypeScript is %q, want 2", got)
	}
}
