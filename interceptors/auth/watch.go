package auth

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// lookEvery is how often a file is looked at for changes.
const lookEvery = time.Second

// watched is what a file says. A goroutine of its own reads the file anew when it has
// changed, so that no call waits for a file system. New contents that are wrong are
// logged, and the old ones stay. Safe for concurrent use.
type watched[T any] struct {
	path  string
	parse func(data []byte, old *T) (*T, error)
	log   *slog.Logger
	value atomic.Pointer[T]

	stop chan struct{}
	wg   sync.WaitGroup

	// These are the goroutine's.
	mark    files.Mark // of the contents in force
	problem string     // logged last
}

// watch reads the file for the first time, and fails if it cannot be used. close ends
// what watch began.
func watch[T any](path string, log *slog.Logger, parse func(data []byte, old *T) (*T, error)) (*watched[T], error) {
	w := &watched[T]{path: path, parse: parse, log: log, stop: make(chan struct{})}
	if err := w.look(); err != nil {
		return nil, err
	}
	w.wg.Go(w.run)
	return w, nil
}

// get is what the file says.
func (w *watched[T]) get() *T { return w.value.Load() }

// close ends the watching. What the file said last stays in force.
func (w *watched[T]) close() {
	close(w.stop)
	w.wg.Wait()
}

func (w *watched[T]) run() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		err := w.look()
		switch {
		case err == nil:
			w.problem = ""
		case err.Error() != w.problem:
			w.problem = err.Error()
			w.log.Warn("a file has changed and cannot be used: what it said before stays in force", "file", w.path, "error", err)
		}
	}
}

// look reads the file if it is another than before.
func (w *watched[T]) look() error {
	old, now := w.value.Load(), files.MarkOf(w.path, w.mark, files.MaxBytes)
	if old != nil && now.Same(w.mark) {
		w.mark = now
		return nil
	}
	data, err := files.Read(w.path, files.MaxBytes)
	if err != nil {
		return err
	}
	value, err := w.parse(data, old)
	if err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	w.value.Store(value)
	w.mark = now
	if old != nil {
		w.log.Info("a file has changed and was read anew", "file", w.path)
	}
	return nil
}
