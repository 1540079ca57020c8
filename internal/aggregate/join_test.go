package aggregate_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/aggregate"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// pageSize is the size of each answer in the benchmark.
const pageSize = 2 << 10

// page is a composition of five steps, each of an RPC of its own: two messages as they are, two that are
// taken out of their answers, and a list of a batch's.
func page() *composev1.Composition {
	leafFor := map[string]string{"name": "request.f_STRING"}
	return &composev1.Composition{Steps: []*composev1.Step{
		{Name: "whole", Call: "t.S.Get", Request: map[string]string{"f_STRING": "request.f_STRING"}, Into: "child"},
		{Name: "leaf", Call: "t.S.Leaf", Request: leafFor, Take: "inner", Into: "f_leaf"},
		{Name: "text", Call: "t.S.Text", Request: map[string]string{"name": "request.f_STRING", "size": "request.f_INT64"}, Take: "name", Into: "f_STRING"},
		{Name: "list", Call: "t.S.List", Request: map[string]string{"f_INT32": "request.f_INT32"}, Take: "r_leaf", Into: "r_leaf"},
		{Name: "tags", Call: "t.S.Tags", Request: map[string]string{"name": "steps.leaf.name"}, Take: "tags", Into: "r_STRING"},
	}}
}

// answers are what the backend of the benchmark says, of 2 KiB each.
func answers(tb testing.TB) map[string][]byte {
	text := strings.Repeat("x", pageSize-50)
	marshal := func(name string, fill func(m *dynamicpb.Message, fields protoreflect.FieldDescriptors)) []byte {
		desc := schema().Messages().ByName(protoreflect.Name(name))
		m := dynamicpb.NewMessage(desc)
		fill(m, desc.Fields())
		b, err := proto.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	known := map[string][]byte{
		"/t.S/Get": marshal("All", func(m *dynamicpb.Message, f protoreflect.FieldDescriptors) {
			for range 4 {
				leaf := m.Mutable(f.ByName("r_leaf")).List().AppendMutable().Message()
				leaf.Set(leaf.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(text[:len(text)/4]))
			}
		}),
		"/t.S/Leaf": marshal("Leaf", func(m *dynamicpb.Message, f protoreflect.FieldDescriptors) {
			inner := m.Mutable(f.ByName("inner")).Message()
			inner.Set(f.ByName("name"), protoreflect.ValueOfString(text[:pageSize/2]))
			m.Set(f.ByName("name"), protoreflect.ValueOfString(text[:pageSize/2-100]))
		}),
	}
	known["/t.S/List"], known["/t.S/Text"], known["/t.S/Tags"] = known["/t.S/Get"], known["/t.S/Leaf"], known["/t.S/Leaf"]
	return known
}

// BenchmarkJoin compares a composed call of five steps with the five calls alone,
// by the CPU of all cores, under the garbage collector's setting of the binary.
// The difference is what composing costs.
func BenchmarkJoin(b *testing.B) {
	known := answers(b)
	stub := backend{answer: func(_ context.Context, method string, _ []byte) (mem.BufferSlice, error) {
		return mem.BufferSlice{mem.SliceBuffer(known[method])}, nil
	}}
	conn, err := compose(b, page(), stub)
	if err != nil {
		b.Fatal(err)
	}
	request := requestOf(b)
	ctx := call.With(b.Context(), new(call.Call))
	b.Run("composed", func(b *testing.B) {
		measured(b, func() error {
			var out call.Message
			defer out.Free()
			return conn.Invoke(ctx, "/t.S/Composed", &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(request)}}, &out)
		})
	})
	b.Run("calls", func(b *testing.B) {
		get := &call.Method{Name: "/t.S/Get", Conn: stub}
		leaf := &call.Method{Name: "/t.S/Leaf", Conn: stub}
		measured(b, func() error {
			for _, m := range [...]*call.Method{get, leaf, leaf, get, leaf} {
				var out call.Message
				if _, err := m.Call(ctx, &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(request)}}, &out, new(call.Reach)); err != nil {
					return err
				}
				out.Free()
			}
			return nil
		})
	})
}

