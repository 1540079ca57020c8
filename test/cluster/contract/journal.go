package contract

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Entry is one execution of a call that has side effects, as the backend that did
// it wrote it down.
type Entry struct {
	RPC       string // such as Order
	Nonce     string
	Execution string
	At        time.Time
}

// Journal is where one replica writes its executions down, one line each in one
// write: what was written before a SIGKILL stays, since the kernel has it. It is
// safe for concurrent use.
type Journal struct{ file *os.File }

// OpenJournal opens the journal of a replica, behind what is in it.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Journal{f}, nil
}

// Write writes an execution down.
func (j *Journal) Write(e Entry) error {
	_, err := fmt.Fprintf(j.file, "%s %s %s %d\n", e.RPC, e.Nonce, e.Execution, e.At.UnixNano())
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// ReadJournal reads what a replica has written down in all its lives. There need
// be nothing.
func ReadJournal(path string) (_ []Entry, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var entries []Entry
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e Entry
		var nanos int64
		if _, err := fmt.Fscan(strings.NewReader(lines.Text()), &e.RPC, &e.Nonce, &e.Execution, &nanos); err != nil {
			return nil, fmt.Errorf("%s: line %q: %w", path, lines.Text(), err)
		}
		e.At = time.Unix(0, nanos)
		entries = append(entries, e)
	}
	return entries, lines.Err()
}
