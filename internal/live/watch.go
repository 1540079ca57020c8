package live

import (
	"crypto/sha256"
	"os"
	"slices"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// settled is how old a file must be for its time to tell of every change: clocks
// of file systems tick coarsely.
const settled = 2 * time.Second

// watchedFiles are the files that the configuration in force was read from. They are
// guarded by Gateway.building.
type watchedFiles struct {
	load func() (*config.File, []string, error)
	seen map[string]fingerprint // by path
	// missed says that a file could have changed while it was read.
	missed bool
}

// fingerprint is what is known of a file, so that it need not be read to see that it is
// the same.
type fingerprint struct {
	info    os.FileInfo // nil: it cannot be read
	settled bool
	sum     [sha256.Size]byte
}

// read reads the configuration and watches its files.
func (w *watchedFiles) read() (*config.File, error) {
	began := time.Now()
	file, read, err := w.load()
	w.watch(file, read, began)
	return file, err
}

// watch watches the files of a configuration from now on. One that was not watched
// before may have changed since it was read: it is looked at once more, unless its time
// says otherwise.
func (w *watchedFiles) watch(file *config.File, read []string, began time.Time) {
	paths := slices.Clone(read)
	if file != nil {
		paths = append(paths, file.Files()...)
	}
	before := w.seen
	w.seen, w.missed = make(map[string]fingerprint, len(paths)), false
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		f, known := before[path]
		if !known {
			f = newFingerprint(path, fingerprint{})
			w.missed = w.missed || f.info != nil && began.Sub(f.info.ModTime()) < settled
		}
		w.seen[path] = f
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

func (w *watchedFiles) lookAgain() (now map[string]fingerprint, changed bool) {
	now = make(map[string]fingerprint, len(w.seen))
	for path, before := range w.seen {
		now[path] = newFingerprint(path, before)
		changed = changed || (now[path].info == nil) != (before.info == nil) || now[path].sum != before.sum
	}
	return now, changed
}

// newFingerprint looks at a file that was as before when it was last looked at. A file
// that is not there, or is no plain file, has the zero fingerprint.
func newFingerprint(path string, before fingerprint) fingerprint {
	info, err := files.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return fingerprint{}
	}
	if b := before.info; b != nil && before.settled && os.SameFile(b, info) && b.ModTime().Equal(info.ModTime()) && b.Size() == info.Size() {
		return before
	}
	now := fingerprint{info: info, settled: time.Since(info.ModTime()) > settled}
	if now.sum, err = files.Sum(path, contract.MaxImageBytes); err != nil {
		return fingerprint{}
	}
	return now
}
