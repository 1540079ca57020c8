package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The link between a gateway and the one that is to replace it is a unix socket
// of lines. The new one says once
//
//	ready
//	failed: WHY
//
// and the old one answers "ready" with
//
//	go
//	no
//
// "go" commits both: the new one accepts connections from then on, and the old
// one accepts none. Before "go" the new one has accepted none and may be killed.
const (
	lineReady  = "ready"
	lineFailed = "failed: "
	lineGo     = "go"
	lineNo     = "no"
)

// maxLine bounds a line, an error with its text above all.
const maxLine = 8 << 10

// errNotWanted is the answer "no".
var errNotWanted = errors.New("the gateway that was to be replaced has given up on this one and stays")

// Ready says that the process can serve, and returns when it shall: at once if
// it replaces nobody, else when the gateway before it accepts no more. If that
// one has ended meanwhile, there is nobody else to serve.
func (i *Inheritance) Ready(ctx context.Context) error {
	if i == nil || i.link == nil {
		return nil
	}
	i.told = true
	defer func() { _ = i.link.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = i.link.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(i.link, lineReady+"\n"); err != nil && ctx.Err() == nil {
		return nil
	}
	answer, err := readLine(i.link)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && answer == lineNo:
		return errNotWanted
	default:
		return nil
	}
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
	_ = i.link.Close()
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// readReady reads what a new gateway says.
func readReady(r io.Reader) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	if why, ok := strings.CutPrefix(line, lineFailed); ok {
		return fmt.Errorf("the new gateway says: %s", why)
	}
	if line != lineReady {
		return fmt.Errorf("the new gateway says %q: want %q", line, lineReady)
	}
	return nil
}
