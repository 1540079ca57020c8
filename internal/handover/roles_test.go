//go:build unix

package handover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-dev/gatehouse/internal/handover"
)

// roleEnv says what the test binary is when a test has started it.
const roleEnv = "HANDOVER_TEST_ROLE"

// roles return the exit code.
var roles = map[string]func() int{
	"server":    serveOnce,
	"failing":   failing,
	"mute":      func() int { return 3 },
	"stubborn":  func() int { time.Sleep(time.Minute); return 0 },
	"talkative": talkative,
	"giver":     give,
	"heir":      inheritAlone,
	"leaving":   leave,
}

// serveOnce takes what it is given, at the addresses that HTTP_ADDRESS and
// GRPC_ADDRESS tell, and answers one connection on each with the listener's
// name. What goes wrong is written where the test reads it.
func serveOnce() int {
	given, err := handover.Inherit()
	if err != nil {
		return fail(given, err)
	}
	open := map[string]net.Listener{}
	for _, l := range []struct{ name, env string }{{"http", "HTTP_ADDRESS"}, {"grpc", "GRPC_ADDRESS"}} {
		address := os.Getenv(l.env)
		if address == "" {
			continue
		}
		taken, err := given.Take(l.name, address)
		if err != nil {
			return fail(given, err)
		}
		if taken == nil {
			_, _ = fmt.Fprintln(os.Stdout, "nothing for", l.name)
			continue
		}
		open[l.name] = taken
	}
	if err := given.Rest(); err != nil {
		return fail(given, err)
	}
	if os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_PID")+os.Getenv("GATEHOUSE_HANDOVER") != "" {
		return fail(given, errors.New("the environment still tells of sockets"))
	}
	if err := given.Ready(context.Background()); err != nil {
		return fail(given, err)
	}
	var all sync.WaitGroup
	for name, l := range open {
		all.Go(func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, name)
				_ = c.Close()
			}
		})
	}
	all.Wait()
	return 0
}

func fail(given *handover.Inheritance, err error) int {
	_, _ = fmt.Fprintln(os.Stdout, "error:", err)
	given.Failed(err)
	return 1
}

func failing() int {
	given, err := handover.Inherit()
	if err != nil {
		return 4
	}
	given.Failed(errors.New("gatehouse.yaml:1:1: a mistake\nand another"))
	return 1
}

// leave is replaced, and killed after that.
func leave() int {
	given, err := handover.Inherit()
	if err != nil || given.Ready(context.Background()) != nil {
		return 9
	}
	given.Left()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// give hands the socket at descriptor 3 over to an heir, which kills it.
func give() int {
	l, err := net.FileListener(os.NewFile(3, "http"))
	if err != nil {
		return 5
	}
	f, err := handover.File(l.(*net.TCPListener))
	if err != nil {
		return 6
	}
	_, _ = program("heir", "HTTP_ADDRESS="+l.Addr().String()).Replace(context.Background(), []handover.Socket{{Name: "http", File: f}})
	return 7
}

// inheritAlone is a server whose predecessor is gone when it begins.
func inheritAlone() int {
	giver := os.Getppid()
	if err := syscall.Kill(giver, syscall.SIGKILL); err != nil {
		return 8
	}
	for os.Getppid() == giver {
		time.Sleep(time.Millisecond)
	}
	return serveOnce()
}

// talkative says what means nothing, in place of "ready".
func talkative() int {
	link := os.NewFile(3, "link") // no sockets are before it
	_, _ = io.WriteString(link, "hello\n")
	_, _ = io.ReadAll(link)
	return 0
}
