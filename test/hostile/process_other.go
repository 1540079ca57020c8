//go:build !linux

package hostile

import (
	"errors"
	"syscall"
	"time"
)

// Measurable tells whether this system can measure another process.
const Measurable = false

var errMeasure = errors.New("another process is measured on Linux only")

func dieWithParent() *syscall.SysProcAttr { return nil }

func cpuOf(int) (time.Duration, error) { return 0, errMeasure }

func resident(int) (now, peak int64, err error) { return 0, 0, errMeasure }

func forgetPeak(int) error { return errMeasure }

func smallBuffer(string, string, syscall.RawConn) error { return nil }
