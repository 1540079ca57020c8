package deprecation_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/deprecation"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

func date(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		notice interceptors.Deprecation
		want   []string
	}{
		{"date alone", interceptors.Deprecation{Date: date(t, "2026-01-01T00:00:00Z")}, []string{"deprecation", "@1767225600"}},
		{
			"another zone", interceptors.Deprecation{Date: date(t, "2026-01-01T01:00:00+01:00"), Sunset: date(t, "2027-06-30T12:30:00+02:00")},
			[]string{"deprecation", "@1767225600", "sunset", "Wed, 30 Jun 2027 10:30:00 GMT"},
		},
		{
			"all", interceptors.Deprecation{
				Date: date(t, "2026-01-01T00:00:00Z"), Sunset: date(t, "2027-01-01T00:00:00Z"), Link: "https://shop.example/v1-goes", Successor: "/v2/products",
			},
			[]string{
				"deprecation", "@1767225600", "sunset", "Fri, 01 Jan 2027 00:00:00 GMT",
				"link", `<https://shop.example/v1-goes>; rel="deprecation", </v2/products>; rel="successor-version"`,
			},
		},
		{"before 1970", interceptors.Deprecation{Date: date(t, "1969-12-31T23:59:59Z")}, []string{"deprecation", "@-1"}},
	} {
		if got := deprecation.Headers(&test.notice); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// failing is an upstream.
type failing struct{ err error }

func (f failing) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return f.err }

func (f failing) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, f.err
}

// TestTellsWithEveryAnswer: also of a call that fails, of a stream, and once.
func TestTellsWithEveryAnswer(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	d, err := deprecation.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	const method = "/shop.v1.Shop/Get"
	policy := policytest.Build(t, d, interceptors.Method{Name: method, Deprecation: &interceptors.Deprecation{Version: "v1", Date: date(t, "2026-01-01T00:00:00Z")}})
	for _, want := range []codes.Code{codes.OK, codes.PermissionDenied} {
		conn := interceptors.Chain(failing{status.Error(want, "so it is")}, policy)
		for kind, do := range map[string]func(context.Context) error{
			"unary": func(ctx context.Context) error { return conn.Invoke(ctx, method, nil, nil) },
			"stream": func(ctx context.Context) error {
				_, err := conn.NewStream(ctx, &grpc.StreamDesc{}, method)
				return err
			},
		} {
			c := new(call.Call)
			if err := do(call.With(t.Context(), c)); status.Code(err) != want {
				t.Errorf("%s: got %v, want %v", kind, err, want)
			}
			if got := c.Header()["deprecation"]; !slices.Equal(got, []string{"@1767225600"}) {
				t.Errorf("%s, %v: told %q", kind, want, got)
			}
		}
	}
	if err := interceptors.Chain(failing{}, policy).Invoke(t.Context(), method, nil, nil); err != nil {
		t.Errorf("outside of a gateway: %v", err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "gatehouse_deprecated_calls_total" || families[0].GetMetric()[0].GetCounter().GetValue() != 5 {
		t.Errorf("counted %v, %v, want 5 calls", families, err)
	}
}

func TestNewRefusesTwice(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	if _, err := deprecation.New(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := deprecation.New(reg); err == nil {
		t.Error("a second collector of that name was registered")
	}
}
