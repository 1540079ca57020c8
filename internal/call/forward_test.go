package call_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// echo answers a unary call with its request.
func echo(_ context.Context, _ string, args, reply any, opts ...grpc.CallOption) error {
	msg, err := args.(*call.Pending).Message()
	if err != nil {
		return err
	}
	reply.(*call.Message).Data = calltest.Bytes("re: " + string(msg.Data.Materialize()))
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = metadata.Pairs("x-a", "1", "content-type", "application/grpc")
		case grpc.TrailerCallOption:
			*o.TrailerAddr = metadata.Pairs("x-b", "2", "grpc-status-details-bin", "x")
		}
	}
	return nil
}

func TestForwardUnary(t *testing.T) {
	down := &calltest.ServerStream{Requests: []string{"hello"}}
	if err := call.Forward(&call.Method{Conn: calltest.Conn{OnInvoke: echo}}, down); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(down.Got, []string{"re: hello"}) {
		t.Errorf("answer = %q", down.Got)
	}
	if len(down.Header) != 1 || len(down.Trailer) != 1 || down.Header["x-a"][0] != "1" || down.Trailer["x-b"][0] != "2" {
		t.Errorf("header = %v, trailer = %v: want what is the backend's and nothing of the protocol's", down.Header, down.Trailer)
	}
}

func TestUnaryTakesExactlyOneMessage(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		down *calltest.ServerStream
		code codes.Code
		text string
	}{
		{"none", &calltest.ServerStream{}, codes.Unimplemented, "no message"},
		{"two", &calltest.ServerStream{Requests: []string{"a", "b"}}, codes.Unimplemented, "more than one message"},
		{"broken", &calltest.ServerStream{RecvErr: broken}, codes.Internal, ""},
		{"broken later", &calltest.ServerStream{Requests: []string{"a"}, RecvErr: broken}, codes.Internal, ""},
	} {
		for kind, m := range map[string]*call.Method{
			"unary":         {Conn: calltest.Conn{OnInvoke: echo}},
			"server stream": {Conn: calltest.Conn{}, Stream: grpc.StreamDesc{ServerStreams: true}},
		} {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				down := calltest.ServerStream{Requests: tc.down.Requests, RecvErr: tc.down.RecvErr}
				err := call.Forward(m, &down)
				if call.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("err = %v, want %v with %q", err, tc.code, tc.text)
				}
				if len(down.Got) != 0 {
					t.Errorf("answered %q", down.Got)
				}
			})
		}
	}
}

func TestRefusedCallIsNotRead(t *testing.T) {
	refusal := call.Refuse(call.Client, codes.PermissionDenied, "no")
	m := &call.Method{Conn: calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { return refusal }}}
	down := &calltest.ServerStream{Requests: []string{"a"}, OnRecv: func() { t.Error("the body was read") }}
	if err := call.Forward(m, down); !errors.Is(err, refusal) {
		t.Errorf("err = %v, want %v", err, refusal)
	}
}

func TestPendingIsReadOnceForAllAttempts(t *testing.T) {
	reads := 0
	down := &calltest.ServerStream{Requests: []string{"a"}, OnRecv: func() { reads++ }}
	m := &call.Method{Conn: calltest.Conn{OnInvoke: func(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		for range 3 {
			msg, err := args.(*call.Pending).Message()
			if err != nil || string(msg.Data.Materialize()) != "a" {
				t.Errorf("message = %v, %v", msg, err)
			}
		}
		reply.(*call.Message).Data = calltest.Bytes("ok")
		return nil
	}}}
	if err := call.Forward(m, down); err != nil {
		t.Fatal(err)
	}
	if reads != 2 { // the message, and that there is no other
		t.Errorf("%d reads, want 2", reads)
	}
}

func streaming(up grpc.ClientStream, desc grpc.StreamDesc) *call.Method {
	return &call.Method{Name: "/s/m", Stream: desc, Conn: calltest.Conn{
		OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) { return up, nil },
	}}
}

