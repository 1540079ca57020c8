package aggregate_test

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// TestOutcomes: what goes wrong in a step is told as what it is, and as whose
// mistake.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	says := func(data []byte) backend {
		return backend{answer: func(context.Context, string, []byte) (mem.BufferSlice, error) {
			return mem.BufferSlice{mem.SliceBuffer(data)}, nil
		}}
	}
	garbage := []byte{0xff, 0xff, 0xff}
	for _, test := range []struct {
		name    string
		steps   []*composev1.Step
		backend backend
		request []byte
		code    codes.Code
		fault   call.Fault
		message string
	}{
		{
			name: "an answer that is none, taken apart", backend: says(garbage), steps: one(&composev1.Step{Call: "t.S.Leaf", Take: "inner", Into: "f_leaf"}),
			code: codes.Internal, fault: call.Upstream, message: `step "a": upstream "t" gave an answer that is not valid`,
		},
		{
			name: "an answer that is none, for another step", backend: says(garbage), code: codes.Internal, fault: call.Upstream, message: `step "b": upstream "t" gave an answer that is not valid`,
			steps: []*composev1.Step{{Name: "a", Call: "t.S.Leaf"}, {Name: "b", Call: "t.S.Get", Request: fields{"f_STRING": "steps.a.name"}}},
		},
		{
			name: "an answer that is none, for an expression", backend: says(garbage), code: codes.Internal, fault: call.Upstream, message: `step "b": upstream "t" gave an answer that is not valid`,
			steps: []*composev1.Step{{Name: "a", Call: "t.S.Leaf"}, {Name: "b", Call: "t.S.Get", Request: fields{"f_STRING": "steps.a.name + ''"}}},
		},
		{
			name: "an answer that is none, of a batch", backend: says(garbage), code: codes.Internal, fault: call.Upstream, message: `step "a": upstream "t" gave an answer that is not valid`,
			steps:   one(&composev1.Step{Call: "t.S.Leaf", ForEach: "['x']", Batch: &composev1.Batch{Items: "tags", Answers: "tags"}}),
			request: []byte{},
		},
		{
			name: "a batch that answers fewer", backend: says(nil), code: codes.Internal, fault: call.Upstream, message: `step "a": upstream "t" answered 2 items with 0`,
			steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "['x', 'y']", Batch: &composev1.Batch{Items: "tags", Answers: "tags"}}),
		},
		{
			name: "a request that is none", backend: says(nil), request: garbage, steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"name": "request.f_STRING"}}),
			code: codes.InvalidArgument, fault: call.Client, message: `step "a": the request is not a valid t.All`,
		},
		{
			name: "a request that an expression cannot read", backend: says(nil), steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"size": "int(request.f_STRING)"}}),
			code: codes.InvalidArgument, fault: call.Client, message: `step "a": size cannot be made of this request`,
		},
		{
			name: "an answer that an expression cannot read", backend: says(nil), code: codes.Internal, fault: call.Gateway, message: `step "b": name cannot be made of what there is`,
			steps: []*composev1.Step{{Name: "a", Call: "t.S.Leaf"}, {Name: "b", Call: "t.S.Leaf", Request: fields{"name": "steps.a.tags[0]"}}},
		},
		{
			name: "a number too large", backend: says(nil), steps: one(&composev1.Step{Call: "t.S.Get", Request: fields{"f_INT32": "size(request.f_STRING) * 1000000000"}}),
			code: codes.InvalidArgument, fault: call.Client, message: `step "a": f_INT32 cannot be made of this request`,
		},
		{
			name: "more items than a client may send", backend: says(nil), request: manyStrings(t, 5), code: codes.InvalidArgument, fault: call.Client, message: `step "a": 5 items, at most 4 are taken`,
			steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "request.r_STRING", MaxItems: proto.Uint32(4)}),
		},
		{
			name: "more than fits", backend: says(make([]byte, 33<<20)), code: codes.Internal, fault: call.Gateway, message: `the answers of all steps together are larger than 64 MiB`,
			steps: []*composev1.Step{{Name: "a", Call: "t.S.Leaf"}, {Name: "b", Call: "t.S.Leaf", Request: fields{"name": "'b'"}}},
		},
		{
			name: "a panic", backend: backend{answer: func(context.Context, string, []byte) (mem.BufferSlice, error) { panic("it is late") }},
			steps: one(&composev1.Step{Call: "t.S.Leaf"}), code: codes.Internal, fault: call.Gateway, message: `step "a": internal error`,
		},
		{
			name: "a panic for an item", backend: backend{answer: func(context.Context, string, []byte) (mem.BufferSlice, error) { panic("it is late") }},
			steps: one(&composev1.Step{Call: "t.S.Leaf", ForEach: "['x', 'y']"}), code: codes.Internal, fault: call.Gateway, message: `internal error`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, err := compose(t, &composev1.Composition{Steps: test.steps}, test.backend)
			if err != nil {
				t.Fatal(err)
			}
			if test.request == nil {
				test.request = requestOf(t)
			}
			_, err = invoke(t.Context(), conn, test.request)
			if call.CodeOf(err) != test.code || call.FaultOf(err) != test.fault || err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v %v: %v\nwant %v %v: %s", call.CodeOf(err), call.FaultOf(err), err, test.code, test.fault, test.message)
			}
		})
	}
}

