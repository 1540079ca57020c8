package aggregate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// requestFor writes the request of a step: for item, or, of a batch, for items.
func (r *run) requestFor(s *step, item []byte, items [][]byte) ([]byte, error) {
	return r.fields(make([]byte, 0, 64), s, s.build, item, items)
}

func (r *run) fields(dst []byte, s *step, nodes []*node, item []byte, items [][]byte) (_ []byte, err error) {
	for _, n := range nodes {
		switch {
		case n.element:
			dst = n.field.appendAll(dst, items)
		case n.from == nil:
			dst, err = r.inner(dst, s, n, item)
		case n.from.value != nil:
			dst, err = r.evaluated(dst, s, n, item)
		default:
			var v value
			if v, err = r.at(n.from, item); err == nil {
				dst = n.append(dst, v)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// inner writes a message whose fields are set one by one.
func (r *run) inner(dst []byte, s *step, n *node, item []byte) ([]byte, error) {
	inside, err := r.fields(nil, s, n.fields, item, nil)
	if err != nil {
		return nil, err
	}
	return n.field.appendOne(dst, inside), nil
}

// append writes a value under the field's own number.
func (n *node) append(dst []byte, v value) []byte {
	switch {
	case n.field.list:
		return n.field.appendAll(dst, v.many)
	case v.one == nil:
		return dst
	default:
		return n.field.appendOne(dst, v.one)
	}
}

// at follows a path.
func (r *run) at(src *source, item []byte) (value, error) {
	switch src.root.kind {
	case fromItem:
		v, err := src.path.in(item)
		return v, err
	case fromRequest:
		v, err := src.path.in(r.request.ReadOnlyData())
		if err != nil {
			return v, r.badRequest()
		}
		return v, nil
	default:
		res, of := &r.results[src.root.step], r.plan.steps[src.root.step]
		if of.plural {
			return value{many: res.all()}, nil
		}
		whole, _ := res.answer.whole()
		v, err := src.path.in(whole)
		if err != nil {
			return v, of.notValid(err)
		}
		return v, nil
	}
}

func (r *run) badRequest() error {
	return call.Refuse(call.Client, codes.InvalidArgument, "the request is not a valid %s", r.plan.request.FullName())
}

// evaluated writes what an expression gives.
func (r *run) evaluated(dst []byte, s *step, n *node, item []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(n.desc.ContainingMessage())
	if err := n.from.value.Set(r.ctx, m, n.desc, r.lookup(s, item)); err != nil {
		return nil, n.from.failed(string(n.desc.Name()), err)
	}
	return proto.MarshalOptions{Deterministic: true, AllowPartial: true}.MarshalAppend(dst, m)
}

// elementFor is what a batch gets of one item.
func (r *run) elementFor(s *step, item []byte) ([]byte, error) {
	n := s.perItem
	if n.from.value == nil {
		v, err := r.at(n.from, item)
		if err == nil && v.one == nil {
			v.one = zero(n.desc.Kind())
		}
		return v.one, err
	}
	wire, err := r.evaluated(nil, s, n, item)
	if err != nil {
		return nil, err
	}
	all, err := n.field.all(wire)
	if err != nil || len(all) != 1 {
		return nil, n.from.failed(string(n.desc.Name()), errNotValid)
	}
	return all[0], nil
}

// unevaluated is the error of an expression that has no value for this call. What
// it says already to clients stays.
func (src *source) failed(field string, err error) error {
	if said, ok := errors.AsType[*call.Error](err); ok {
		return said
	}
	if errors.Is(err, errNotValid) {
		return call.Refuse(call.Upstream, codes.Internal, "an answer is not valid")
	}
	if src.client {
		return call.Refuse(call.Client, codes.InvalidArgument, "%s cannot be made of this request", field).Because(err)
	}
	return call.Refuse(call.Gateway, codes.Internal, "%s cannot be made of what there is", field).Because(err)
}

// decodedOnce is a message, or several, as expressions see it.
type decodedOnce struct {
	once sync.Once
	v    any
	err  error
}

func (d *decodedOnce) get(first func() (any, error)) (any, error) {
	d.once.Do(func() { d.v, d.err = first() })
	return d.v, d.err
}

// lookup gives variables to expressions of a step.
func (r *run) lookup(s *step, item []byte) expr.Lookup {
	return func(name string) (any, error) {
		switch name {
		case "request":
			return r.decoded.get(func() (any, error) {
				m, err := r.plan.message(r.plan.requestType, r.request.ReadOnlyData())
				if err != nil {
					return nil, r.badRequest()
				}
				return m, nil
			})
		case "item":
			return r.plan.plain(s.item, s.itemType, item)
		default:
			return r.answerNamed(name)
		}
	}
}

// answerNamed is the answer of a step for expressions.
func (r *run) answerNamed(name string) (any, error) {
	for i, of := range r.plan.steps {
		if "steps."+of.name != name {
			continue
		}
		res := &r.results[i]
		v, err := res.decoded.get(func() (any, error) {
			if !of.plural {
				whole, _ := res.answer.whole()
				return r.plan.message(of.wholeType, whole)
			}
			all := make([]any, len(res.items))
			for j, one := range res.all() {
				var err error
				if all[j], err = r.plan.plain(of.whole, of.wholeType, one); err != nil {
					return nil, err
				}
			}
			return all, nil
		})
		return v, of.notValid(err)
	}
	return nil, fmt.Errorf("there is no %s", name)
}

// plain is a value in the form that expressions take.
func (p *plan) plain(of shape, typ *view.Type, b []byte) (any, error) {
	if of.message != nil {
		return p.message(typ, b)
	}
	return readPlain(of.kind, b), nil
}

// message is a view of a message, which keeps what it looks at beyond the call of
// which the bytes are.
func (p *plan) message(typ *view.Type, b []byte) (any, error) {
	wire := string(b)
	if _, err := typ.Measure(wire); err != nil {
		return nil, errNotValid
	}
	return typ.New(wire), nil
}

// named gives a call of a step a name of its own, by which the call can be told
// from others of the same RPC, and is known again when the client repeats its own.
func named(ctx context.Context, key, rpc, method string, request []byte) context.Context {
	h := sha256.New()
	for _, part := range [...][]byte{[]byte(key), []byte(rpc), []byte(method), request} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		_, _ = h.Write(n[:]) // never fails
		_, _ = h.Write(part)
	}
	return metadata.AppendToOutgoingContext(ctx, idempotencyKey, hex.EncodeToString(h.Sum(nil)))
}
