package fallback_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/fallback"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

const method = "/s/m"

func newFallbacks(t *testing.T) (*fallback.Fallbacks, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	store, err := answers.NewStore(64<<20, reg)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fallback.New(store, reg)
	if err != nil {
		t.Fatal(err)
	}
	return f, reg
}

func lastGood(d time.Duration) *policyv1.Fallback {
	return &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: durationpb.New(d)}}
}

func fixed() *policyv1.Fallback {
	return &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: `{"a": 1}`}}
}

// upstream answers what it is told to.
type upstream struct {
	text   string
	header metadata.MD
	err    error
	lacks  bool   // something is missing in its answer
	stop   func() // called before it ends
}

func (u *upstream) invoke(ctx context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
	if p, ok := args.(*call.Pending); ok {
		if _, err := p.Message(); err != nil {
			return err
		}
	}
	if u.stop != nil {
		u.stop()
	}
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = u.header.Copy()
		case grpc.TrailerCallOption:
			*o.TrailerAddr = metadata.Pairs("x-trailer", "1")
		}
	}
	if u.err != nil {
		return u.err
	}
	if u.lacks {
		call.From(ctx).AddHeader(answers.Degraded, "reviews; code=UNAVAILABLE")
	}
	reply.(*call.Message).Data = calltest.Bytes(u.text)
	return nil
}

// described is a unary RPC without side effects, whose fixed answer has the bytes wire.
func described(p *policyv1.Fallback, wire string) interceptors.Method {
	return interceptors.Method{
		Name: method, Policy: &policyv1.Policy{Fallback: p},
		Response: func(string) ([]byte, error) { return []byte(wire), nil },
	}
}

// rpc is a method with a fallback before u.
func (u *upstream) rpc(t *testing.T, f *fallback.Fallbacks, p *policyv1.Fallback, wire string) *call.Method {
	t.Helper()
	i := policytest.Build(t, f, described(p, wire))
	return &call.Method{Name: method, Conn: interceptors.Chain(calltest.Conn{OnInvoke: u.invoke}, i)}
}

// ask calls m once as who, with a request and metadata.
func ask(ctx context.Context, m *call.Method, who *call.Caller, request string, md ...string) (*calltest.ServerStream, metadata.MD, error) {
	c := &call.Call{Method: method}
	if who != nil {
		c.SetCaller(who)
	}
	ctx = metadata.NewOutgoingContext(call.With(ctx, c), metadata.Pairs(md...))
	down := &calltest.ServerStream{Ctx: ctx, Requests: []string{request}}
	err := call.Forward(m, down)
	return down, c.Header(), err
}

var errDown = status.Error(codes.Unavailable, "down")

func TestWhichErrorsItServesFor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		served string // the code told, if it is
	}{
		{"down", errDown, "UNAVAILABLE"},
		{"refused by a breaker", call.Refuse(call.Gateway, codes.Unavailable, "open").By("breaker"), "UNAVAILABLE"},
		{"unavailable by the client", call.Refuse(call.Client, codes.Unavailable, "x"), ""},
		{"too slow", call.Refuse(call.Upstream, codes.DeadlineExceeded, "late"), "DEADLINE_EXCEEDED"},
		{"late by us", call.Refuse(call.Gateway, codes.DeadlineExceeded, "late"), ""},
		{"broken", status.Error(codes.Internal, "x"), "INTERNAL"},
		{"unknown", status.Error(codes.Unknown, "x"), "UNKNOWN"},
		{"our own mistake", call.Refuse(call.Gateway, codes.Internal, "x"), ""},
		{"not found", status.Error(codes.NotFound, "x"), ""},
		{"a bad request", status.Error(codes.InvalidArgument, "x"), ""},
		{"not allowed", status.Error(codes.PermissionDenied, "x"), ""},
		{"too much", status.Error(codes.ResourceExhausted, "x"), ""},
		{"not there", status.Error(codes.Unimplemented, "x"), ""},
		{"cancelled", context.Canceled, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, reg := newFallbacks(t)
			for kind, p := range map[string]*policyv1.Fallback{"fixed": fixed(), "last good": lastGood(time.Hour)} {
				u := &upstream{text: "good"}
				m := u.rpc(t, f, p, "good")
				if _, _, err := ask(t.Context(), m, nil, "r"); err != nil {
					t.Fatal(err)
				}
				u.err, u.header = tc.err, metadata.Pairs("x-failed", "1")
				down, added, err := ask(t.Context(), m, nil, "r")
				if tc.served == "" {
					if call.CodeOf(err) != call.CodeOf(tc.err) || len(down.Got) != 0 || len(added) != 0 {
						t.Errorf("%s: %v with %v and %v, want the error", kind, err, down.Got, added)
					}
					continue
				}
				if err != nil || len(down.Got) != 1 || down.Got[0] != "good" {
					t.Errorf("%s: %v and %v, want it served", kind, down.Got, err)
				}
				if want := "fallback; code=" + tc.served; added[answers.Degraded][0] != want {
					t.Errorf("%s: %v, want %q", kind, added, want)
				}
				if len(down.Header) != 0 || len(down.Trailer) != 0 {
					t.Errorf("%s: header %v and trailer %v are left of the answer that failed", kind, down.Header, down.Trailer)
				}
			}
			if served := counted(t, reg); served[tc.served] != 2 && tc.served != "" || tc.served == "" && len(served) != 0 {
				t.Errorf("metrics %v, want 2 of %q", served, tc.served)
			}
		})
	}
}

func TestTheLastGoodAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := newFallbacks(t)
		u := &upstream{text: "first", header: metadata.Pairs("x-a", "1", "cache-control", "private")}
		m := u.rpc(t, f, lastGood(time.Minute), "")
		ann, bob := &call.Caller{ID: "ann", Authenticator: "jwt"}, &call.Caller{ID: "bob", Authenticator: "jwt"}
		ask(t.Context(), m, ann, "r")
		time.Sleep(time.Second)
		u.text = "second"
		ask(t.Context(), m, ann, "r")
		time.Sleep(59 * time.Second)
		u.err = errDown
		m = u.rpc(t, f, lastGood(time.Minute), "") // a new table
		down, added, err := ask(t.Context(), m, ann, "r")
		if err != nil || down.Got[0] != "second" {
			t.Fatalf("%v and %v, want the second answer", down.Got, err)
		}
		if diff := cmp.Diff(metadata.Pairs("x-a", "1"), down.Header); diff != "" {
			t.Errorf("its header (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(metadata.Pairs("age", "59", "gatehouse-degraded", "fallback; code=UNAVAILABLE"), added); diff != "" {
			t.Errorf("ours (-want +got):\n%s", diff)
		}
		for name, other := range map[string]func() (*calltest.ServerStream, metadata.MD, error){
			"another caller":  func() (*calltest.ServerStream, metadata.MD, error) { return ask(t.Context(), m, bob, "r") },
			"nobody":          func() (*calltest.ServerStream, metadata.MD, error) { return ask(t.Context(), m, nil, "r") },
			"another request": func() (*calltest.ServerStream, metadata.MD, error) { return ask(t.Context(), m, ann, "s") },
		} {
			if down, _, err := other(); status.Code(err) != codes.Unavailable {
				t.Errorf("%s: %v and %v, want the error", name, down.Got, err)
			}
		}
		time.Sleep(time.Second)
		if down, _, err := ask(t.Context(), m, ann, "r"); status.Code(err) != codes.Unavailable {
			t.Errorf("too old: %v and %v, want the error", down.Got, err)
		}
	})
}

func TestWhatIsNotKept(t *testing.T) {
	for name, tc := range map[string]struct {
		header metadata.MD
		md     []string
		lacks  bool
	}{
		"a part is missing": {lacks: true},
		"no-store":          {header: metadata.Pairs("cache-control", "no-store")},
		"unseen credential": {md: []string{"authorization", "Bearer x"}},
		"unseen cookie":     {md: []string{"cookie", "a=b"}},
	} {
		f, _ := newFallbacks(t)
		u := &upstream{text: "good", header: tc.header, lacks: tc.lacks}
		m := u.rpc(t, f, lastGood(time.Hour), "")
		ask(t.Context(), m, nil, "r", tc.md...)
		u.err = errDown
		if down, _, err := ask(t.Context(), m, nil, "r", tc.md...); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v and %v, want the error", name, down.Got, err)
		}
	}
}

func TestWhoWaitsNoMoreIsServedNothing(t *testing.T) {
	f, _ := newFallbacks(t)
	ctx, cancel := context.WithCancel(t.Context())
	u := &upstream{err: errDown, stop: cancel}
	if down, _, err := ask(ctx, u.rpc(t, f, fixed(), "fixed"), nil, "r"); err == nil {
		t.Errorf("served %v to a client that had gone", down.Got)
	}
	// A deadline that passed further in leaves a client that waits.
	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	u = &upstream{err: call.Refuse(call.Upstream, codes.DeadlineExceeded, "late")}
	if _, _, err := ask(ctx, u.rpc(t, f, fixed(), "fixed"), nil, "r"); err != nil {
		t.Errorf("err = %v, want the fixed answer", err)
	}
}

