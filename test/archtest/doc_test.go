package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMainFiles checks that a reader knows a package from one file: the main
// file, named after the package (main.go for a command), holds the package doc
// and the type that the package is about. Generated code is free.
func TestMainFiles(t *testing.T) {
	t.Parallel()
	for _, pkg := range listPackages(t) {
		name := strings.TrimPrefix(pkg.ImportPath, module)
		if matches("gen", name) || len(pkg.GoFiles) == 0 {
			continue
		}
		files := map[string]*ast.File{}
		for _, file := range pkg.GoFiles {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, file), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files[file] = parsed
		}
		for _, problem := range judgeFiles(name, files) {
			t.Error(problem)
		}
	}
}

// TestJudgeFiles checks the check.
func TestJudgeFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pkg string
		files     map[string]string
		problems  int
	}{
		{"good", "internal/pool", map[string]string{
			"pool.go": "// Package pool.\npackage pool\n// Pool is one.\ntype Pool struct{}", "more.go": "package pool\ntype Size int",
		}, 0},
		{"no doc", "internal/pool", map[string]string{"pool.go": "package pool"}, 1},
		{"no main file", "internal/pool", map[string]string{"swim.go": "// Package pool.\npackage pool"}, 2},
		{"doc elsewhere", "internal/pool", map[string]string{"pool.go": "package pool", "swim.go": "// Package pool.\npackage pool"}, 2},
		{"doc twice", "internal/pool", map[string]string{"pool.go": "// Package pool.\npackage pool", "swim.go": "// Package pool.\npackage pool"}, 1},
		{"the namesake elsewhere", "internal/pool", map[string]string{"pool.go": "// Package pool.\npackage pool", "swim.go": "package pool\ntype Pool int"}, 1},
		{"a grouped plural elsewhere", "internal/pool", map[string]string{"pool.go": "// Package pool.\npackage pool", "swim.go": "package pool\ntype (\n\tPools int\n)"}, 1},
		{"what New makes elsewhere", "internal/pool", map[string]string{
			"pool.go": "// Package pool.\npackage pool\nfunc New() (*Swimmers, error) { return nil, nil }", "swim.go": "package pool\ntype Swimmers int",
		}, 1},
		{"a command", "cmd/pool", map[string]string{"main.go": "// Pool is a command.\npackage main"}, 0},
	}
	for _, test := range tests {
		files := map[string]*ast.File{}
		for name, text := range test.files {
			parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = parsed
		}
		if got := judgeFiles(test.pkg, files); len(got) != test.problems {
			t.Errorf("%s: got the problems %q, want %d", test.name, got, test.problems)
		}
	}
}

// judgeFiles returns what is wrong with the files of a package.
func judgeFiles(pkg string, files map[string]*ast.File) []string {
	mainFile := path.Base(pkg) + ".go"
	for _, file := range files {
		if file.Name.Name == "main" {
			mainFile = "main.go"
		}
	}
	nouns := []string{path.Base(pkg), path.Base(pkg) + "s"}
	var problems []string
	if file := files[mainFile]; file == nil || file.Doc == nil {
		problems = append(problems, pkg+": has no package doc in "+mainFile)
	}
	if file := files[mainFile]; file != nil {
		nouns = append(nouns, madeByNew(file)...)
	}
	for name, file := range files {
		if name == mainFile {
			continue
		}
		if file.Doc != nil {
			problems = append(problems, pkg+": has a package doc in "+name+"; it belongs in "+mainFile)
		}
		for _, declared := range exportedTypes(file) {
			if slices.ContainsFunc(nouns, func(noun string) bool { return strings.EqualFold(noun, declared) }) {
				problems = append(problems, pkg+": declares "+declared+" in "+name+"; it belongs in "+mainFile)
			}
		}
	}
	return problems
}

// madeByNew names the types of the package that its function New returns.
func madeByNew(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		function, ok := decl.(*ast.FuncDecl)
		if !ok || function.Recv != nil || function.Name.Name != "New" || function.Type.Results == nil {
			continue
		}
		for _, result := range function.Type.Results.List {
			made := result.Type
			if star, ok := made.(*ast.StarExpr); ok {
				made = star.X
			}
			if name, ok := made.(*ast.Ident); ok && name.IsExported() {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// exportedTypes names the exported types that a file declares.
func exportedTypes(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			if declared, ok := spec.(*ast.TypeSpec); ok && declared.Name.IsExported() {
				names = append(names, declared.Name.Name)
			}
		}
	}
	return names
}