func requestOf(tb testing.TB) []byte {
	desc := schema().Messages().ByName("All")
	m := dynamicpb.NewMessage(desc)
	m.Set(desc.Fields().ByName("f_STRING"), protoreflect.ValueOfString("products/enamel-mug-blue"))
	m.Set(desc.Fields().ByName("f_INT32"), protoreflect.ValueOfInt32(10))
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// gcPercent is what cmd/gatehouse sets.
const gcPercent = 400

func measured(b *testing.B, do func() error) {
	b.Helper()
	b.ReportAllocs()
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	before := cpu(b)
	for b.Loop() {
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpu is what this process has used of all cores, in nanoseconds.
func cpu(tb testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// TestJoinAllocates bounds what composing allocates beside the calls themselves.
func TestJoinAllocates(t *testing.T) {
	known := answers(t)
	conn, err := compose(t, page(), backend{answer: func(_ context.Context, method string, _ []byte) (mem.BufferSlice, error) {
		return mem.BufferSlice{mem.SliceBuffer(known[method])}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	request, ctx := requestOf(t), call.With(t.Context(), new(call.Call))
	got := testing.AllocsPerRun(200, func() {
		var out call.Message
		if err := conn.Invoke(ctx, "/t.S/Composed", &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(request)}}, &out); err != nil {
			t.Error(err)
		}
		out.Free()
	})
	const most = 95 // the five calls themselves have 35 of them
	if got > most {
		t.Errorf("%v allocations for a composed call of five steps, want at most %d", got, most)
	}
}

// pool gives out buffers and scribbles over those that come back, so that one
// used after it was freed shows, in what is read and to the race detector.
type pool struct{ out atomic.Int64 }

func (p *pool) Get(n int) *[]byte {
	p.out.Add(1)
	b := make([]byte, n)
	return &b
}

func (p *pool) Put(b *[]byte) {
	p.out.Add(-1)
	for i := range *b {
		(*b)[i] = 0xff
	}
}

// TestBuffers: the answer keeps the buffers that it refers to, and no others, and
// all are given up with it. Answers come in one buffer and in several.
func TestBuffers(t *testing.T) {
	known, buffers := answers(t), new(pool)
	conn, err := compose(t, page(), backend{answer: func(_ context.Context, method string, _ []byte) (mem.BufferSlice, error) {
		data := known[method]
		return mem.BufferSlice{mem.Copy(data[:len(data)-10], buffers), mem.Copy(data[len(data)-10:], buffers)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	one, err := compose(t, page(), backend{answer: func(_ context.Context, method string, _ []byte) (mem.BufferSlice, error) {
		return mem.BufferSlice{mem.Copy(known[method], buffers)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := invoke(t.Context(), conn, requestOf(t))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		for _, c := range []*aggregate.Conn{conn, one} {
			wg.Go(func() {
				var out call.Message
				in := &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(requestOf(t))}}
				if err := c.Invoke(t.Context(), "/t.S/Composed", in, &out); err != nil {
					t.Error(err)
					return
				}
				runtime.Gosched() // others free theirs meanwhile
				if got := out.Data.Materialize(); string(got) != string(want) {
					t.Errorf("an answer changed after it was given: %d bytes, want %d", len(got), len(want))
				}
				out.Free()
			})
		}
	}
	wg.Wait()
	if n := buffers.out.Load(); n != 0 {
		t.Errorf("%d buffers were never given up", n)
	}
}

// TestJoinRefers: what is large is not copied.
func TestJoinRefers(t *testing.T) {
	big := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), strings.Repeat("y", 100_000))
	conn, err := compose(t, &composev1.Composition{Steps: []*composev1.Step{
		{Name: "leaf", Call: "t.S.Leaf", Into: "f_leaf"},
		{Name: "name", Call: "t.S.Leaf", Request: map[string]string{"name": "request.f_STRING"}, Take: "name", Into: "f_STRING"},
	}}, backend{answer: func(context.Context, string, []byte) (mem.BufferSlice, error) {
		buf := append([]byte{}, big...)
		return mem.BufferSlice{mem.NewBuffer(&buf, new(pool))}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, out := &call.Message{Data: mem.BufferSlice{mem.SliceBuffer(requestOf(t))}}, new(call.Message)
	if err := conn.Invoke(t.Context(), "", in, out); err != nil {
		t.Fatal(err)
	}
	defer out.Free()
	var sizes []string
	for _, b := range out.Data {
		sizes = append(sizes, fmt.Sprint(b.Len()))
	}
	if got := strings.Join(sizes, " "); got != "6 100000 6 100004" && got != "5 100000 5 100004" {
		t.Errorf("the answer has buffers of %s bytes, want tag, text, tag, message", got)
	}
}
