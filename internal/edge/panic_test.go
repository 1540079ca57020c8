package edge_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/metrics"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/httprule"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// counted is a table of nothing: what is refused passes the metrics that are
// returned, and then refuse.
func counted(t *testing.T, refuse grpc.ClientConnInterface) (*edge.Table, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	var routes httprule.Builder[*edge.Route]
	return &edge.Table{
		Table:  call.NewTable(nil, &call.Method{Conn: interceptors.Chain(refuse, policytest.Build(t, m, interceptors.Method{}))}),
		Routes: routes.Build(), Errors: &edge.Errors{},
	}, reg
}

// ended waits until calls calls were counted as ended by code, and none runs.
func ended(t *testing.T, reg *prometheus.Registry, code string, calls float64) {
	t.Helper()
	gatewaytest.Eventually(t, "the end of each call in the metrics", func() bool {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		running, counted := -1.0, 0.0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				switch {
				case f.GetName() == "gatehouse_calls_in_flight":
					running = m.GetGauge().GetValue()
				case f.GetName() == "gatehouse_calls_total" && strings.Contains(m.String(), `"`+code+`"`):
					counted += m.GetCounter().GetValue()
				}
			}
		}
		return running == 0 && counted == calls
	})
}

// TestPanicAtTheDoor: a panic outside of the call's chain is an outcome that
// observers are told of, and other calls go on.
func TestPanicAtTheDoor(t *testing.T) {
	t.Parallel()
	table, reg := counted(t, calltest.Conn{OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { panic("a bug") }})
	web, native := serveTable(t, table)
	for _, address := range []string{native, web} {
		cc := gatewaytest.Dial(t, address, nil)
		for range 2 {
			if err := cc.Invoke(edgetest.Soon(t), "/s.v1.S/Nothing", new(emptypb.Empty), new(emptypb.Empty)); status.Code(err) != codes.Internal {
				t.Errorf("over gRPC: %v, want INTERNAL", err)
			}
		}
	}
	a := gatewaytest.Do(t, gatewaytest.Client(t), getRequest(t, "http://"+web+"/nothing"))
	if a.StatusCode != http.StatusInternalServerError || strings.Contains(a.Text, "bug") {
		t.Errorf("over REST: %d %s, want 500 that tells nothing of the panic", a.StatusCode, a.Text)
	}
	ended(t, reg, "INTERNAL", 5)
}

// TestPanicInTheAnswer: a panic while the answer is written aborts it, and the
// call counts as ended.
func TestPanicInTheAnswer(t *testing.T) {
	t.Parallel()
	table, reg := counted(t, call.Refuser{})
	web, _ := serveTable(t, table, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(mute{w}, r) })
	})
	if a, err := gatewaytest.Client(t).Do(getRequest(t, "http://"+web+"/nothing")); err == nil {
		_ = a.Body.Close()
		t.Errorf("an answer of status %d, want an aborted one", a.StatusCode)
	}
	ended(t, reg, "NOT_FOUND", 1)
}

// mute panics when a status is written.
type mute struct{ http.ResponseWriter }

func (m mute) WriteHeader(int)             { panic(io.ErrClosedPipe) }
func (m mute) Unwrap() http.ResponseWriter { return m.ResponseWriter }

func getRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(edgetest.Soon(t), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
