package edge_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

const (
	clientTrace  = "0af7651916cd43dd8448eb211c80319c"
	clientSpan   = "b7ad6b7169203331"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

var parentForm = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)

// TestTraceContext: every call goes on in the client's trace, or begins one, and
// the backend's parent is the gateway.
func TestTraceContext(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(edgetest.Product(t, func(srv any, ss grpc.ServerStream) error {
		in, _ := metadata.FromIncomingContext(ss.Context())
		seen <- in
		return edgetest.FourKinds[edgetest.GetProduct](srv, ss)
	})))
	for _, tc := range []struct {
		name      string
		parents   []string
		states    []string
		flags     string
		goesOn    bool
		wantState []string
	}{
		{name: "none", flags: "00"},
		{name: "sampled", parents: []string{clientParent}, flags: "01", goesOn: true},
		{name: "not sampled", parents: []string{clientParent[:53] + "00"}, flags: "00", goesOn: true},
		{name: "random", parents: []string{clientParent[:53] + "03"}, flags: "03", goesOn: true},
		{name: "flags that mean nothing", parents: []string{clientParent[:53] + "fd"}, flags: "01", goesOn: true},
		{name: "later version", parents: []string{"cc" + clientParent[2:] + "-what-comes"}, flags: "01", goesOn: true},
		{name: "later version, short", parents: []string{"cc" + clientParent[2:]}, flags: "01", goesOn: true},
		{name: "later version, no dash", parents: []string{"cc" + clientParent[2:] + ".what"}, flags: "00"},
		{name: "version that is none", parents: []string{"ff" + clientParent[2:]}, flags: "00"},
		{name: "version not hexadecimal", parents: []string{"0x" + clientParent[2:]}, flags: "00"},
		{name: "too long", parents: []string{clientParent + "-00"}, flags: "00"},
		{name: "dash at the end", parents: []string{clientParent + "-"}, flags: "00"},
		{name: "too short", parents: []string{clientParent[:54]}, flags: "00"},
		{name: "upper case", parents: []string{strings.ToUpper(clientParent)}, flags: "00"},
		{name: "trace of zeros", parents: []string{"00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01"}, flags: "00"},
		{name: "parent of zeros", parents: []string{"00-" + clientTrace + "-" + strings.Repeat("0", 16) + "-01"}, flags: "00"},
		{name: "trace not hexadecimal", parents: []string{"00-" + strings.Repeat("g", 32) + "-" + clientSpan + "-01"}, flags: "00"},
		{name: "flags not hexadecimal", parents: []string{clientParent[:53] + ".1"}, flags: "00"},
		{name: "twice", parents: []string{clientParent, clientParent}, flags: "00", states: []string{"a=1"}},
		{name: "state", parents: []string{clientParent}, flags: "01", goesOn: true, states: []string{"rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE"}, wantState: []string{"rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"}},
		{name: "bad state", parents: []string{clientParent}, flags: "01", goesOn: true, states: []string{"=1"}},
		{name: "state twice", parents: []string{clientParent}, flags: "01", goesOn: true, states: []string{"a=1,a=2"}},
		{name: "state without parent", states: []string{"a=1"}, flags: "00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := []string{"Baggage: k=v", "Grpc-Metadata-Tracestate: evil=1"}
			ctx := metadata.AppendToOutgoingContext(edgetest.Soon(t), "baggage", "k=v")
			for _, p := range tc.parents {
				headers, ctx = append(headers, "Traceparent: "+p), metadata.AppendToOutgoingContext(ctx, "traceparent", p)
			}
			for _, s := range tc.states {
				headers, ctx = append(headers, "Tracestate: "+s), metadata.AppendToOutgoingContext(ctx, "tracestate", s)
			}
			check := func() {
				t.Helper()
				got := gatewaytest.Receive(t, seen, "the call")
				parts := parentForm.FindStringSubmatch(strings.Join(got["traceparent"], "|"))
				if parts == nil {
					t.Fatalf("traceparent %q", got["traceparent"])
				}
				if goesOn := parts[1] == clientTrace; goesOn != tc.goesOn || parts[2] == clientSpan || parts[3] != tc.flags {
					t.Errorf("traceparent %q", parts[0])
				}
				if !slices.Equal(got["tracestate"], tc.wantState) || !slices.Equal(got["baggage"], []string{"k=v"}) {
					t.Errorf("tracestate %q, baggage %q", got["tracestate"], got["baggage"])
				}
				gatewaytest.Eventually(t, "the trace in the log", func() bool { return strings.Contains(g.Log.String(), "trace_id="+parts[1]) })
			}
			gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", edgetest.ProductPath, "", headers...))
			check()
			for _, address := range []string{g.GRPC, g.HTTP} {
				if _, err := catalogv1.NewCatalogServiceClient(gatewaytest.Dial(t, address, nil)).GetProduct(ctx, &catalogv1.GetProductRequest{}); err != nil {
					t.Fatal(err)
				}
				check()
			}
		})
	}
}
