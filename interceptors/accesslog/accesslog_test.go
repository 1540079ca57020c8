package accesslog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/accesslog"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func TestOneLineACall(t *testing.T) {
	c := call.Call{
		Method: "/shop.v1.Shop/Get", Protocol: call.REST, Binding: "GET /v1/{name=products/*}", Upstream: "shop",
		Peer: "192.0.2.7:1234", RequestID: "r-1", TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
	for _, tc := range []struct {
		name string
		err  error
		want map[string]any
	}{
		{"answered", nil, map[string]any{
			"level": "INFO", "msg": "call", "method": c.Method, "protocol": "rest", "binding": c.Binding, "upstream": "shop",
			"status": "OK", "http_status": 200.0, "bytes_in": 3.0, "bytes_out": 5.0, "peer": c.Peer, "request_id": "r-1", "trace_id": c.TraceID,
		}},
		{"refused", call.Refuse(call.Client, codes.InvalidArgument, "bad"), map[string]any{
			"level": "INFO", "status": "INVALID_ARGUMENT", "fault": "client", "error": "bad",
		}},
		{"upstream down", call.Refuse(call.Upstream, codes.Unavailable, "down").Because(errors.New("dial 10.0.0.1")), map[string]any{
			"level": "WARN", "status": "UNAVAILABLE", "fault": "upstream", "error": "down", "cause": "dial 10.0.0.1",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, accesslog.Policy{Log: slog.New(slog.NewJSONHandler(&out, nil))}, interceptors.Method{}))
			running := call.Call{
				Method: c.Method, Protocol: c.Protocol, Binding: c.Binding, Upstream: c.Upstream,
				Peer: c.Peer, RequestID: c.RequestID, TraceID: c.TraceID, Start: time.Now(),
			}
			if err := conn.Invoke(call.With(t.Context(), &running), c.Method, nil, nil); err != nil {
				t.Fatal(err)
			}
			if out.Len() != 0 {
				t.Error("logged before the answer was written")
			}
			running.In.Add(3)
			running.Out.Add(5)
			running.SetHTTPStatus(200)
			running.Finish(tc.err)
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil { // also: exactly one line
				t.Fatalf("%v in %s", err, out.Bytes())
			}
			for k, want := range tc.want {
				if got[k] != want {
					t.Errorf("%s = %v, want %v", k, got[k], want)
				}
			}
			if _, ok := got["duration"]; !ok {
				t.Error("no duration")
			}
		})
	}
}

func TestRepeatedAttemptsAreLogged(t *testing.T) {
	for attempts, want := range []any{nil, nil, 2.0, 3.0} {
		var out bytes.Buffer
		conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, accesslog.Policy{Log: slog.New(slog.NewJSONHandler(&out, nil))}, interceptors.Method{}))
		running := call.Call{Method: "/s/m", Start: time.Now()}
		if err := conn.Invoke(call.With(t.Context(), &running), "/s/m", nil, nil); err != nil {
			t.Fatal(err)
		}
		for range attempts {
			running.AddAttempt()
		}
		running.Finish(nil)
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got["attempts"] != want {
			t.Errorf("after %d attempts the line says %v, want %v", attempts, got["attempts"], want)
		}
	}
}

// TestLongTextsAreCut: nobody makes a line long, whatever errors and names repeat of
// what was sent.
func TestLongTextsAreCut(t *testing.T) {
	const atMost = 8 << 10
	long := strings.Repeat("x", 1<<20)
	var out bytes.Buffer
	conn := interceptors.Chain(calltest.Conn{}, policytest.Build(t, accesslog.Policy{Log: slog.New(slog.NewJSONHandler(&out, nil))}, interceptors.Method{}))
	running := call.Call{Method: "/s/m", UserAgent: long, Start: time.Now()}
	running.SetCaller(&call.Caller{ID: long, Authenticator: "keys"})
	if err := conn.Invoke(call.With(t.Context(), &running), "/s/m", nil, nil); err != nil {
		t.Fatal(err)
	}
	running.Finish(call.Refuse(call.Client, codes.InvalidArgument, "no %s", long).Because(errors.New("read " + long)))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if out.Len() > atMost {
		t.Errorf("the line has %d bytes, want at most %d", out.Len(), atMost)
	}
	for key, begin := range map[string]string{"error": "no xxx", "cause": "read xxx", "caller": "xxx", "user_agent": "xxx"} {
		if text, _ := got[key].(string); !strings.HasPrefix(text, begin) {
			t.Errorf("%s does not begin with %q", key, begin)
		}
	}
}
