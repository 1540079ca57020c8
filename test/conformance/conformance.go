// Package conformance puts Gatehouse between the two halves of the suite that
// the field tests its gRPC implementations with, connectrpc.com/conformance:
// the suite's runner and client in front, a reference server of the suite
// behind.
//
// The runner knows servers only as a command that reads a [Request] from its
// standard input and answers with a [Response] on its standard output. The
// program in adapter is such a command: it starts a reference server by the
// same protocol, Gatehouse in front of it, and answers with Gatehouse's
// address. See docs/testing_servers.md of the suite.
package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxMessage bounds a message of the runner's protocol, in bytes. The largest
// met hold three PEM documents.
const maxMessage = 1 << 20

// Request is connectrpc.conformance.v1.ServerCompatRequest: what the runner
// asks of a server. The suite keeps its generated types internal, hence a type
// of ours with the fields that are used here.
type Request struct {
	Protocol    uint64
	HTTPVersion uint64
	UseTLS      bool
	// ClientCA is what clients' certificates are verified with, PEM; empty
	// when clients show none.
	ClientCA []byte
	// ReceiveLimit is the largest request message the server accepts, in
	// bytes; 0 is no limit.
	ReceiveLimit uint64
	// Cert and Key are the certificate to serve with, PEM.
	Cert, Key []byte
}

// Response is connectrpc.conformance.v1.ServerCompatResponse: where the server
// listens.
type Response struct {
	Host string
	Port uint64
	// Cert is what clients verify the server with, PEM; empty without TLS.
	Cert []byte
}

// ReadRequest reads one request, as the runner writes it.
func ReadRequest(r io.Reader) (*Request, error) {
	data, err := readFrame(r)
	if err != nil {
		return nil, fmt.Errorf("read the runner's request: %w", err)
	}
	req := new(Request)
	var creds []byte
	err = fields(data, func(num protowire.Number, n uint64, b []byte) {
		switch num {
		case 1:
			req.Protocol = n
		case 2:
			req.HTTPVersion = n
		case 4:
			req.UseTLS = n != 0
		case 5:
			req.ClientCA = b
		case 6:
			req.ReceiveLimit = n
		case 7:
			creds = b
		}
	})
	if err != nil {
		return nil, err
	}
	return req, fields(creds, func(num protowire.Number, _ uint64, b []byte) {
		switch num {
		case 1:
			req.Cert = b
		case 2:
			req.Key = b
		}
	})
}

// WriteTo writes r as the runner would.
func (r *Request) WriteTo(w io.Writer) (int64, error) {
	var creds []byte
	creds = appendBytes(creds, 1, r.Cert)
	creds = appendBytes(creds, 2, r.Key)
	var data []byte
	data = appendVarint(data, 1, r.Protocol)
	data = appendVarint(data, 2, r.HTTPVersion)
	data = appendVarint(data, 4, protowire.EncodeBool(r.UseTLS))
	data = appendBytes(data, 5, r.ClientCA)
	data = appendVarint(data, 6, r.ReceiveLimit)
	data = appendBytes(data, 7, creds)
	return writeFrame(w, data)
}

// ReadResponse reads one response, as a server of the suite writes it.
func ReadResponse(r io.Reader) (*Response, error) {
	data, err := readFrame(r)
	if err != nil {
		return nil, fmt.Errorf("read the server's response: %w", err)
	}
	resp := new(Response)
	return resp, fields(data, func(num protowire.Number, n uint64, b []byte) {
		switch num {
		case 1:
			resp.Host = string(b)
		case 2:
			resp.Port = n
		case 3:
			resp.Cert = b
		}
	})
}

// WriteTo writes r as a server of the suite would.
func (r *Response) WriteTo(w io.Writer) (int64, error) {
	var data []byte
	data = appendBytes(data, 1, []byte(r.Host))
	data = appendVarint(data, 2, r.Port)
	data = appendBytes(data, 3, r.Cert)
	return writeFrame(w, data)
}

// readFrame reads a message behind its length, four bytes, big endian.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return nil, fmt.Errorf("message of %d bytes, at most %d are expected", size, maxMessage)
	}
	data := make([]byte, size)
	_, err := io.ReadFull(r, data)
	return data, err
}

// writeFrame writes in one piece, so that no reader sees a length alone.
func writeFrame(w io.Writer, data []byte) (int64, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	n, err := w.Write(append(frame, data...))
	return int64(n), err
}

// fields calls each for every varint and length-delimited field of a message.
func fields(data []byte, each func(num protowire.Number, n uint64, b []byte)) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(data)
		default:
			return errors.New("a field of a wire type that no message of the runner's protocol has")
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		each(num, v, b)
		data = data[n:]
	}
	return nil
}

func appendVarint(data []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return data
	}
	return protowire.AppendVarint(protowire.AppendTag(data, num, protowire.VarintType), v)
}

func appendBytes(data []byte, num protowire.Number, b []byte) []byte {
	if len(b) == 0 {
		return data
	}
	return protowire.AppendBytes(protowire.AppendTag(data, num, protowire.BytesType), b)
}
