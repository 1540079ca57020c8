package retry_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

// try is one attempt of a stream.
type try struct {
	open            error // of NewStream
	header, trailer metadata.MD
	answers         []string
	end             error
	silent          time.Duration // before its first answer
}

// streams is a backend that gives one stream after the other.
type streams struct {
	tries []try
	sent  [][]string // requests of each
	made  []*calltest.ClientStream
	times []time.Duration
	begun time.Time
}

func (s *streams) conn() calltest.Conn {
	s.begun = time.Now()
	return calltest.Conn{OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
		n := len(s.sent)
		a := s.tries[min(n, len(s.tries)-1)]
		s.sent = append(s.sent, nil)
		s.times = append(s.times, time.Since(s.begun))
		if a.open != nil {
			return nil, a.open
		}
		up := &calltest.ClientStream{HeaderMD: a.header, TrailerMD: a.trailer, Answers: a.answers, End: a.end}
		up.OnSend = func(m string) { s.sent[n] = append(s.sent[n], m) }
		s.made = append(s.made, up)
		if a.silent == 0 {
			return up, nil
		}
		return &slow{ClientStream: up, ctx: ctx, silent: a.silent}, nil
	}}
}

// slow waits before its first answer.
type slow struct {
	grpc.ClientStream
	ctx    context.Context
	silent time.Duration
}

func (s *slow) RecvMsg(m any) error {
	wait := s.silent
	s.silent = 0
	select {
	case <-time.After(wait):
		return s.ClientStream.RecvMsg(m)
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

func TestServerStreams(t *testing.T) {
	reset := status.Error(codes.Unavailable, "reset")
	header := metadata.Pairs("content-type", "application/grpc")
	for _, tc := range []struct {
		name, policy string
		tries        []try
		got          []string
		code         codes.Code
		times        []time.Duration
		trailer      string
	}{
		{"goes well", "", []try{{header: header, answers: []string{"a", "b"}}}, []string{"a", "b"}, codes.OK, []time.Duration{0}, ""},
		{"is empty", "", []try{{}}, nil, codes.OK, []time.Duration{0}, ""},
		{"fails before its first message", "", []try{{end: reset, trailer: metadata.Pairs("from", "1")}, {header: header, answers: []string{"a"}, trailer: metadata.Pairs("from", "2")}},
			[]string{"a"}, codes.OK, []time.Duration{0, 50 * ms}, "2"},
		{"without headers", "", []try{{end: reset}, {answers: []string{"a", "b"}}}, []string{"a", "b"}, codes.OK, []time.Duration{0, 50 * ms}, ""},
		{"cannot be opened", "", []try{{open: reset}, {open: reset}, {answers: []string{"a"}}}, []string{"a"}, codes.OK, []time.Duration{0, 50 * ms, 150 * ms}, ""},
		{"fails, cannot be opened", "", []try{{end: reset, trailer: metadata.Pairs("from", "1")}, {open: reset}}, nil, codes.Unavailable, []time.Duration{0, 50 * ms, 150 * ms}, ""},
		{"always fails", "", []try{{end: reset, trailer: metadata.Pairs("from", "1")}}, nil, codes.Unavailable, []time.Duration{0, 50 * ms, 150 * ms}, "1"},
		{"fails after its first message", "", []try{{answers: []string{"a"}, end: reset}}, []string{"a"}, codes.Unavailable, []time.Duration{0}, ""},
		{"fails after its headers", "", []try{{header: header, end: reset}}, nil, codes.Unavailable, []time.Duration{0}, ""},
		{"client's mistake", "", []try{{end: status.Error(codes.NotFound, "")}}, nil, codes.NotFound, []time.Duration{0}, ""},
		{"pushback", "", []try{{end: reset, trailer: metadata.Pairs("grpc-retry-pushback-ms", "500")}, {answers: []string{"a"}}}, []string{"a"}, codes.OK, []time.Duration{0, 500 * ms}, ""},
		{"attempt_timeout", "attempt_timeout: {seconds: 1}", []try{{silent: time.Minute, answers: []string{"x"}}, {answers: []string{"a"}}}, []string{"a"}, codes.OK, []time.Duration{0, 1050 * ms}, ""},
		{"attempt_timeout each time", "attempt_timeout: {seconds: 1} attempts: 2", []try{{silent: time.Minute}}, nil, codes.DeadlineExceeded, []time.Duration{0, 1050 * ms}, ""},
	} {
		for _, headers := range []bool{true, false} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, _ := newRetries(t, half)
					up := &streams{tries: tc.tries}
					m := safe(t, tc.policy)
					m.ServerStreams = true
					conn := connect(t, r, m, up.conn())
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					got, trailer, err := consume(ctx, conn, headers)
					if !slices.Equal(got, tc.got) || call.CodeOf(err) != tc.code {
						t.Errorf("got %q and %v, want %q and %v", got, err, tc.got, tc.code)
					}
					if from := strings.Join(trailer["from"], ","); from != tc.trailer {
						t.Errorf("got the trailer of attempt %q, want %q", from, tc.trailer)
					}
					if !slices.Equal(up.times, tc.times) {
						t.Errorf("attempts at %v, want %v", up.times, tc.times)
					}
					for i, sent := range up.sent {
						if tc.tries[min(i, len(tc.tries)-1)].open == nil && !slices.Equal(sent, []string{"request"}) {
							t.Errorf("attempt %d was sent %q, want the request", i+1, sent)
						}
					}
					for _, s := range up.made {
						if !s.Closed() {
							t.Error("an attempt was not told that the request is all")
						}
					}
				})
			})
		}
	}
}

