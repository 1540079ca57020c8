package auth

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

const (
	// lookEvery is how often a file is looked at for changes, at most.
	lookEvery = time.Second
	// settled is how old a file must be for its time to tell of every change:
	// clocks of file systems tick coarsely.
	settled = 2 * time.Second
)

// watched is what a file says. It is read anew when it has changed: looked at
// when asked for, at most once a second, so that nothing runs meanwhile. New
// contents that are wrong are logged, and the old ones stay. Safe for concurrent
// use.
type watched[T any] struct {
	path  string
	parse func(data []byte, old *T) (*T, error)
	log   *slog.Logger

	value  atomic.Pointer[T]
	began  time.Time    // of watching; what is measured from it minds no steps of the clock
	looked atomic.Int64 // nanoseconds since began

	mu      sync.Mutex
	info    os.FileInfo // as read
	settled bool        // whether info tells of every change
	sum     [sha256.Size]byte
	problem string // logged last
}

// watch reads the file for the first time, and fails if it cannot be used.
func watch[T any](path string, log *slog.Logger, parse func(data []byte, old *T) (*T, error)) (*watched[T], error) {
	w := &watched[T]{path: path, parse: parse, log: log, began: time.Now()}
	if err := w.read(); err != nil {
		return nil, err
	}
	return w, nil
}

// get is what the file says.
func (w *watched[T]) get() *T {
	now, last := int64(time.Since(w.began)), w.looked.Load()
	if now-last < int64(lookEvery) || !w.looked.CompareAndSwap(last, now) {
		return w.value.Load()
	}
	if !w.mu.TryLock() { // somebody looks, and the file system may take its time
		return w.value.Load()
	}
	defer w.mu.Unlock()
	err := w.look()
	switch {
	case err == nil:
		w.problem = ""
	case err.Error() != w.problem:
		w.problem = err.Error()
		w.log.Warn("a file has changed and cannot be used: what it said before stays in force", "file", w.path, "error", err)
	}
	return w.value.Load()
}

// look reads the file if it is another than before.
func (w *watched[T]) look() error {
	info, err := files.Stat(w.path)
	if err != nil {
		return err
	}
	if w.settled && os.SameFile(info, w.info) && info.ModTime().Equal(w.info.ModTime()) && info.Size() == w.info.Size() {
		return nil
	}
	return w.read()
}

func (w *watched[T]) read() error {
	file, err := files.ReadAll(w.path, files.MaxBytes)
	if err != nil {
		return err
	}
	data, age := file.Data, time.Since(file.Info.ModTime())
	old, sum := w.value.Load(), sha256.Sum256(data)
	if old == nil || sum != w.sum {
		value, err := w.parse(data, old)
		if err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		w.value.Store(value)
		if old != nil {
			w.log.Info("a file has changed and was read anew", "file", w.path)
		}
	}
	w.info, w.sum, w.settled = file.Info, sum, age > settled
	return nil
}
