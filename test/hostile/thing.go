package hostile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protowire"
)

// Orders tell the backend how to answer; see thing.proto.
type Orders struct {
	DelayMS int    `json:"delayMs,omitempty"`
	Code    int    `json:"code,omitempty"`
	Size    int    `json:"size,omitempty"`
	Count   int    `json:"count,omitempty"`
	PauseMS int    `json:"pauseMs,omitempty"`
	Reply   []byte `json:"reply,omitempty"`
	Literal bool   `json:"literal,omitempty"`
}

// Thing is the request and the answer of every RPC, without the fields that only
// some attacks fill; those write them into More.
type Thing struct {
	Name    string `json:"name,omitempty"`
	Orders  Orders `json:"orders"`
	Payload string `json:"payload,omitempty"`

	More []byte `json:"-"` // further fields, on the wire
}

// Wire returns the message's bytes.
func (t Thing) Wire() []byte {
	var o []byte
	for i, v := range [...]int{t.Orders.DelayMS, t.Orders.Code, t.Orders.Size, t.Orders.Count, t.Orders.PauseMS} {
		if v != 0 {
			o = protowire.AppendVarint(protowire.AppendTag(o, protowire.Number(i+1), protowire.VarintType), uint64(v))
		}
	}
	o = appendBytes(o, 6, t.Orders.Reply)
	if t.Orders.Literal {
		o = protowire.AppendVarint(protowire.AppendTag(o, 7, protowire.VarintType), 1)
	}
	b := appendBytes(nil, 1, []byte(t.Name))
	b = appendBytes(b, 2, o)
	b = appendBytes(b, 4, []byte(t.Payload))
	return append(b, t.More...)
}

// JSON returns the message as a REST client writes it.
func (t Thing) JSON() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	return b
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// Repeat returns so many fields of a repeated field of messages, strings or bytes,
// each with the given contents.
func Repeat(field protowire.Number, item []byte, times int) []byte {
	one := protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), item)
	return bytes.Repeat(one, times)
}

// Framed returns a message as gRPC frames it.
func Framed(message []byte) []byte { return frame(0, message) }

// Gzipped returns a message as gRPC frames it, compressed by gzip. The call says
// "grpc-encoding: gzip".
func Gzipped(message []byte) []byte { return frame(1, Gzip(message)) }

// Gzip compresses.
func Gzip(plain []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(plain) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

func frame(flag byte, message []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))
	return append(b, message...)
}
