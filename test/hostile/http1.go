package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
)

// Slow opens a connection to the HTTP port whose reader takes little: the system
// holds but a few kilobytes for it. It ends with the attack.
func (t *Target) Slow() (net.Conn, error) {
	nc, err := (&net.Dialer{Control: smallBuffer}).DialContext(t.ctx, "tcp", t.HTTP)
	if err != nil {
		return nil, err
	}
	t.OnEnd(func() { _ = nc.Close() })
	context.AfterFunc(t.ctx, func() { _ = nc.Close() })
	return nc, nil
}

// Request writes a request of HTTP/1.1. More are further lines of the header.
func Request(to io.Writer, verb, path string, body []byte, more ...string) error {
	request := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: gatehouse\r\nContent-Length: %d\r\n", verb, path, len(body))
	for _, line := range more {
		request = append(request, line+"\r\n"...)
	}
	request = append(request, "\r\n"...)
	_, err := to.Write(append(request, body...))
	return err
}

func drain(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }
