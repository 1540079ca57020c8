package cluster

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo answers each line with itself, on a link's far side.
func echo(t *testing.T) (*link, *bufio.ReadWriter, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k, err := newLink("test", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	k.point(l.Addr().String())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c) // until the link ends it
			_ = c.Close()
		}
	}()
	near, err := net.Dial("tcp", k.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close()
		k.close()
		_ = l.Close()
		<-ended
	})
	return k, bufio.NewReadWriter(bufio.NewReader(near), bufio.NewWriter(near)), near
}

func say(t *testing.T, rw *bufio.ReadWriter, line string) {
	t.Helper()
	_, _ = rw.WriteString(line + "\n") // told by Flush
	if err := rw.Flush(); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, rw *bufio.ReadWriter, want string) {
	t.Helper()
	if got, err := rw.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// TestLinkHolds wants nothing to pass a link that is held, and all that was sent to
// pass it afterwards.
func TestLinkHolds(t *testing.T) {
	for name, ways := range map[string][2]bool{"both ways": {true, true}, "there": {true, false}, "back": {false, true}} {
		t.Run(name, func(t *testing.T) {
			k, rw, near := echo(t)
			say(t, rw, "one")
			hear(t, rw, "one")
			k.hold(ways[0], ways[1])
			say(t, rw, "two")
			_ = near.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if got, err := rw.ReadString('\n'); !os.IsTimeout(err) {
				t.Fatalf("got %q, %v through a link that is held", got, err)
			}
			_ = near.SetReadDeadline(time.Time{})
			k.heal()
			hear(t, rw, "two")
		})
	}
}

// TestLinkResets wants connections to end, and new ones to be had.
func TestLinkResets(t *testing.T) {
	k, rw, _ := echo(t)
	say(t, rw, "one")
	hear(t, rw, "one")
	k.hold(true, true)
	say(t, rw, "lost")
	k.reset()
	if got, err := rw.ReadString('\n'); err == nil {
		t.Fatalf("got %q on a connection that was reset", got)
	}
	k.heal()
	again, err := net.Dial("tcp", k.address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	rw = bufio.NewReadWriter(bufio.NewReader(again), bufio.NewWriter(again))
	say(t, rw, "two")
	hear(t, rw, "two")
}