func manyStrings(tb testing.TB, n int) []byte {
	tb.Helper()
	desc := schema().Messages().ByName("All")
	m := dynamicpb.NewMessage(desc)
	for range n {
		m.Mutable(desc.Fields().ByName("r_STRING")).List().Append(protoreflect.ValueOfString("x"))
	}
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestExpressions makes values of all types by CEL.
func TestExpressions(t *testing.T) {
	t.Parallel()
	text := fields{
		"f_BOOL": "request.f_INT32 > 3", "f_INT32": "request.f_INT32 + 1", "f_INT64": "int(request.f_INT32)", "f_UINT32": "uint(request.f_INT32)",
		"f_UINT64": "7u", "f_SINT32": "-1", "f_SINT64": "-2", "f_FIXED32": "1u", "f_FIXED64": "2u", "f_SFIXED32": "-3", "f_SFIXED64": "-4",
		"f_FLOAT": "0.5", "f_DOUBLE": "double(request.f_INT32) / 4.0", "f_STRING": "request.f_STRING.split('/')[0]", "f_BYTES": "b'ab'", "f_enum": "7",
		"f_leaf": "request.child.f_leaf" /* a path, to what is not set */, "r_INT32": "[1, 2].map(x, x * 2)", "r_STRING": "request.f_STRING.split('/')", "r_leaf": "[request.child.f_leaf]",
		"m_leaf": "{'k': request.child.f_leaf}", "child.f_STRING": "'nested'", "o_a": "''",
	}
	var sent []byte
	conn, err := compose(t, &composev1.Composition{Steps: one(&composev1.Step{Call: "t.S.Get", Request: text})}, backend{
		answer: func(_ context.Context, _ string, request []byte) (mem.BufferSlice, error) {
			sent = request
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := invoke(t.Context(), conn, requestOf(t)); err != nil {
		t.Fatal(err)
	}
	got := dynamicpb.NewMessage(schema().Messages().ByName("Flat"))
	if err := proto.Unmarshal(sent, got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"f_BOOL": "true", "f_INT32": "11", "f_INT64": "10", "f_UINT32": "10", "f_UINT64": "7", "f_SINT32": "-1", "f_SINT64": "-2", "f_FIXED32": "1",
		"f_FIXED64": "2", "f_SFIXED32": "-3", "f_SFIXED64": "-4", "f_FLOAT": "0.5", "f_DOUBLE": "2.5", "f_STRING": "products", "f_BYTES": "[97 98]", "f_enum": "7",
	}
	fds := got.Descriptor().Fields()
	for name, value := range want {
		if v := got.Get(fds.ByName(protoreflect.Name(name))).String(); v != value {
			t.Errorf("%s: %s gives %s, want %s", name, text[name], v, value)
		}
	}
	for name, n := range map[string]int{"r_INT32": 2, "r_STRING": 2, "r_leaf": 1} {
		if l := got.Get(fds.ByName(protoreflect.Name(name))).List(); l.Len() != n {
			t.Errorf("%s: %s gives %v", name, text[name], l)
		}
	}
	if got.Get(fds.ByName("m_leaf")).Map().Len() != 1 || got.Has(fds.ByName("f_leaf")) || !got.Has(fds.ByName("o_a")) {
		t.Errorf("got %v", got)
	}
}

// TestForEachIsBounded: so many calls as may run at once do, and no more, and the
// answers stand where their items do.
func TestForEachIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const parallel, items = 3, 10
		var running, calls atomic.Int64
		release := make(chan struct{})
		conn, err := compose(t, &composev1.Composition{Steps: one(&composev1.Step{
			Call: "t.S.Leaf", ForEach: "request.r_INT32", Request: fields{"size": "int(item)"}, Into: "r_leaf", Parallel: proto.Uint32(parallel),
		})}, backend{answer: func(_ context.Context, _ string, request []byte) (mem.BufferSlice, error) {
			running.Add(1)
			calls.Add(1)
			<-release
			running.Add(-1)
			return mem.BufferSlice{mem.SliceBuffer(request)}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		desc := schema().Messages().ByName("All")
		m := dynamicpb.NewMessage(desc)
		for i := range items {
			m.Mutable(desc.Fields().ByName("r_INT32")).List().Append(protoreflect.ValueOfInt32(int32(i)))
		}
		request, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan []byte)
		go func() {
			got, err := invoke(t.Context(), conn, request)
			if err != nil {
				t.Error(err)
			}
			done <- got
		}()
		for left := items; left > 0; left-- {
			synctest.Wait()
			if n := running.Load(); n != int64(min(parallel, left)) {
				t.Errorf("%d calls run with %d left, want %d", n, left, min(parallel, left))
			}
			release <- struct{}{}
		}
		out := dynamicpb.NewMessage(schema().Messages().ByName("Flat"))
		if err := proto.Unmarshal(<-done, out); err != nil {
			t.Fatal(err)
		}
		list := out.Get(out.Descriptor().Fields().ByName("r_leaf")).List()
		for i := range list.Len() {
			leaf := list.Get(i).Message()
			if n := leaf.Get(leaf.Descriptor().Fields().ByName("size")).Int(); n != int64(i) {
				t.Errorf("element %d is that of item %d", i, n)
			}
		}
		if list.Len() != items || calls.Load() != items {
			t.Errorf("%d elements of %d calls, want %d", list.Len(), calls.Load(), items)
		}
	})
}

// TestManyPiecesAreCopiedOnce: what a request in pieces takes grows with its bytes,
// not with their square.
func TestManyPiecesAreCopiedOnce(t *testing.T) {
	conn, err := compose(t, &composev1.Composition{Steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"inner": "request.f_leaf"}})}, backend{
		answer: func(context.Context, string, []byte) (mem.BufferSlice, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	number := schema().Messages().ByName("All").Fields().ByName("f_leaf").Number()
	piece := protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), []byte("\x0a\x00"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := invoke(t.Context(), conn, bytes.Repeat(piece, 50_000)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(100<<20); got > most {
		t.Errorf("50,000 pieces of 2 bytes allocated %d bytes, want less than %d", got, most)
	}
}

// TestOneMessageInPieces: what came in pieces is sent on as one, each of its fields
// once.
func TestOneMessageInPieces(t *testing.T) {
	t.Parallel()
	var sent []byte
	conn, err := compose(t, &composev1.Composition{Steps: one(&composev1.Step{Call: "t.S.Leaf", Request: fields{"inner": "request.f_leaf"}})}, backend{
		answer: func(_ context.Context, _ string, request []byte) (mem.BufferSlice, error) {
			sent = request
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	number := schema().Messages().ByName("All").Fields().ByName("f_leaf").Number()
	var request []byte
	for _, name := range []string{"first", "last"} {
		leaf := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
		request = protowire.AppendBytes(protowire.AppendTag(request, number, protowire.BytesType), leaf)
	}
	if _, err := invoke(t.Context(), conn, request); err != nil {
		t.Fatal(err)
	}
	if want := "\x1a\x06\x0a\x04last"; string(sent) != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}
