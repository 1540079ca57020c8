package files

import (
	"crypto/sha256"
	"os"
	"time"
)

// settledAfter is how old a file must be for its time to tell of every change: clocks
// of file systems tick coarsely.
const settledAfter = 2 * time.Second

// Mark is how a file was when it was looked at, so that it need not be read again to
// see that it is the same. The zero Mark is of a file that could not be read. It is
// immutable.
type Mark struct {
	info    os.FileInfo
	settled bool
	sum     [sha256.Size]byte
}

// MarkOf looks at a file of at most limit bytes that was as before. It reads the file
// where the system cannot tell that it is the same.
func MarkOf(path string, before Mark, limit int64) Mark {
	info, err := Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return Mark{}
	}
	if b := before.info; b != nil && before.settled && os.SameFile(b, info) && b.ModTime().Equal(info.ModTime()) && b.Size() == info.Size() {
		return before
	}
	now := Mark{info: info, settled: time.Since(info.ModTime()) > settledAfter}
	if now.sum, err = Sum(path, limit); err != nil {
		return Mark{}
	}
	return now
}

// Same reports whether two marks are of the same contents, or of none.
func (m Mark) Same(other Mark) bool {
	return (m.info == nil) == (other.info == nil) && m.sum == other.sum
}

// ChangedSince reports whether the file may have changed since then, by its time.
func (m Mark) ChangedSince(then time.Time) bool {
	return m.info != nil && then.Sub(m.info.ModTime()) < settledAfter
}
