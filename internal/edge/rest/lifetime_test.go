package rest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
)

// tireless is a view that works until the call is over: on requests, or on answers.
type tireless struct {
	edgetest.Plain

	answers bool
	working chan struct{} // closed when it begins
	ended   chan error    // by what
}

func (v tireless) AppendRequest(dst []byte, in *call.Input) ([]byte, error) {
	if v.answers {
		return v.Plain.AppendRequest(dst, in)
	}
	return dst, v.work(in.Until)
}

func (v tireless) AppendResponse(dst, wire []byte, until call.Lifetime) ([]byte, string, bool, error) {
	if !v.answers {
		return v.Plain.AppendResponse(dst, wire, until)
	}
	return dst, "", false, v.work(until)
}

func (v tireless) work(until call.Lifetime) error {
	close(v.working)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if err := until.Err(); err != nil {
			v.ended <- err
			return err
		}
		<-tick.C
	}
}

// serveView serves one method, whose calls have a time limit of the gateway's if it is
// not 0.
func serveView(t *testing.T, view call.View, limit time.Duration) string {
	t.Helper()
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(ctx context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		if limit > 0 {
			call.WithTimeLimit(ctx, limit)
		}
		_, err := args.(*call.Pending).Message()
		reply.(*call.Message).Data = calltest.Bytes("{}")
		return err
	}}}
	var routes httprule.Builder[*edge.Route]
	template, err := httprule.Parse("/v1/things")
	if err != nil {
		t.Fatal(err)
	}
	if err := routes.Add("POST", template, "here", &edge.Route{Method: m, Binding: &contract.Binding{Name: "POST /v1/things", Body: "*"}, View: view}); err != nil {
		t.Fatal(err)
	}
	var current edge.Current
	current.Store(&edge.Table{Table: call.NewTable([]*call.Method{m}, m), Routes: routes.Build(), Errors: &edge.Errors{}})
	server := httptest.NewServer(doors.Handler(&edge.Settings{
		Table: &current, MaxBody: 1 << 20, MaxHeaders: 100, RequestID: func() string { return "0af7651916cd43dd8448eb211c80319c" },
	})(http.NotFoundHandler()))
	t.Cleanup(server.Close)
	return server.URL + "/v1/things"
}

// TestTranscodingEndsWithTheDeadline: the work on a message ends with the call's time,
// which is DEADLINE_EXCEEDED, whoever set it.
func TestTranscodingEndsWithTheDeadline(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		answers bool
		limit   time.Duration
		header  string
	}{
		{name: "a request, the gateway's limit", limit: 50 * time.Millisecond},
		{name: "a request, the client's deadline", header: "50m"},
		{name: "an answer, the gateway's limit", answers: true, limit: 50 * time.Millisecond},
		{name: "an answer, the client's deadline", answers: true, header: "50m"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			view := tireless{answers: tc.answers, working: make(chan struct{}), ended: make(chan error, 1)}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, serveView(t, view, tc.limit), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if tc.header != "" {
				r.Header.Set("Grpc-Timeout", tc.header)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(body), "DEADLINE_EXCEEDED") {
				t.Errorf("got %d %s, %v; want 504 and DEADLINE_EXCEEDED", answer.StatusCode, body, err)
			}
		})
	}
}

// TestTranscodingEndsWithTheClient: nobody waits for the work when the client has gone.
func TestTranscodingEndsWithTheClient(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{false, true} {
		view := tireless{answers: answers, working: make(chan struct{}), ended: make(chan error, 1)}
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, serveView(t, view, 0), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-view.working
			leave()
		}()
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
			t.Errorf("answered %d, want none", answer.StatusCode)
		}
		if err := <-view.ended; status.Code(err) != codes.Canceled {
			t.Errorf("ended by %v, want CANCELED", err)
		}
	}
}