func TestForwardStreams(t *testing.T) {
	for _, tc := range []struct {
		name string
		desc grpc.StreamDesc
		sent []string
		got  []string
		end  error
	}{
		{"server", grpc.StreamDesc{ServerStreams: true}, []string{"q"}, []string{"a", "b", "c"}, nil},
		{"server, empty", grpc.StreamDesc{ServerStreams: true}, []string{"q"}, nil, nil},
		{"server, fails", grpc.StreamDesc{ServerStreams: true}, []string{"q"}, []string{"a"}, status.Error(codes.DataLoss, "lost")},
		{"client", grpc.StreamDesc{ClientStreams: true}, []string{"p", "q"}, []string{"a"}, nil},
		{"both", grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, []string{"p", "q"}, []string{"a", "b"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sent := make(chan string, len(tc.sent))
			var arrived sync.WaitGroup // else the call may end before all have gone up
			arrived.Add(len(tc.sent))
			up := &calltest.ClientStream{
				HeaderMD: metadata.Pairs("x-a", "1"), TrailerMD: metadata.Pairs("x-b", "2"),
				Answers: tc.got, End: tc.end, OnRecv: arrived.Wait,
				OnSend: func(s string) {
					sent <- s
					arrived.Done()
				},
			}
			down := &calltest.ServerStream{Requests: tc.sent}
			if err := call.Forward(streaming(up, tc.desc), down); !errors.Is(err, tc.end) {
				t.Fatalf("err = %v, want %v", err, tc.end)
			}
			for _, want := range tc.sent {
				if got := <-sent; got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
			}
			if !slices.Equal(down.Got, tc.got) {
				t.Errorf("got %q, want %q", down.Got, tc.got)
			}
			if down.Header["x-a"] == nil || down.Trailer["x-b"] == nil {
				t.Errorf("header = %v, trailer = %v", down.Header, down.Trailer)
			}
		})
	}
}

// waiting is an upstream's stream that says nothing until its context ends.
func waiting() *call.Method {
	return &call.Method{Name: "/s/m", Stream: grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, Conn: calltest.Conn{
		OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			return &calltest.ClientStream{
				OnRecv: func() { <-ctx.Done() }, End: status.FromContextError(context.Canceled).Err(),
			}, nil
		},
	}}
}

func TestClientsMistakeEndsAStream(t *testing.T) {
	mistake := call.Refuse(call.Client, codes.InvalidArgument, "line 2 is not JSON")
	err := call.Forward(waiting(), &calltest.ServerStream{Requests: []string{"a"}, RecvErr: mistake})
	if !errors.Is(err, mistake) {
		t.Errorf("err = %v, want %v", err, mistake)
	}
}

func TestIdleStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := waiting()
		m.StreamIdle = 5 * time.Minute
		begin := time.Now()
		err := call.Forward(m, &calltest.ServerStream{})
		if call.CodeOf(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "idle for 5m0s") {
			t.Errorf("err = %v, want DEADLINE_EXCEEDED for idleness", err)
		}
		if took := time.Since(begin); took != 5*time.Minute {
			t.Errorf("took %v, want 5m", took)
		}
	})
}

func TestBusyStreamIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := &calltest.ClientStream{Answers: slices.Repeat([]string{"tick"}, 10), OnRecv: func() { time.Sleep(4 * time.Minute) }}
		m := streaming(up, grpc.StreamDesc{ServerStreams: true})
		m.StreamIdle = 5 * time.Minute
		down := &calltest.ServerStream{Requests: []string{"q"}}
		if err := call.Forward(m, down); err != nil || len(down.Got) != 10 {
			t.Errorf("err = %v after %d messages, want none after 10", err, len(down.Got))
		}
	})
}

func TestStatusOfShowsNothingOfOurs(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{nil, codes.OK, ""},
		{errors.New("pq: password of root"), codes.Internal, "internal error"},
		{context.Canceled, codes.Canceled, "the client cancelled the call"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "the deadline passed before the call was done"},
		{status.Error(codes.NotFound, "no such book"), codes.NotFound, "no such book"},
		{call.Refuse(call.Gateway, codes.Unavailable, "later").Because(io.EOF), codes.Unavailable, "later"},
	} {
		if st := call.StatusOf(tc.err); st.Code() != tc.code || st.Message() != tc.text {
			t.Errorf("StatusOf(%v) = %v, want %v %q", tc.err, st, tc.code, tc.text)
		}
	}
}

