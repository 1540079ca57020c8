package files_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

const limit = 4 << 10

func write(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(strings.Repeat("a", size)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tried is what each way to read a file makes of it.
func tried(path string) map[string]error {
	_, read := files.Read(path, limit)
	_, sum := files.Sum(path, limit)
	return map[string]error{"Read": read, "Sum": sum, "Check": files.Check(path)}
}

// TestRead: a file up to the limit, behind a link of the kind that Kubernetes
// mounts too.
func TestRead(t *testing.T) {
	t.Parallel()
	path := write(t, limit)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, link} {
		for name, err := range tried(path) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		data, _ := files.Read(path, limit)
		sum, _ := files.Sum(path, limit)
		if len(data) != limit || sum != sha256.Sum256(data) {
			t.Errorf("read %d bytes, sum %x", len(data), sum)
		}
		if info, err := files.Stat(path); err != nil || info.Size() != limit {
			t.Errorf("stat: %v", err)
		}
	}
}

// TestTooLarge: the limit is named, whether the size shows before or while the
// file is read.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	path := write(t, limit+1)
	_, read := files.Read(path, limit)
	_, sum := files.Sum(path, limit)
	for _, err := range []error{read, sum} {
		if err == nil || !strings.Contains(err.Error(), "it is larger than 4 KiB") {
			t.Errorf("got %v", err)
		}
	}
}

// TestNoFile: what cannot be read at all is an error of its path.
func TestNoFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for path, want := range map[string]string{folder: "it is a folder", filepath.Join(folder, "none"): "no such file"} {
		for name, err := range tried(path) {
			if _, ok := errors.AsType[*os.PathError](err); !ok || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

// TestMark: a mark tells of new contents, also where neither the size nor the time of
// the file does, and of a file that is gone or back.
func TestMark(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	first := files.MarkOf(path, files.Mark{}, limit)
	if first.Same(files.Mark{}) || !first.Same(files.MarkOf(path, first, limit)) {
		t.Error("the same file twice: want the same mark, and another than that of none")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	put("two")
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	second := files.MarkOf(path, first, limit)
	if second.Same(first) {
		t.Error("other contents of the same size and time: want another mark")
	}
	old := info.ModTime().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if settled := files.MarkOf(path, second, limit); !settled.Same(second) || !settled.Same(files.MarkOf(path, settled, limit)) {
		t.Error("another time of the same contents: want the same mark")
	}
	put(strings.Repeat("a", limit+1))
	if !files.MarkOf(path, second, limit).Same(files.Mark{}) {
		t.Error("a file over the limit: want the mark of none")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !files.MarkOf(path, second, limit).Same(files.Mark{}) {
		t.Error("no file: want the mark of none")
	}
	put("two")
	if !files.MarkOf(path, files.Mark{}, limit).Same(second) {
		t.Error("the file is back: want the mark from before")
	}
}
