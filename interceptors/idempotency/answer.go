package idempotency

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// answer is how a call ended. It is immutable, and its bytes are shared by all who
// are given it.
type answer struct {
	status          []byte // a google.rpc.Status; empty for OK
	message         []byte
	header, trailer metadata.MD
}

// perValue is about what a value of metadata takes beside its text.
const perValue = 64

// size is about what it takes in memory.
func (a *answer) size() int {
	n := len(a.status) + len(a.message)
	for _, md := range [...]metadata.MD{a.header, a.trailer} {
		for k, values := range md {
			for _, v := range values {
				n += len(k) + len(v) + perValue
			}
		}
	}
	return n
}

// final tells the answers of a backend that would be the same another time, or
// whose call may have done its work, from those that say that it did not or that
// nobody knows.
func final(err error) bool {
	if err == nil {
		return true
	}
	if _, ok := errors.AsType[*call.Error](err); ok {
		return false // the gateway's own, for want of an answer
	}
	st, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch st.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Aborted, codes.ResourceExhausted,
		codes.Unauthenticated, codes.PermissionDenied:
		return false
	default:
		return true
	}
}

// unknown reports whether a call that ended without a final answer may have been
// executed, for all that the gateway knows. It was not if it was never sent, and a
// backend that says itself how the call ended knows what that means.
func unknown(ctx context.Context, err error, reach *call.Reach) bool {
	e, ownWords := errors.AsType[*call.Error](err)
	if !reach.Begun() {
		return !ownWords || e.Policy() == "" // who else answered, in the place of the upstream?
	}
	return reach.Sent() && (ownWords || ctx.Err() != nil)
}

// record makes an answer of how a call ended.
func record(reply any, header, trailer metadata.MD, err error) (*answer, error) {
	a := &answer{header: ofBackend(header), trailer: ofBackend(trailer)}
	if err != nil {
		b, merr := proto.Marshal(status.Convert(err).Proto())
		a.status = b
		return a, merr
	}
	data, err := call.Codec{}.Marshal(reply)
	if err != nil {
		return nil, err
	}
	a.message = data.Materialize()
	data.Free()
	return a, nil
}

// ofBackend is a copy of what the backend said to the client: md itself is its
// owner's, who changes it.
func ofBackend(md metadata.MD) metadata.MD {
	out := metadata.MD{}
	for k, values := range md {
		if !call.ResponseReserved(k) {
			out[k] = slices.Clone(values)
		}
	}
	return out
}

// replay gives the answer to a call.
func (a *answer) replay(c *call.Call, reply any, opts []grpc.CallOption) error {
	if c != nil {
		c.AddHeader("idempotency-replayed", "true")
	}
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = a.header.Copy() // the edge takes away from it
		case grpc.TrailerCallOption:
			*o.TrailerAddr = a.trailer.Copy()
		}
	}
	if len(a.status) == 0 {
		return call.Codec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(a.message)}, reply)
	}
	var st spb.Status
	if err := proto.Unmarshal(a.status, &st); err != nil {
		return err
	}
	return status.FromProto(&st).Err()
}

// append writes an answer, each part with its length.
func (a *answer) append(b []byte) []byte {
	b = call.AppendPart(b, a.status)
	b = call.AppendPart(b, a.message)
	for _, md := range [...]metadata.MD{a.header, a.trailer} {
		n := 0
		for _, values := range md {
			n += len(values)
		}
		b = binary.AppendUvarint(b, uint64(n))
		for k, values := range md {
			for _, v := range values {
				b = call.AppendPart(call.AppendPart(b, k), v)
			}
		}
	}
	return b
}

var errForm = errors.New("an answer in the store has not the form that this version writes")

// parseAnswer reads what append wrote.
func parseAnswer(b []byte) (*answer, error) {
	p := parser{rest: b}
	a := &answer{status: p.part(), message: p.part()}
	a.header, a.trailer = p.metadata(), p.metadata()
	if p.bad || len(p.rest) > 0 {
		return nil, errForm
	}
	return a, nil
}

type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) number() uint64 {
	n, size := binary.Uvarint(p.rest)
	if size <= 0 {
		p.bad, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *parser) part() []byte {
	n := p.number()
	if n > uint64(len(p.rest)) {
		p.bad, p.rest = true, nil
		return nil
	}
	part := p.rest[:n:n]
	p.rest = p.rest[n:]
	return part
}

func (p *parser) metadata() metadata.MD {
	md := metadata.MD{}
	for n := p.number(); n > 0 && !p.bad; n-- {
		k, v := string(p.part()), string(p.part())
		md[k] = append(md[k], v)
	}
	return md
}