func TestFaultOf(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want call.Fault
	}{
		{call.Refuse(call.Gateway, codes.Unavailable, "x"), call.Gateway},
		{call.Refuse(call.Client, codes.Unavailable, "x"), call.Client},
		{status.Error(codes.Canceled, "x"), call.Client},
		{status.Error(codes.NotFound, "x"), call.Client},
		{status.Error(codes.InvalidArgument, "x"), call.Client},
		{status.Error(codes.Internal, "x"), call.Upstream},
		{status.Error(codes.Unavailable, "x"), call.Upstream},
	} {
		if got := call.FaultOf(tc.err); got != tc.want {
			t.Errorf("FaultOf(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}

// wrapped is an edge's own word for a client's mistake.
type wrapped struct{ err *call.Error }

func (w wrapped) Error() string { return w.err.Error() }
func (w wrapped) Unwrap() error { return w.err }

func TestMistakeInAStreamStaysTheEdges(t *testing.T) {
	mistake := wrapped{call.Refuse(call.Client, codes.ResourceExhausted, "line 2 is too long")}
	err := call.Forward(waiting(), &calltest.ServerStream{Requests: []string{"a"}, RecvErr: mistake})
	if _, ok := errors.AsType[wrapped](err); !ok {
		t.Errorf("err = %T %v, want it as the edge told it", err, err)
	}
}

// broken is a client's half with a defect.
type broken struct {
	calltest.ServerStream
	atRecv, atSend bool
}

func (b *broken) RecvMsg(m any) error {
	if b.atRecv {
		panic("secret of the house")
	}
	return b.ServerStream.RecvMsg(m)
}

func (b *broken) SendMsg(any) error {
	if b.atSend {
		panic("secret of the house")
	}
	return nil
}

func TestPanicIsAnOutcome(t *testing.T) {
	echo := func(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		_, err := args.(*call.Pending).Message()
		reply.(*call.Message).Data = calltest.Bytes("ok")
		return err
	}
	answers := &calltest.ClientStream{Answers: []string{"a"}}
	for kind, m := range map[string]*call.Method{
		"unary":         {Conn: calltest.Conn{OnInvoke: echo}},
		"server stream": streaming(answers, grpc.StreamDesc{ServerStreams: true}),
	} {
		for _, down := range []*broken{{atRecv: true}, {atSend: true}} {
			down.Requests = []string{"q"}
			checkInternal(t, kind, call.Forward(m, down))
		}
	}
	checkInternal(t, "both", call.Forward(waiting(), &broken{atRecv: true})) // on a goroutine of its own
}

func checkInternal(t *testing.T, kind string, err error) {
	t.Helper()
	if call.CodeOf(err) != codes.Internal || call.FaultOf(err) != call.Gateway || strings.Contains(err.Error(), "secret") {
		t.Errorf("%s: err = %v, want INTERNAL, the gateway's fault, without the panic's text", kind, err)
	}
	if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), "secret of the house") || !strings.Contains(cause.Error(), "forward_test.go") {
		t.Errorf("%s: the cause has neither panic nor stack: %v", kind, cause)
	}
}

// late delivers one request when it is let, which may be after the call's end, and
// then the end of them.
type late struct {
	*calltest.ServerStream
	let   chan struct{}
	given bool
}

func (l *late) RecvMsg(m any) error {
	<-l.let
	if l.given {
		return io.EOF
	}
	l.given = true
	m.(*call.Message).Data = calltest.Bytes("late")
	return nil
}

// TestNothingGoesUpAfterTheEnd: a request that the client's half delivers after
// the call has ended goes nowhere.
func TestNothingGoesUpAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		up := &calltest.ClientStream{Answers: []string{"bye"}, OnSend: func(string) { sent++ }}
		down := &late{ServerStream: &calltest.ServerStream{}, let: make(chan struct{})}
		if err := call.Forward(streaming(up, grpc.StreamDesc{ClientStreams: true, ServerStreams: true}), down); err != nil {
			t.Fatal(err)
		}
		close(down.let)
		synctest.Wait()
		if sent != 0 {
			t.Error("a request went to the upstream after the call had ended")
		}
	})
}

// TestEveryObserverRuns: a panic in one observer of a call's end does not keep the
// others from running.
func TestEveryObserverRuns(t *testing.T) {
	var c call.Call
	var told []string
	c.After(func(error) { told = append(told, "outer") })
	c.After(func(error) { panic("a bug") })
	c.After(func(error) { told = append(told, "inner") })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		c.Finish(nil)
	}()
	if !slices.Equal(told, []string{"inner", "outer"}) {
		t.Errorf("told: %q, want the inner one and then the outer one", told)
	}
}
