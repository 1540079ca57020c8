package mirror_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/mirror"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// copied is a copy as the second upstream got it.
type copied struct {
	request string
	md      metadata.MD
	call    *call.Call
}

// scene is an RPC with a mirror.
type scene struct {
	mirrors *mirror.Mirrors
	memory  *memory.Process
	reg     *prometheus.Registry
	log     bytes.Buffer
	random  float64

	method interceptors.Method
	conf   *configv1.Mirror
	table  *call.Table                 // that the call is served from; may be nil
	second func(context.Context) error // what the second upstream does
	answer int                         // bytes of its answers
	got    chan copied
}

var getShelf = interceptors.Method{Name: "/s/GetShelf"}

func setup(t *testing.T, conf *configv1.Mirror) *scene {
	t.Helper()
	return setupWith(t, conf, memory.Limits{})
}

// setupWith is setup with limits of memory.
func setupWith(t *testing.T, conf *configv1.Mirror, limits memory.Limits) *scene {
	t.Helper()
	s := &scene{reg: prometheus.NewRegistry(), conf: conf, method: getShelf, got: make(chan copied, 100), memory: memory.New(limits)}
	var err error
	if s.mirrors, err = mirror.New(s.reg, slog.New(slog.NewTextHandler(&s.log, nil)), s.memory.NewBackground(), func() float64 { return s.random }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.mirrors.Close() })
	s.conf = &configv1.Mirror{Percent: new(100.0), Timeout: durationpb.New(5 * time.Second), MaxConcurrent: proto.Uint32(100)}
	proto.Merge(s.conf, conf)
	return s
}

// call makes one call, whose own upstream answers "main".
func (s *scene) call(t *testing.T, ctx context.Context) {
	t.Helper()
	s.callBy(t, ctx, s.mirrorOf(t))
}

// mirrorOf is the policy of the RPC.
func (s *scene) mirrorOf(t *testing.T) interceptors.Interceptor {
	second := calltest.Conn{OnInvoke: func(ctx context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		reply.(*call.Message).Data = calltest.Bytes("second")
		s.got <- copied{string(args.(*call.Message).Data.Materialize()), md, call.From(ctx)}
		for _, o := range opts {
			if o, ok := o.(grpc.MaxRecvMsgSizeCallOption); ok && s.answer > o.MaxRecvMsgSize {
				return call.Refuse(call.Gateway, codes.Internal, "it is too large").Because(call.ErrTooLarge)
			}
		}
		if s.second != nil {
			return s.second(ctx)
		}
		return nil
	}}
	return s.build(t, s.method, second)
}

// build is the policy of an RPC whose copies go to a connection.
func (s *scene) build(t *testing.T, m interceptors.Method, second grpc.ClientConnInterface) interceptors.Interceptor {
	t.Helper()
	m.Mirror = &interceptors.Mirror{Upstream: "second", Conn: second, MaxAnswer: 4 << 20, Conf: s.conf}
	return policytest.Build(t, s.mirrors, m)
}

// callBy is call with a policy that may be that of other calls too.
func (s *scene) callBy(t *testing.T, ctx context.Context, mirror interceptors.Interceptor) {
	t.Helper()
	first := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		reply.(*call.Message).Data = calltest.Bytes("main")
		return nil
	}}
	m := &call.Method{Name: s.method.Name, Conn: interceptors.Chain(first, mirror)}
	c := &call.Call{Table: s.table}
	ctx = metadata.NewOutgoingContext(call.With(ctx, c), metadata.MD{"x-tenant": {"acme"}})
	down := &calltest.ServerStream{Ctx: ctx, Requests: []string{"request"}}
	if err := call.Forward(m, down); err != nil || len(down.Got) != 1 || down.Got[0] != "main" {
		t.Errorf("the call was answered with %q (%v)", down.Got, err)
	}
	if c.Header() != nil {
		t.Errorf("the client was told %v", c.Header())
	}
}

func (s *scene) wantCount(t *testing.T, name string, want float64, labels ...string) {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			matches := f.GetName() == name
			for i, l := range labels {
				matches = matches && m.GetLabel()[i].GetValue() == l
			}
			if matches {
				got += m.GetCounter().GetValue()
			}
		}
	}
	if got != want {
		t.Errorf("%s%v is %v, want %v", name, labels, got, want)
	}
}

func TestACopyIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{})
		s.second = func(context.Context) error { return status.Error(codes.Internal, "broken") }
		s.call(t, t.Context())
		synctest.Wait()
		got := <-s.got
		if got.request != "request" || got.md["x-tenant"][0] != "acme" || len(got.md[call.Mirrored]) != 1 || got.call != nil {
			t.Errorf("the copy is %+v", got)
		}
		s.wantCount(t, "gatehouse_mirror_calls_total", 1, getShelf.Name, "INTERNAL", "second")
	})
}

// A copy goes on when the call is over, and is ended by its own timeout.
func TestACopyHasATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{Timeout: durationpb.New(time.Minute)})
		ended := make(chan error, 1)
		s.second = func(ctx context.Context) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.call(t, ctx)
		cancel()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("the copy ended with the call")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(ended) != 1 || <-ended != context.DeadlineExceeded {
			t.Error("the copy did not end after its timeout")
		}
		s.wantCount(t, "gatehouse_mirror_calls_total", 1, getShelf.Name, "DEADLINE_EXCEEDED", "second")
	})
}

// A copy holds the table that it came from, and what the table needs.
func TestACopyHoldsItsTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{})
		s.table = call.NewTable(nil, nil)
		gate := make(chan struct{})
		s.second = func(context.Context) error {
			<-gate
			return nil
		}
		s.table.Hold()
		s.call(t, t.Context())
		s.table.Leave()
		retired := false
		s.table.Retire(func() { retired = true })
		synctest.Wait()
		if retired {
			t.Error("the table was given up while a copy was under way")
		}
		close(gate)
		synctest.Wait()
		if !retired {
			t.Error("the table stays after the last copy")
		}
	})
}

// A panic in a copy ends the copy and nothing else.
func TestPanicInACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{})
		s.second = func(context.Context) error { panic("a bug") }
		s.call(t, t.Context())
		synctest.Wait()
		s.wantCount(t, "gatehouse_mirror_calls_total", 1, getShelf.Name, "INTERNAL", "second")
		if !strings.Contains(s.log.String(), "a bug") {
			t.Errorf("the log has nothing of the panic: %s", s.log.String())
		}
	})
}

func TestCopiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{MaxConcurrent: proto.Uint32(2)})
		gate := make(chan struct{})
		s.second = func(context.Context) error {
			<-gate
			return nil
		}
		for range 5 {
			s.call(t, t.Context())
		}
		synctest.Wait()
		if len(s.got) != 2 {
			t.Errorf("%d copies are under way, want 2", len(s.got))
		}
		s.wantCount(t, "gatehouse_mirror_dropped_total", 3, getShelf.Name, "second")
		close(gate)
		synctest.Wait()
		s.call(t, t.Context())
		synctest.Wait()
		if len(s.got) != 3 {
			t.Errorf("%d copies were made, want another one", len(s.got))
		}
	})
}

// What copies hold is bounded, counts with the process, and is given up by their ends.
func TestCopiesCountAsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setupWith(t, &configv1.Mirror{}, memory.Limits{Process: 10 << 20})
		gate := make(chan struct{})
		s.second = func(context.Context) error {
			<-gate
			return nil
		}
		for range 40 {
			s.call(t, t.Context())
		}
		synctest.Wait()
		if n := len(s.got); n == 0 || n > 16 { // a tenth of the process's, and at least 64 KiB each
			t.Errorf("%d copies are under way, want as many as fit into 1 MiB", n)
		}
		s.wantCount(t, "gatehouse_mirror_dropped_total", float64(40-len(s.got)), getShelf.Name, "second")
		if held := s.memory.Held(); held < 64<<10 || held > 1<<20 {
			t.Errorf("%d bytes are held, want at most 1 MiB", held)
		}
		close(gate)
		synctest.Wait()
		if held := s.memory.Held(); held != 0 {
			t.Errorf("%d bytes are held after the last copy", held)
		}
	})
}

