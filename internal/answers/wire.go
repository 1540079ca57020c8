package answers

import (
	"encoding/binary"
	"errors"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Append writes the answer, each part with its length, for stores outside of this process.
func (a *Answer) Append(b []byte) []byte {
	b = call.AppendPart(b, a.status)
	b = call.AppendPart(b, a.data)
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

// ErrForm is the error about bytes that no answer has.
var ErrForm = errors.New("an answer in the store has not the form that this version writes")

// Parse reads what Append wrote.
func Parse(b []byte) (*Answer, error) {
	p := parser{rest: b}
	a := &Answer{status: p.part(), data: p.part()}
	a.header, a.trailer = p.metadata(), p.metadata()
	if p.bad || len(p.rest) > 0 {
		return nil, ErrForm
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
