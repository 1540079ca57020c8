// Package files reads the files that an operator names. A path may turn into
// anything while the gateway runs: a named pipe that nobody writes to, a device
// without an end, a file on a network file system that hangs. So only regular
// files are read, behind links too (Kubernetes mounts links), only up to a size,
// and for a bounded time.
package files

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxBytes is a bound for files that have none of their own, such as
// certificates and keys.
const MaxBytes = 16 << 20

// Read reads a regular file of at most limit bytes. The error is an
// [os.PathError]. Safe for concurrent use, as all functions here.
func Read(path string, limit int64) ([]byte, error) {
	return bounded(process, path, func() ([]byte, error) {
		f, info, err := open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if info.Size() > limit {
			return nil, tooLarge(limit)
		}
		var data bytes.Buffer
		data.Grow(int(info.Size()) + bytes.MinRead) // it may grow meanwhile, and files in /proc have no size
		n, err := data.ReadFrom(io.LimitReader(f, limit+1))
		if err == nil && n > limit {
			err = tooLarge(limit)
		}
		if err != nil {
			return nil, err
		}
		return data.Bytes(), nil
	})
}

// Sum is the SHA-256 of what [Read] would return, without holding it in memory.
func Sum(path string, limit int64) ([sha256.Size]byte, error) {
	return bounded(process, path, func() (sum [sha256.Size]byte, _ error) {
		f, _, err := open(path)
		if err != nil {
			return sum, err
		}
		defer f.Close()
		hash := sha256.New()
		n, err := io.Copy(hash, io.LimitReader(f, limit+1))
		if err == nil && n > limit {
			err = tooLarge(limit)
		}
		if err != nil {
			return sum, err
		}
		hash.Sum(sum[:0])
		return sum, nil
	})
}

// Stat returns what the system says of a file, of any kind.
func Stat(path string) (os.FileInfo, error) {
	return bounded(process, path, func() (os.FileInfo, error) { return os.Stat(path) })
}

// Check returns why a file cannot be read, nil if it can be opened.
func Check(path string) error {
	_, err := bounded(process, path, func() (struct{}, error) {
		f, _, err := open(path)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, f.Close()
	})
	return err
}

// open opens a regular file. It looks at the path first, since to open a device
// may do something, and opens without waiting, since the path may be a pipe by
// then.
func open(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := regular(info); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// regular refuses what is not a regular file, and says what it is.
func regular(info os.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("it is a folder: want a regular file")
	case mode&fs.ModeNamedPipe != 0: // such as /dev/stdin and <(command) of a shell
		return errors.New("it is a pipe: want a regular file, which can be read again at a reload; write what comes from /dev/stdin or <(command) to a file first")
	case mode&fs.ModeSocket != 0:
		return errors.New("it is a socket: want a regular file")
	default:
		return errors.New("it is a device: want a regular file")
	}
}

func tooLarge(limit int64) error {
	if limit < 1<<20 {
		return fmt.Errorf("it is larger than %d KiB", limit>>10)
	}
	return fmt.Errorf("it is larger than %d MiB", limit>>20)
}
