//go:build !unix

package handover

import (
	"errors"
	"io"
	"net"
	"os"
)

// errUnsupported is all that there is where sockets cannot be passed on.
var errUnsupported = errors.New("sockets cannot be passed on by this system")

func inherit(func(string) string) (*Inheritance, error) { return nil, nil }

// Asked is never told: there is no signal for it.
func Asked() (asked <-chan os.Signal, stop func()) { return nil, func() {} }

// File is a copy of a listener's descriptor.
func File(*net.TCPListener) (*os.File, error) { return nil, errUnsupported }

func pair() (*net.UnixConn, *os.File, error) { return nil, nil, errUnsupported }

func identity(int) (string, error) { return "", errUnsupported }

func duplicate(*os.File) (*os.File, error) { return nil, errUnsupported }

func unasked(err error) error { return err }

func terminate(p *os.Process) error { return p.Kill() }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
