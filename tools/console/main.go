// Command console writes the script of the console, and the licenses of what is in it:
//
//	console NODE_MODULES SHA256 DIR
//
// The script is the standalone file of @scalar/api-reference in NODE_MODULES, which must
// have that checksum. The packages that it was made of stand in its source map.
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: console NODE_MODULES SHA256 DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

func run(modules, sum, dir string) error {
	standalone := filepath.Join(modules, "@scalar/api-reference/dist/browser/standalone.js")
	script, err := os.ReadFile(standalone)
	if err != nil {
		return err
	}
	if got := sha256.Sum256(script); hex.EncodeToString(got[:]) != sum {
		return fmt.Errorf("%s has the checksum %x, want %s", standalone, got, sum)
	}
	packages, err := packagesOf(standalone + ".map")
	if err != nil {
		return err
	}
	licenses, err := licensesOf(modules, packages)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "THIRD_PARTY.txt"), []byte(licenses), 0o644); err != nil {
		return err
	}
	compressed, err := compress(script)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "scalar.js.gz"), compressed, 0o644)
}

// compress writes no time and no name, so that the same script has the same bytes.
func compress(script []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(script); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// installed finds the package of a source: pnpm has each in a folder that names its version.
var installed = regexp.MustCompile(`/\.pnpm/[^/]+/node_modules/((?:@[^/]+/)?[^/]+)/`)

func packagesOf(sourceMap string) ([]string, error) {
	text, err := os.ReadFile(sourceMap)
	if err != nil {
		return nil, err
	}
	var parsed struct{ Sources []string }
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", sourceMap, err)
	}
	names := map[string]bool{}
	for _, source := range parsed.Sources {
		if m := installed.FindStringSubmatch(source); m != nil && !strings.HasPrefix(m[1], "@scalar/") {
			names[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

//go:embed scalar.txt
var license string // Scalar's packages have none in them

// licensesOf writes each license once, after the packages that have it.
func licensesOf(modules string, packages []string) (string, error) {
	holders := map[string][]string{license: {"@scalar/*"}}
	for _, name := range packages {
		text, err := licenseOf(filepath.Join(modules, name))
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		holders[text] = append(holders[text], name)
	}
	var b strings.Builder
	b.WriteString("scalar.js.gz is made of these packages, under these licenses.\n")
	texts := slices.SortedFunc(maps.Keys(holders), func(x, y string) int { return cmp.Compare(holders[x][0], holders[y][0]) })
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n%s:\n\n%s\n", strings.Repeat("-", 72), strings.Join(holders[text], ", "), strings.TrimSpace(text))
	}
	return b.String(), nil
}

// licenseOf is the license file of a package, or else what its description says.
func licenseOf(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return "No license file: the package came inside of another one.", nil
	}
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if name := strings.ToLower(f.Name()); strings.HasPrefix(name, "license") || strings.HasPrefix(name, "licence") {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			return strings.ReplaceAll(string(text), "\r\n", "\n"), err
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return "", err
	}
	var description struct{ License string }
	err = json.Unmarshal(text, &description)
	return description.License, err
}