// streaming is a method with a stream and a fixed answer before up.
func streaming(t *testing.T, desc grpc.StreamDesc, up grpc.ClientStream, openErr error) *call.Method {
	t.Helper()
	f, _ := newFallbacks(t)
	m := described(fixed(), "fixed")
	m.ClientStreams, m.ServerStreams, m.SideEffects = true, true, true
	i := policytest.Build(t, f, m)
	conn := interceptors.Chain(calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
		return up, openErr
	}}, i)
	return &call.Method{Name: method, Stream: desc, Conn: conn}
}

func TestStreams(t *testing.T) {
	server, client, both := grpc.StreamDesc{ServerStreams: true}, grpc.StreamDesc{ClientStreams: true}, grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	failing := func(answers ...string) grpc.ClientStream {
		return &calltest.ClientStream{Answers: answers, End: errDown, TrailerMD: metadata.Pairs("x-trailer", "1")}
	}
	for _, tc := range []struct {
		name   string
		desc   grpc.StreamDesc
		up     grpc.ClientStream
		open   error
		want   []string
		code   codes.Code
		served bool
	}{
		{"goes well", server, &calltest.ClientStream{Answers: []string{"a", "b"}}, nil, []string{"a", "b"}, codes.OK, false},
		{"is empty", server, &calltest.ClientStream{}, nil, nil, codes.OK, false},
		{"cannot be opened", server, nil, errDown, []string{"fixed"}, codes.OK, true},
		{"cannot be opened, a client stream", client, nil, errDown, []string{"fixed"}, codes.OK, true},
		{"cannot be opened, both", both, nil, errDown, []string{"fixed"}, codes.OK, true},
		{"may not be opened", server, nil, status.Error(codes.PermissionDenied, "x"), nil, codes.PermissionDenied, false},
		{"fails at first", server, failing(), nil, []string{"fixed"}, codes.OK, true},
		{"fails at first, a client stream", client, failing(), nil, []string{"fixed"}, codes.OK, true},
		{"fails at first, both", both, failing(), nil, []string{"fixed"}, codes.OK, true},
		{"fails later", server, failing("a"), nil, []string{"a"}, codes.Unavailable, false},
		{"fails after its header", server, &calltest.ClientStream{HeaderMD: metadata.Pairs("x-a", "1"), End: errDown}, nil, nil, codes.Unavailable, false},
		{"fails by the client", server, &calltest.ClientStream{End: status.Error(codes.NotFound, "x")}, nil, nil, codes.NotFound, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			down, added, err := ask(t.Context(), streaming(t, tc.desc, tc.up, tc.open), nil, "r")
			if call.CodeOf(err) != tc.code {
				t.Errorf("err = %v, want %v", err, tc.code)
			}
			if diff := cmp.Diff(tc.want, down.Got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if served := len(added[answers.Degraded]) > 0; served != tc.served {
				t.Errorf("headers %v, want it marked: %v", added, tc.served)
			}
			if tc.served && len(down.Trailer) > 0 {
				t.Errorf("trailer %v is left of the answer that failed", down.Trailer)
			}
		})
	}
}

func TestNobodyListensToWhatIsSentAfterTheFixedAnswer(t *testing.T) {
	sent := 0
	for name, m := range map[string]*call.Method{
		"not opened": streaming(t, grpc.StreamDesc{}, nil, errDown),
		"failed":     streaming(t, grpc.StreamDesc{}, &calltest.ClientStream{End: errDown, OnSend: func(string) { sent++ }}, nil),
	} {
		up, err := m.Conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		var msg call.Message
		if err := up.RecvMsg(&msg); err != nil || string(msg.Data.Materialize()) != "fixed" {
			t.Errorf("%s: %q and %v, want the fixed answer", name, msg.Data.Materialize(), err)
		}
		if send, end, recv := up.SendMsg(&call.Message{}), up.CloseSend(), up.RecvMsg(&msg); send != io.EOF || end != nil || recv != io.EOF {
			t.Errorf("%s: %v, %v and %v, want EOF, nothing and EOF", name, send, end, recv)
		}
		if up.Trailer() != nil {
			t.Errorf("%s: trailer %v, want none", name, up.Trailer())
		}
	}
	if sent != 0 {
		t.Errorf("%d messages were sent to an upstream that had failed", sent)
	}
}

