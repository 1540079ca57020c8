package live

import (
	"slices"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// watchedFiles are the files that the configuration in force was read from. They are
// guarded by Gateway.building.
type watchedFiles struct {
	load func() (*config.File, []string, error)
	seen map[string]files.Mark // by path
	// missed says that a file could have changed while it was read.
	missed bool
}

// read reads the configuration and watches its files.
func (w *watchedFiles) read() (*config.File, error) {
	began := time.Now()
	file, read, err := w.load()
	w.watch(file, read, began)
	return file, err
}

// watch watches the files of a configuration from now on. A file that was not watched
// before is looked at once more, unless its modification time shows that it did not change
// after reading began.
func (w *watchedFiles) watch(file *config.File, read []string, began time.Time) {
	paths := slices.Clone(read)
	if file != nil {
		paths = append(paths, file.Files()...)
	}
	before := w.seen
	w.seen, w.missed = make(map[string]files.Mark, len(paths)), false
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		mark, known := before[path]
		if !known {
			mark = files.MarkOf(path, mark, contract.MaxImageBytes)
			w.missed = w.missed || mark.ChangedSince(began)
		}
		w.seen[path] = mark
	}
}

// look looks at all files before they are read.
func (w *watchedFiles) look() { w.seen, _ = w.lookAgain() }

// haveChanged reports whether one of the files has changed since it was read.
func (w *watchedFiles) haveChanged() bool {
	now, changed := w.lookAgain()
	if !changed {
		w.seen = now
	}
	return changed || w.missed
}

func (w *watchedFiles) lookAgain() (now map[string]files.Mark, changed bool) {
	now = make(map[string]files.Mark, len(w.seen))
	for path, before := range w.seen {
		now[path] = files.MarkOf(path, before, contract.MaxImageBytes)
		changed = changed || !now[path].Same(before)
	}
	return now, changed
}
