package conformance

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Call is connectrpc.conformance.v1.ClientCompatRequest: a call that the runner
// asks of a client.
type Call struct {
	Name string // of the test case
	Host string
	Port uint64
	Gzip bool
	// Method is the last part of the method's name.
	Method     string
	FullDuplex bool
	Headers    metadata.MD
	// Messages are the requests, in wire bytes.
	Messages [][]byte
	Timeout  time.Duration // 0 is none
	Delay    time.Duration // before each message
	// Cancel tells when the client gives up; nil is never.
	Cancel *Cancel
	// ReceiveLimit is the largest answer that the client takes, in bytes; 0 is
	// grpc-go's own.
	ReceiveLimit uint64
}

// Cancel is when a client gives up a call: at the first of these that is set.
type Cancel struct {
	BeforeCloseSend bool
	AfterCloseSend  time.Duration // negative: not then
	AfterResponses  int           // 0: not then
}

// Values of the suite's enums.
const (
	compressionIdentity = "1"
	compressionGzip     = 2
	fullDuplexBidi      = 5
)

// expectCompression is a header by which the runner has its server check how the
// requests are compressed.
const expectCompression = "x-expect-compression"

// ReadCall reads one call, as the runner writes it; io.EOF is the end of them.
func ReadCall(r io.Reader) (*Call, error) {
	data, err := readFrame(r)
	if err == io.EOF {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read the runner's call: %w", err)
	}
	c := &Call{Headers: metadata.MD{}}
	var inner []error
	err = fields(data, func(num protowire.Number, n uint64, b []byte) {
		switch num {
		case 1:
			c.Name = string(b)
		case 5:
			c.Gzip = n == compressionGzip
		case 6:
			c.Host = string(b)
		case 7:
			c.Port = n
		case 10:
			c.ReceiveLimit = n
		case 12:
			c.Method = string(b)
		case 13:
			c.FullDuplex = n == fullDuplexBidi
		case 15:
			inner = append(inner, c.addHeader(b))
		case 16:
			inner = append(inner, c.addMessage(b))
		case 17:
			c.Timeout = time.Duration(n) * time.Millisecond
		case 18:
			c.Delay = time.Duration(n) * time.Millisecond
		case 19:
			inner = append(inner, c.setCancel(b))
		}
	})
	return c, errors.Join(append(inner, err)...)
}

func (c *Call) addHeader(header []byte) error {
	var name string
	var values []string
	err := fields(header, func(num protowire.Number, _ uint64, b []byte) {
		switch num {
		case 1:
			name = string(b)
		case 2:
			values = append(values, string(b))
		}
	})
	c.Headers.Append(name, values...)
	return err
}

// addMessage takes a message out of its google.protobuf.Any.
func (c *Call) addMessage(anything []byte) error {
	msg := []byte{}
	err := fields(anything, func(num protowire.Number, _ uint64, b []byte) {
		if num == 2 {
			msg = b
		}
	})
	c.Messages = append(c.Messages, msg)
	return err
}

func (c *Call) setCancel(cancel []byte) error {
	c.Cancel = &Cancel{AfterCloseSend: -1}
	return fields(cancel, func(num protowire.Number, n uint64, _ []byte) {
		switch num {
		case 1:
			c.Cancel.BeforeCloseSend = true
		case 2:
			c.Cancel.AfterCloseSend = time.Duration(n) * time.Millisecond
		case 3:
			c.Cancel.AfterResponses = int(n)
		}
	})
}

// Result is connectrpc.conformance.v1.ClientCompatResponse: how a call ended.
type Result struct {
	Name     string
	Header   metadata.MD
	Payloads [][]byte
	Status   *status.Status
	Trailer  metadata.MD
	Unsent   int // requests that could not be sent
	// Wrong is what the gateway must not do, whatever the server does; nil if it
	// did nothing of the kind.
	Wrong error
}

// WriteTo writes r as a client of the suite would.
func (r *Result) WriteTo(w io.Writer) (int64, error) {
	data := appendBytes(nil, 1, []byte(r.Name))
	if r.Wrong != nil {
		data = appendMessage(data, 3, appendBytes(nil, 1, []byte(r.Wrong.Error())))
		n, err := writeFrame(w, data)
		return n, err
	}
	body := appendHeaders(nil, 1, r.Header)
	for _, p := range r.Payloads {
		body = appendMessage(body, 2, p)
	}
	if st := r.Status.Proto(); st.GetCode() != 0 {
		e := appendVarint(nil, 1, uint64(st.GetCode()))
		e = appendMessage(e, 2, []byte(st.GetMessage()))
		for _, d := range st.GetDetails() {
			b, err := proto.Marshal(d)
			if err != nil {
				return 0, err
			}
			e = appendMessage(e, 3, b)
		}
		body = appendMessage(body, 3, e)
	}
	body = appendHeaders(body, 4, r.Trailer)
	body = appendVarint(body, 5, uint64(r.Unsent))
	return writeFrame(w, appendMessage(data, 2, body))
}

func appendHeaders(data []byte, num protowire.Number, md metadata.MD) []byte {
	for _, name := range slices.Sorted(maps.Keys(md)) {
		header := appendBytes(nil, 1, []byte(name))
		for _, v := range md[name] {
			header = appendMessage(header, 2, []byte(v))
		}
		data = appendMessage(data, num, header)
	}
	return data
}

// appendMessage is appendBytes for what is there even if it is empty.
func appendMessage(data []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(data, num, protowire.BytesType), b)
}