func TestCallsFromInside(t *testing.T) {
	f, _ := newFallbacks(t)
	u := &upstream{text: "good"}
	table := call.NewTable([]*call.Method{u.rpc(t, f, lastGood(time.Hour), "")}, nil)
	for range 2 {
		var reply call.Message
		if err := table.Invoke(t.Context(), method, &call.Message{Data: calltest.Bytes("r")}, &reply); err != nil || string(reply.Data.Materialize()) != "good" {
			t.Errorf("%q and %v, want the good answer", reply.Data.Materialize(), err)
		}
		u.err = errDown
	}
	// Without a call nothing is known of it.
	m := u.rpc(t, f, lastGood(time.Hour), "")
	if err := m.Conn.Invoke(t.Context(), method, &call.Message{}, &call.Message{}); !errors.Is(err, errDown) {
		t.Errorf("err = %v, want the upstream's", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	f, reg := newFallbacks(t)
	for _, tc := range []struct {
		streams, sideEffects bool
		p                    *policyv1.Fallback
		want                 string
	}{
		{false, false, &policyv1.Fallback{}, "fallback: want last_good or response"},
		{true, false, lastGood(time.Minute), "fallback.last_good: the RPC is a stream"},
		{false, true, lastGood(time.Minute), "fallback.last_good: the RPC may have side effects"},
		{false, false, lastGood(0), "fallback.last_good: must be greater than 0s"},
	} {
		m := described(tc.p, "")
		m.ServerStreams, m.SideEffects = tc.streams, tc.sideEffects
		if _, err := policytest.TryBuild(f, m); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("err = %v, want %q", err, tc.want)
		}
	}
	off := lastGood(time.Minute)
	off.Disabled = new(true)
	for _, p := range []*policyv1.Fallback{nil, off, {Disabled: new(true)}} {
		m := described(p, "")
		m.ServerStreams, m.SideEffects = true, true
		if i, err := policytest.TryBuild(f, m); err != nil || i.Unary != nil || i.Stream != nil {
			t.Errorf("%v: %v, want a policy that does nothing", p, err)
		}
	}
	store, err := answers.NewStore(64<<20, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fallback.New(store, reg); err == nil {
		t.Error("two sets of collectors in one registry: want an error")
	}
}

// counted are the calls served, by status.
func counted(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "status" {
					got[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return got
}

// An answer in one language is no answer for those who want another.
func TestTheLastGoodAnswerVaries(t *testing.T) {
	u := &upstream{text: "guten Tag", header: metadata.Pairs("vary", "Accept-Language")}
	f, _ := newFallbacks(t)
	m := u.rpc(t, f, lastGood(time.Minute), "")
	if _, _, err := ask(t.Context(), m, nil, "r", "accept-language", "de"); err != nil {
		t.Fatal(err)
	}
	u.err = errDown
	if down, _, err := ask(t.Context(), m, nil, "r", "accept-language", "de"); err != nil || down.Got[0] != "guten Tag" {
		t.Errorf("%v %v, want the last good answer", down.Got, err)
	}
	if down, _, err := ask(t.Context(), m, nil, "r", "accept-language", "en"); status.Code(err) != codes.Unavailable {
		t.Errorf("%v %v, want UNAVAILABLE: there is none in this language", down.Got, err)
	}
	u.err, u.header = nil, metadata.Pairs("vary", "*")
	if _, _, err := ask(t.Context(), m, nil, "s"); err != nil {
		t.Fatal(err)
	}
	u.err = errDown
	if down, _, err := ask(t.Context(), m, nil, "s"); status.Code(err) != codes.Unavailable {
		t.Errorf("%v %v, want UNAVAILABLE: no other request can have it", down.Got, err)
	}
}

// TestWhatBelongsToOneClient: an answer that is private, or sets a cookie, is kept for
// a caller who is known, and for nobody else.
func TestWhatBelongsToOneClient(t *testing.T) {
	for name, header := range map[string]metadata.MD{
		"private": metadata.Pairs("cache-control", "max-age=5, private"), "cookie": metadata.Pairs("set-cookie", "session=1"),
	} {
		for _, who := range []*call.Caller{nil, {ID: "ann", Authenticator: "jwt"}} {
			f, _ := newFallbacks(t)
			u := &upstream{text: "first", header: header}
			m := u.rpc(t, f, lastGood(time.Minute), "")
			ask(t.Context(), m, who, "r")
			u.err = errDown
			if _, _, err := ask(t.Context(), m, who, "r"); (err == nil) != (who != nil) {
				t.Errorf("%s: %v for the caller %v", name, err, who)
			}
		}
	}
}
