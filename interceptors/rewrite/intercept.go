package rewrite

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// BuildRequests returns the policy that makes the changes of one RPC in requests.
func BuildRequests(m *interceptors.Method) (interceptors.Interceptor, error) {
	c, err := all(m.Metadata, OfRequests, (*configv1.Rewrite).GetRequest)
	return c.Requests(), err
}

// KeyOf tells changes of requests apart; it is "" for none.
func KeyOf(list []*configv1.Rewrite) string {
	c, err := all(list, OfRequests, (*configv1.Rewrite).GetRequest)
	if err != nil {
		return "" // Build says what is wrong
	}
	return c.String()
}

// BuildAnswers is the same for answers.
func BuildAnswers(m *interceptors.Method) (interceptors.Interceptor, error) {
	c, err := all(m.Metadata, OfAnswers, (*configv1.Rewrite).GetResponse)
	return c.Answers(), err
}

func all(list []*configv1.Rewrite, compile func(*configv1.Changes) (Changes, error), part func(*configv1.Rewrite) *configv1.Changes) (Changes, error) {
	var changes Changes
	for _, one := range list {
		next, err := compile(part(one))
		if err != nil {
			return Changes{}, err
		}
		changes = changes.Then(next)
	}
	return changes, nil
}

// Requests returns the policy that makes the changes in requests. It belongs
// innermost, so that all others see what the client sent.
func (c Changes) Requests() interceptors.Interceptor {
	if c.Empty() {
		return interceptors.Interceptor{Name: name}
	}
	return interceptors.Around(name, func(ctx context.Context, _ string) (context.Context, func(error), error) {
		md, ok := metadata.FromOutgoingContext(ctx) // a copy
		if !ok {
			md = metadata.MD{}
		}
		c.Apply(md)
		return metadata.NewOutgoingContext(ctx, md), nil, nil
	})
}

// Answers returns the policy that makes the changes in answers: in the headers
// and trailers that the backend sent, or that were kept of it. What is set and
// added goes to the client as a header of the gateway's, which on gRPC stands in
// the trailer of a call that fails (see [call.Call.AddHeader]); so it is there
// too where the backend did not answer. It belongs outside of what answers in the
// backend's place. A call that is not of a gateway is left alone.
func (c Changes) Answers() interceptors.Interceptor {
	if c.Empty() {
		return interceptors.Interceptor{Name: name}
	}
	return interceptors.Interceptor{
		Name: name,
		Unary: func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			err := next(ctx, method, req, reply, cc, opts...)
			if known := call.From(ctx); known != nil {
				c.unary(known, opts)
			}
			return err
		},
		Stream: func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			known := call.From(ctx)
			up, err := next(ctx, desc, cc, method, opts...)
			if known == nil {
				return up, err
			}
			if err != nil {
				c.header(known, nil)
				return nil, err
			}
			return &stream{ClientStream: up, changes: c, call: known}, nil
		},
	}
}

func (c Changes) unary(known *call.Call, opts []grpc.CallOption) {
	var header *metadata.MD
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			header = o.HeaderAddr
		case grpc.TrailerCallOption:
			*o.TrailerAddr = c.trailer(*o.TrailerAddr)
		}
	}
	if header == nil {
		header = new(metadata.MD)
	}
	*header = c.header(known, *header)
}

// header takes away from md what is changed, and has the call carry what it is
// changed to.
func (c Changes) header(known *call.Call, md metadata.MD) metadata.MD {
	all := md.Copy()
	if all == nil {
		all = metadata.MD{}
	}
	c.Apply(all)
	keys := c.Keys()
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		for _, v := range all[key] {
			known.AddHeader(key, v)
		}
		delete(all, key)
	}
	return all
}

// trailer takes away what is removed or set: it stands in the header then.
func (c Changes) trailer(md metadata.MD) metadata.MD {
	if len(md) == 0 {
		return md
	}
	left := md.Copy()
	for _, s := range c.steps {
		for _, key := range s.remove {
			delete(left, key)
		}
		for _, p := range s.set {
			delete(left, p.key)
		}
	}
	return left
}

// stream changes the metadata of one that answers. Header and RecvMsg may be
// called at once, as with any stream of grpc-go's.
type stream struct {
	grpc.ClientStream

	changes Changes
	call    *call.Call
	once    sync.Once
	changed metadata.MD
}

func (s *stream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	s.once.Do(func() { s.changed = s.changes.header(s.call, md) })
	return s.changed, err
}

// RecvMsg has the header changed before the first message is passed on.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	_, _ = s.Header() // its error is err
	return err
}

func (s *stream) Trailer() metadata.MD { return s.changes.trailer(s.ClientStream.Trailer()) }
