package files

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHangs: a read that hangs is given up, the next of the same file is not
// begun, and files elsewhere are read meanwhile. No more hang than may. Once the
// file system answers all is as before.
func TestHangs(t *testing.T) {
	t.Parallel()
	h := &hanging{patience: 10 * time.Millisecond, paths: map[string]int{}}
	answer := make(chan struct{})
	hang := func(path string) error {
		_, err := bounded(h, path, func() (int, error) { <-answer; return 0, nil })
		return err
	}
	well := func(path string) (int, error) {
		h.mu.Lock()
		h.patience = time.Minute // this is not about time
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.patience = 10 * time.Millisecond
		}()
		return bounded(h, path, func() (int, error) { return 7, nil })
	}
	for n := range maxHanging {
		if got, err := well("well"); got != 7 || err != nil {
			t.Fatalf("with %d that hang, another file: %d %v", n, got, err)
		}
		path := fmt.Sprintf("hung%d", n)
		if err := hang(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "did not answer within") {
			t.Errorf("got %v", err)
		}
		if _, err := well(path); err == nil || !strings.Contains(err.Error(), "has not answered since") {
			t.Errorf("the same file again: %v", err)
		}
	}
	if _, err := well("one more"); err == nil || !strings.Contains(err.Error(), "other files do not answer") {
		t.Errorf("with all that may hang: %v", err)
	}
	close(answer)
	for range time.Tick(time.Millisecond) {
		if got, err := well("hung0"); err == nil && got == 7 {
			break
		}
	}
}

// TestPatience: a folder of files that hang costs little more than one of them.
func TestPatience(t *testing.T) {
	t.Parallel()
	h := &hanging{patience: patience, paths: map[string]int{}}
	var all time.Duration
	for n := range maxHanging {
		wait, err := h.wait("any")
		if err != nil {
			t.Fatal(err)
		}
		all += wait
		h.add(fmt.Sprint(n), 1)
	}
	if all > 5*patience/2 {
		t.Errorf("all together are waited for %v, want little more than %v", all, 2*patience)
	}
}
