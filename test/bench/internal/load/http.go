package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
)

// conn is one HTTP/1.1 connection that is kept open. It is not safe for
// concurrent use.
type conn struct {
	net.Conn
	r       *bufio.Reader
	request []byte
	answer  Answer
}

func newConn(nc net.Conn, request []byte, answer Answer) *conn {
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 64<<10), request: request, answer: answer}
}

func (c *conn) begin(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	return c.SetDeadline(deadline)
}

// call sends the request and reads the answer.
func (c *conn) call(context.Context) error {
	if _, err := c.Write(c.request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	got, err := c.readAnswer()
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if got != c.answer {
		return fmt.Errorf("an answer has status %d and %d bytes: want %d and %d", got.Status, got.Length, c.answer.Status, c.answer.Length)
	}
	return nil
}

// readAnswer reads one answer and throws its body away.
func (c *conn) readAnswer() (Answer, error) {
	status, err := c.readStatus()
	if err != nil {
		return Answer{}, err
	}
	length, chunked, err := c.readHeaders()
	if err != nil {
		return Answer{}, err
	}
	if chunked {
		length, err = c.discardChunks()
		return Answer{Status: status, Length: length}, err
	}
	_, err = c.r.Discard(length)
	return Answer{Status: status, Length: length}, err
}

// readStatus reads the line "HTTP/1.1 200 OK".
func (c *conn) readStatus() (int, error) {
	line, err := c.readLine()
	if err != nil {
		return 0, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(code))
	if err != nil || string(version) != "HTTP/1.1" {
		return 0, fmt.Errorf("status line %q: want HTTP/1.1 and a number", line)
	}
	return status, nil
}

// readHeaders reads the headers and returns those that frame the body.
func (c *conn) readHeaders() (length int, chunked bool, err error) {
	for {
		line, err := c.readLine()
		if err != nil || len(line) == 0 {
			return length, chunked, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, false, fmt.Errorf("content-length %q: want a number", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close")):
			return 0, false, fmt.Errorf("the server wants to close the connection: it must be kept open")
		}
	}
}

// discardChunks reads a body in chunks and its trailers; it returns the length
// of the data alone.
func (c *conn) discardChunks() (int, error) {
	total := 0
	for {
		line, err := c.readLine()
		if err != nil {
			return 0, err
		}
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return 0, fmt.Errorf("chunk size %q: want a hexadecimal number", line)
		}
		if size == 0 {
			_, _, err := c.readHeaders()
			return total, err
		}
		if _, err := c.r.Discard(int(size) + len("\r\n")); err != nil {
			return 0, err
		}
		total += int(size)
	}
}

// readLine returns a line without its end. It is valid until the next read.
func (c *conn) readLine() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