// consume uses a server stream as call.Forward does, or without asking for its
// headers.
func consume(ctx context.Context, conn grpc.ClientConnInterface, headers bool) (got []string, _ metadata.MD, _ error) {
	up, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return nil, nil, err
	}
	if err := up.SendMsg(&call.Message{Data: calltest.Bytes("request")}); err != nil && err != io.EOF {
		return nil, nil, err
	}
	if err := up.CloseSend(); err != nil {
		return nil, nil, err
	}
	if headers {
		if _, err := up.Header(); err != nil {
			return nil, nil, errors.New("Header gave an error, which is RecvMsg's to tell")
		}
	}
	for {
		var msg call.Message
		err := up.RecvMsg(&msg)
		if err == io.EOF {
			return got, up.Trailer(), nil
		}
		if err != nil {
			if again := up.RecvMsg(&msg); again == nil {
				return nil, nil, errors.New("a message after the end")
			}
			return got, up.Trailer(), err
		}
		got = append(got, string(msg.Data.Materialize()))
		msg.Free()
	}
}

func TestStreamsThatAreNotSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		m := safe(t, "attempt_timeout: {seconds: 1}")
		m.ServerStreams, m.Safe = true, false
		up := &streams{tries: []try{{silent: time.Minute}}}
		_, _, err := consume(t.Context(), connect(t, r, m, up.conn()), true)
		if call.CodeOf(err) != codes.DeadlineExceeded || len(up.times) != 1 || time.Since(up.begun) != time.Second {
			t.Errorf("%d attempts, %v after %v; want attempt_timeout to end the only one", len(up.times), err, time.Since(up.begun))
		}
	})
}

func TestAStreamThatHasBegunHasNoAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		m := safe(t, "attempt_timeout: {seconds: 1}")
		m.ServerStreams = true
		conn := connect(t, r, m, calltest.Conn{OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			up := &calltest.ClientStream{Answers: []string{"a", "b"}}
			n := 0
			up.OnRecv = func() {
				if n++; n == 2 {
					time.Sleep(time.Hour)
				}
				up.End = ctx.Err()
			}
			return up, nil
		}})
		if got, _, err := consume(t.Context(), conn, true); err != nil || len(got) != 2 {
			t.Errorf("got %q and %v, want both messages", got, err)
		}
	})
}

func TestStreamsShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, reg := newRetries(t, half)
		m := safe(t, "")
		m.ServerStreams = true
		up := &streams{tries: []try{{end: down.err}}}
		conn := connect(t, r, m, up.conn())
		for range 10 {
			_, _, _ = consume(t.Context(), conn, true)
		}
		if len(up.times) != 13 {
			t.Errorf("%d attempts for 10 calls of a dead upstream, want 13", len(up.times))
		}
		up.tries = []try{{answers: []string{"a"}}}
		_, _, _ = consume(t.Context(), conn, true)
		all := series(t, reg)
		for _, want := range []string{
			"gatehouse_retry_budget_tokens upstream=shop 0.1",
			"gatehouse_retry_attempts_total kind=first method=" + method + " outcome=ok 1",
			"gatehouse_retry_attempts_total kind=retry method=" + method + " outcome=error 3",
		} {
			if !slices.Contains(all, want) {
				t.Errorf("no %q in %q", want, all)
			}
		}
	})
}

// The request of a stream is kept for further attempts, and no longer.
func TestTheRequestOfAStreamIsFreed(t *testing.T) {
	for name, leave := range map[string]func(grpc.ClientStream, context.CancelFunc){
		"after the first message": func(s grpc.ClientStream, _ context.CancelFunc) { _ = s.RecvMsg(new(call.Message)) },
		"after the headers":       func(s grpc.ClientStream, _ context.CancelFunc) { _, _ = s.Header() },
		"when the client leaves":  func(_ grpc.ClientStream, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := new(counting)
				r, _ := newRetries(t, half)
				m := safe(t, "")
				m.ServerStreams = true
				up := &streams{tries: []try{{end: down.err}, {header: metadata.Pairs("h", "1"), answers: []string{"a"}}}}
				conn := connect(t, r, m, up.conn())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
				if err != nil {
					t.Fatal(err)
				}
				msg := call.Message{Data: pool.buffer("request")}
				_ = s.SendMsg(&msg)
				msg.Free()
				_ = s.CloseSend()
				if pool.out != 1 {
					t.Fatalf("%d buffers out after sending, want the one that is kept", pool.out)
				}
				leave(s, cancel)
				synctest.Wait()
				if pool.out != 0 {
					t.Errorf("%d buffers were not freed", pool.out)
				}
				for _, sent := range up.sent {
					if !strings.HasPrefix(sent[0], "request") {
						t.Errorf("sent %q", sent[0][:7])
					}
				}
			})
		})
	}
}

// What is not wire bytes can be sent, though only once.
func TestGeneratedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newRetries(t, half)
		m := safe(t, "")
		m.ServerStreams = true
		up := &streams{tries: []try{{end: down.err}}}
		s, err := connect(t, r, m, up.conn()).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SendMsg(wrapperspb.String("x"))
		if err := s.RecvMsg(new(wrapperspb.StringValue)); call.CodeOf(err) != codes.Unavailable || len(up.times) != 1 {
			t.Errorf("%v after %d attempts, want the first one's error", err, len(up.times))
		}
		up.tries = []try{{answers: []string{"\x0a\x01a"}}}
		s, err = connect(t, r, m, up.conn()).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Header()
		var got wrapperspb.StringValue
		if err := s.RecvMsg(&got); err != nil || got.GetValue() != "a" {
			t.Errorf("got %q, %v", got.GetValue(), err)
		}
	})
}
