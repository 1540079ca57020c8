package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// maxSecretBytes bounds a file that is put in the place of ${file:PATH}.
const maxSecretBytes = 64 << 10

// substitute replaces ${NAME} and ${file:PATH} in a string value. What is put
// in is not looked at again. Errors never tell what was put in. seen is told of
// each file that is asked for.
func substitute(text, folder string, seen func(path string)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString(before + "{")
			text = after
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("${ without }; write ${NAME} for an environment variable, ${file:PATH} for a file's contents, $${ for a plain ${")
		}
		value, err := lookUp(name, folder, seen)
		if err != nil {
			return "", err
		}
		out.WriteString(before + value)
		text = rest
	}
}

func lookUp(name, folder string, seen func(path string)) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		path = inFolder(path, folder)
		seen(path)
		value, err := readSecret(path)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", name, err)
		}
		return value, nil
	}
	if !isVariable(name) {
		return "", fmt.Errorf("${%s}: not a name; write ${NAME} for an environment variable, ${file:PATH} for a file's contents, $${ for a plain ${", name)
	}
	value, ok := os.LookupEnv(name)
	switch {
	case !ok:
		return "", fmt.Errorf("${%s}: the environment variable %s is not set", name, name)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("${%s}: the environment variable %s is not valid UTF-8", name, name)
	}
	return value, nil
}

func isVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// readSecret reads a file that is put in the place of ${file:PATH}.
func readSecret(path string) (string, error) {
	data, err := files.Read(path, maxSecretBytes)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read %s: %w", path, unwrapPath(err))
	case !utf8.Valid(data):
		return "", fmt.Errorf("%s is not valid UTF-8", path)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// inFolder makes a relative path one that begins at the folder.
func inFolder(path, folder string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}
