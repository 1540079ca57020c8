package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// The link between a gateway and the one that is to replace it is a unix socket
// of lines. The new one says once
//
//	ready NAMES
//	failed: WHY
//
// with the names of the listeners whose sockets it has taken, and the old one
// answers "ready" with
//
//	go
//	no
//
// From "go" on the new one accepts connections, and the old one accepts none. Before
// "go" the new one has accepted none and may be killed. Either may end at any time:
// if the old one does, the new one needs no answer; if the new one does, the old one
// takes its sockets back, see [Successor], unless the new one has said before
//
//	left
//
// since it has been replaced itself.
const (
	lineReady  = "ready "
	lineFailed = "failed: "
	lineGo     = "go"
	lineNo     = "no"
	lineLeft   = "left"
)

// maxLine bounds a line, an error with its text above all.
const maxLine = 8 << 10

// errNotWanted is the answer "no".
var errNotWanted = errors.New("the gateway that was to be replaced has given up on this one and stays")

// link is the new gateway's end. It is read all the time, so that the end of the
// gateway before shows at once.
type link struct {
	*net.UnixConn
	answer string        // "" if that one has ended; valid once heard is closed
	heard  chan struct{} // closed when there is an answer, or there will be none
}

func newLink(c *net.UnixConn) *link {
	l := &link{UnixConn: c, heard: make(chan struct{})}
	go func() {
		defer close(l.heard)
		if line, err := readLine(c); err == nil {
			l.answer = line
		}
	}()
	return l
}

// Heard is closed when the gateway before has answered or ended; nil if there is
// none. Before [Inheritance.Ready] it can only have ended.
func (i *Inheritance) Heard() <-chan struct{} {
	if i == nil || i.link == nil {
		return nil
	}
	return i.link.heard
}

// Ready says that the process can serve, and returns when it shall: at once if
// it replaces nobody, else when the gateway before it accepts no more. If that
// one has ended meanwhile, there is nobody else to serve.
func (i *Inheritance) Ready(ctx context.Context) error {
	if i == nil || i.link == nil {
		return nil
	}
	i.told = true
	_, _ = io.WriteString(i.link, lineReady+strings.Join(i.taken, ",")+"\n") // if it cannot be heard, there is no answer
	select {
	case <-ctx.Done():
		i.closeLink()
		return context.Cause(ctx)
	case <-i.link.heard:
	}
	if i.link.answer == lineNo {
		i.closeLink()
		return errNotWanted
	}
	return nil
}

// Left says that another process has taken over from this one, so that the gateway
// before, if it is still there, needs not serve again when this one ends.
func (i *Inheritance) Left() {
	if i == nil || i.link == nil {
		return
	}
	_, _ = io.WriteString(i.link, lineLeft+"\n") // nobody may be there any more
	i.closeLink()
}

func (i *Inheritance) closeLink() {
	_ = i.link.Close()
	<-i.link.heard
}

// hasLeft reports whether a process that has ended had been replaced itself.
func hasLeft(near *net.UnixConn) bool {
	_ = near.SetReadDeadline(time.Time{})
	line, err := readLine(near)
	return err == nil && line == lineLeft
}

// Failed says that the process will not serve, and why. After Ready it says
// nothing.
func (i *Inheritance) Failed(why error) {
	if i == nil || i.link == nil || i.told {
		return
	}
	i.told = true
	text := strings.ReplaceAll(why.Error(), "\n", "; ")
	_, _ = io.WriteString(i.link, lineFailed+text[:min(len(text), maxLine-len(lineFailed)-1)]+"\n") // stderr has it too
	i.closeLink()
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// readReady reads what a new gateway says: the names of the sockets that it has
// taken.
func readReady(r io.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if why, ok := strings.CutPrefix(line, lineFailed); ok {
		return nil, fmt.Errorf("the new gateway says: %s", why)
	}
	names, ok := strings.CutPrefix(line, lineReady)
	if !ok {
		return nil, fmt.Errorf("the new gateway says %q: want %q", line, strings.TrimSpace(lineReady))
	}
	return strings.Split(names, ","), nil
}
