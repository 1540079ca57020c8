package aggregate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// each makes the calls of a step for each of its items. Items that make the same
// request share one call.
func (r *run) each(ctx context.Context, s *step, res *result) error {
	items, err := r.items(s)
	if err != nil {
		return err
	}
	res.items = make([]element, len(items))
	if len(items) == 0 {
		return nil
	}
	asked, which, err := r.distinct(s, items)
	if err != nil {
		return err
	}
	f := &fan{run: r, step: s, asked: asked, got: make([]element, len(asked)), errs: make([]error, len(asked)), stale: make([]string, len(asked))}
	f.all(ctx)
	for i, at := range which {
		res.items[i] = f.got[at]
		if err := f.errs[at]; err != nil {
			res.failed = append(res.failed, failure{i, err})
		}
		if f.stale[at] != "" {
			res.stale = f.stale[at]
		}
	}
	switch {
	case len(res.failed) == 0:
		return nil
	case s.required() && s.batch == nil:
		return renamed(f.failure, fmt.Sprintf("item %d: ", slices.Index(which, f.failedAt)))
	case s.required() || len(res.failed) == len(items): // there is nothing at all
		return f.failure
	default:
		return nil
	}
}

// items are the values of for_each, of which there may be only so many.
func (r *run) items(s *step) ([][]byte, error) {
	if s.each.value == nil {
		v, err := r.at(s.each, nil)
		if len(v.many) > s.most {
			return nil, s.tooMany(len(v.many))
		}
		return v.many, err
	}
	list, n, err := s.each.value.Each(r.ctx, r.lookup(s, nil), s.most)
	if err != nil {
		return nil, s.each.failed("for_each", err)
	}
	if n > s.most {
		return nil, s.tooMany(n)
	}
	all := make([][]byte, len(list))
	for i, v := range list {
		if m, ok := v.(proto.Message); ok {
			if all[i], err = (proto.MarshalOptions{Deterministic: true, AllowPartial: true}).Marshal(m); err != nil {
				return nil, s.each.failed("for_each", err)
			}
			continue
		}
		all[i] = plainOf(v)
	}
	return all, nil
}

// tooMany is the error about more items than the composition allows: the
// client's mistake if it sent them.
func (s *step) tooMany(n int) error {
	if s.each.value == nil && s.each.root.kind == fromRequest {
		return call.Refuse(call.Client, codes.InvalidArgument, "%d items, at most %d are taken", n, s.most)
	}
	return call.Refuse(call.Gateway, codes.Internal, "%d items, at most %d are taken (max_items)", n, s.most)
}

// distinct are the requests to be made, or a batch's items, and which is whose.
func (r *run) distinct(s *step, items [][]byte) (asked [][]byte, which []int, _ error) {
	which = make([]int, len(items))
	known, size := make(map[string]int, len(items)), 0
	for i, item := range items {
		var one []byte
		var err error
		if s.batch != nil {
			one, err = r.elementFor(s, item)
		} else {
			one, err = r.requestFor(s, item, nil)
		}
		if err != nil {
			return nil, nil, err
		}
		at, ok := known[string(one)]
		if !ok {
			at = len(asked)
			known[string(one)] = at
			asked = append(asked, one)
			if size += len(one); size > maxSize {
				return nil, nil, call.Refuse(call.Client, codes.ResourceExhausted, "the requests are larger than %d MiB together: ask for less", maxSize>>20)
			}
		}
		which[i] = at
	}
	return asked, which, nil
}

// fan is a step's calls, a few at once. Each goroutine writes what it has taken
// on and nothing else.
type fan struct {
	*run
	step  *step
	asked [][]byte
	got   []element
	errs  []error
	stale []string

	once     sync.Once
	failure  error // the first in time
	failedAt int   // of what was asked
}

// all returns when no call runs.
func (f *fan) all(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(errOver)
	size := 1
	if f.step.batch != nil {
		size = f.step.batch.most
	}
	parts := (len(f.asked) + size - 1) / size
	var next atomic.Int64
	var wg sync.WaitGroup
	work := func() {
		defer wg.Done()
		for {
			i := int(next.Add(1)) - 1
			if i >= parts {
				return
			}
			err := f.part(ctx, i*size, min((i+1)*size, len(f.asked)))
			if err != nil {
				f.once.Do(func() { f.failure, f.failedAt = err, i*size })
				if f.step.required() {
					cancel(errOver)
				}
			}
		}
	}
	workers := min(f.step.parallel, parts)
	wg.Add(workers)
	for range workers - 1 {
		go work()
	}
	work()
	wg.Wait()
}

// part makes the call for the requests, or a batch's items, from begin to end.
func (f *fan) part(ctx context.Context, begin, end int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
		for i := begin; err != nil && i < end; i++ {
			f.errs[i] = err
		}
	}()
	if err := ctx.Err(); err != nil {
		return call.RefuseStatus(call.FaultOf(err), call.StatusOf(err))
	}
	if f.step.batch != nil {
		return f.many(ctx, begin, end)
	}
	a := f.call(ctx, f.step, f.asked[begin])
	if a.err != nil {
		return a.err
	}
	f.stale[begin] = a.stale
	if !f.step.scanned {
		f.got[begin] = element{answer: a}
		return nil
	}
	data, in := a.whole()
	f.got[begin], err = f.step.element(data, in)
	return err
}

// element is the answer for an item, with what is taken of it.
func (s *step) element(data []byte, in mem.Buffer) (element, error) {
	e := element{data: data, lands: data, buf: in}
	if s.take == nil {
		return e, nil
	}
	v, err := s.take.in(data)
	if err != nil {
		return element{}, s.notValid(err)
	}
	if e.lands = v.one; e.lands == nil {
		e.lands = zero(s.out.kind)
	}
	return e, nil
}

// many makes one call of a batch RPC.
func (f *fan) many(ctx context.Context, begin, end int) error {
	s := f.step
	request, err := f.requestFor(s, nil, f.asked[begin:end])
	if err != nil {
		return err
	}
	a := f.call(ctx, s, request)
	if a.err != nil {
		return a.err
	}
	whole, in := a.whole()
	all, err := s.batch.answers.all(whole)
	if err != nil {
		return s.notValid(err)
	}
	if len(all) != end-begin {
		return call.Refuse(call.Upstream, codes.Internal, "upstream %q answered %d items with %d", s.method.Upstream, end-begin, len(all))
	}
	for i, data := range all {
		if f.got[begin+i], err = s.element(data, in); err != nil {
			return err
		}
		f.stale[begin+i] = a.stale
	}
	return nil
}

// all are the answers for items, or what there is of them; nil for one that
// failed.
func (res *result) all() [][]byte {
	all := make([][]byte, len(res.items))
	for i, one := range res.items {
		all[i] = one.data
	}
	return all
}

func panicked(p any) error {
	return call.Refuse(call.Gateway, codes.Internal, "internal error").Because(fmt.Errorf("panic: %v", p))
}