// Where clients need the memory no copy is made, and no client is ended or refused
// for one.
func TestClientsGoBeforeCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setupWith(t, &configv1.Mirror{}, memory.Limits{Process: 10 << 20})
		var client memory.Share
		client.Open(s.memory.NewClient(), nil)
		client.Hold(8 << 20)
		var reader memory.ClientWait
		reader.Begin(&client, func() { t.Error("a reader was ended for a copy") })
		time.Sleep(time.Minute) // it is a slow one
		s.call(t, t.Context())
		synctest.Wait()
		if len(s.got) != 0 || s.memory.Held() != 8<<20 || s.memory.Refused() != 0 {
			t.Errorf("%d copies, %d bytes held, %d refused", len(s.got), s.memory.Held(), s.memory.Refused())
		}
		s.wantCount(t, "gatehouse_mirror_dropped_total", 1, getShelf.Name, "second")
		reader.Done()
		client.Close()
		s.call(t, t.Context())
		synctest.Wait()
		if len(s.got) != 1 {
			t.Error("no copy was made when there was room again")
		}
	})
}

// Copies have room for answers as large as those before.
func TestRoomForAnswersGrows(t *testing.T) {
	for _, tc := range []struct {
		name             string
		answer           int
		limits           memory.Limits
		dropped, ok, bad float64
	}{
		{"small", 64 << 10, memory.Limits{}, 0, 9, 0},
		{"large", 300 << 10, memory.Limits{}, 3, 6, 0},
		{"larger than any may be", 5 << 20, memory.Limits{}, 6, 0, 3},
		{"larger than there is memory for", 3 << 20, memory.Limits{Process: 40 << 20}, 9, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setupWith(t, &configv1.Mirror{}, tc.limits)
				s.answer = tc.answer
				policy := s.mirrorOf(t)
				for range 9 {
					s.callBy(t, t.Context(), policy)
					synctest.Wait()
				}
				s.wantCount(t, "gatehouse_mirror_dropped_total", tc.dropped, getShelf.Name, "second")
				s.wantCount(t, "gatehouse_mirror_calls_total", tc.ok, getShelf.Name, "OK", "second")
				s.wantCount(t, "gatehouse_mirror_calls_total", tc.bad, getShelf.Name, "INTERNAL", "second")
				if len(s.got) != 9 || s.memory.Held() != 0 {
					t.Errorf("%d copies were made, %d bytes are left, want 9 and none", len(s.got), s.memory.Held())
				}
			})
		})
	}
}

func TestWhatIsCopied(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method interceptors.Method
		conf   *configv1.Mirror
		random float64
		copies int
	}{
		{"safe", getShelf, &configv1.Mirror{}, 1, 1},
		{"with side effects", interceptors.Method{SideEffects: true}, &configv1.Mirror{}, 0, 0},
		{"with side effects, as asked for", interceptors.Method{SideEffects: true}, &configv1.Mirror{Unsafe: true}, 0, 1},
		{"in the sample", getShelf, &configv1.Mirror{Percent: new(10.0)}, 0.09, 1},
		{"not in the sample", getShelf, &configv1.Mirror{Percent: new(10.0)}, 0.1, 0},
		{"none", getShelf, &configv1.Mirror{Percent: new(0.0)}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := setup(t, tc.conf)
			s.method, s.random = tc.method, tc.random
			s.call(t, t.Context())
			synctest.Wait()
			if len(s.got) != tc.copies {
				t.Errorf("%s: %d copies, want %d", tc.name, len(s.got), tc.copies)
			}
		})
	}
}

func TestStreamsAreNotCopied(t *testing.T) {
	s := setup(t, &configv1.Mirror{Unsafe: true})
	if i := s.build(t, interceptors.Method{Name: "/s/Watch", ServerStreams: true}, calltest.Conn{}); i.Unary != nil || i.Stream != nil {
		t.Error("there is something in the chain of a stream")
	}
}

// Close ends copies and waits for them; a bubble would not end otherwise.
func TestCloseEndsCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, &configv1.Mirror{Timeout: durationpb.New(time.Hour)})
		s.second = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		s.call(t, t.Context())
		begin := time.Now()
		if err := s.mirrors.Close(); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) > 0 {
			t.Error("Close waited for the timeout")
		}
		s.wantCount(t, "gatehouse_mirror_calls_total", 1, getShelf.Name, "CANCELLED", "second")
		s.call(t, t.Context())
		synctest.Wait()
		if len(s.got) != 1 {
			t.Error("a copy was made after Close")
		}
		s.wantCount(t, "gatehouse_mirror_dropped_total", 0, getShelf.Name, "second")
	})
}
