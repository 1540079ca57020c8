package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/doors"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
)

// doubling is a view whose requests grow.
type doubling struct{ edgetest.Plain }

func (doubling) AppendRequest(dst []byte, in *call.Input) ([]byte, error) {
	return append(append(dst, in.Body...), in.Body...), nil
}

// JSON may become more on the wire than it was: the limit of messages is
// looked at when the message is there.
func TestMessageMayNotOutgrowItsLimit(t *testing.T) {
	reached := 0
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(_ context.Context, _ string, args, reply any, _ ...grpc.CallOption) error {
		if _, err := args.(*call.Pending).Message(); err != nil {
			return err
		}
		reached++
		reply.(*call.Message).Data = calltest.Bytes("{}")
		return nil
	}}}
	var routes httprule.Builder[*edge.Route]
	template, err := httprule.Parse("/v1/things")
	if err != nil {
		t.Fatal(err)
	}
	if err := routes.Add("POST", template, "here", &edge.Route{Method: m, Binding: &contract.Binding{Name: "POST /v1/things", Body: "*"}, View: doubling{}}); err != nil {
		t.Fatal(err)
	}
	refused := &call.Method{Conn: interceptors.Chain(call.Refuser{})}
	var current edge.Current
	current.Store(&edge.Table{Table: call.NewTable([]*call.Method{m}, refused), Routes: routes.Build(), Errors: &edge.Errors{}})
	h := doors.Handler(&edge.Settings{
		Table: &current, MaxBody: 100, MaxMessage: 20, MaxHeaders: 100, RequestID: func() string { return "r-1" },
	})(http.NotFoundHandler())
	for _, tc := range []struct{ size, want int }{{10, http.StatusOK}, {11, http.StatusRequestEntityTooLarge}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/things", strings.NewReader(strings.Repeat("x", tc.size))))
		if w.Code != tc.want {
			t.Errorf("%d bytes: status %d, want %d: %s", tc.size, w.Code, tc.want, w.Body)
		}
		if tc.want != http.StatusOK && !strings.Contains(w.Body.String(), "a message of 22 bytes: at most 20 are taken") {
			t.Errorf("the refusal says %s", w.Body)
		}
	}
	if reached != 1 {
		t.Errorf("%d calls reached the backend, want 1", reached)
	}
}
