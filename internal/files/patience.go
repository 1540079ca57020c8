package files

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// A read that hangs in the kernel cannot be ended: its goroutine and its thread
// stay until the file system answers. So no more than maxHanging may hang, and
// the more do, the less long others are waited for: a folder of files on a file
// system that hangs costs at most about twice the patience, not once for each.
const (
	patience   = 10 * time.Second
	shortest   = 100 * time.Millisecond
	maxHanging = 16
)

// process counts the reads of this process that hang. It is the one of the
// package, since the threads are the process's.
var process = &hanging{patience: patience, paths: map[string]int{}}

// hanging are reads that are not waited for any more and have not ended.
type hanging struct {
	patience time.Duration
	mu       sync.Mutex
	paths    map[string]int // guarded by mu
	count    int            // of all paths; guarded by mu
}

// bounded returns what work returns, or an error if that takes too long.
func bounded[T any](h *hanging, path string, work func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	var none T
	wait, err := h.wait(path)
	if err != nil {
		return none, &os.PathError{Op: "read", Path: path, Err: err}
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := work()
		done <- outcome{value, err}
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.value, pathError(path, o.err)
	case <-timer.C:
	}
	h.add(path, 1)
	go func() {
		<-done
		h.add(path, -1)
	}()
	return none, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("its file system did not answer within %v", wait)}
}

// wait is how long to wait for a read of path, or why not to begin it.
func (h *hanging) wait(path string) (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.paths[path] > 0:
		return 0, errors.New("its file system has not answered since it was last read")
	case h.count >= maxHanging:
		return 0, errors.New("the file systems of other files do not answer")
	}
	return max(h.patience>>h.count, min(shortest, h.patience)), nil
}

func (h *hanging) add(path string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count += n
	if h.paths[path] += n; h.paths[path] == 0 {
		delete(h.paths, path)
	}
}

// pathError makes every error one of its path.
func pathError(path string, err error) error {
	if err == nil {
		return nil
	}
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe
	}
	return &os.PathError{Op: "read", Path: path, Err: err}
}
