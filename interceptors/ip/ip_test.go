package ip_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/ip"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// ask calls once, unary and as a stream, and returns the outcome of both.
func ask(t *testing.T, policy interceptors.Interceptor, peer string) (unary, stream error) {
	t.Helper()
	reached := 0
	conn := interceptors.Chain(calltest.Conn{
		OnInvoke: func(context.Context, string, any, any, ...grpc.CallOption) error { reached++; return nil },
		OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
			reached++
			return &calltest.ClientStream{}, nil
		},
	}, policy)
	ctx := call.With(t.Context(), &call.Call{Peer: peer})
	unary = conn.Invoke(ctx, "/s/m", nil, nil)
	_, stream = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/s/m")
	if let := unary == nil && stream == nil; let != (reached == 2) {
		t.Errorf("let in: %v, but the upstream was reached %d times", let, reached)
	}
	return unary, stream
}

func TestDecision(t *testing.T) {
	office := []string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.0/120"}
	for _, tc := range []struct {
		name        string
		allow, deny []string
		peer        string
		refused     string // a part of the text
	}{
		{"nothing said", nil, nil, "203.0.113.1:4", ""},
		{"in a network", office, nil, "10.200.0.1:4", ""},
		{"first of a network", office, nil, "10.0.0.0:4", ""},
		{"last of a network", office, nil, "10.255.255.255:4", ""},
		{"before a network", office, nil, "9.255.255.255:4", "not among"},
		{"behind a network", office, nil, "11.0.0.0:4", "not among"},
		{"an address", office, nil, "192.0.2.7:4", ""},
		{"its neighbour", office, nil, "192.0.2.8:4", "not among"},
		{"no port", office, nil, "192.0.2.7", ""},
		{"mapped client", office, nil, "[::ffff:10.1.2.3]:4", ""},
		{"mapped entry", office, nil, "198.51.100.9:4", ""},
		{"behind a mapped entry", office, nil, "198.51.101.0:4", "not among"},
		{"IPv6", office, nil, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:4", ""},
		{"IPv6 behind", office, nil, "[2001:db9::]:4", "not among"},
		{"IPv6 with a zone", office, nil, "[2001:db8::1%eth0]:4", ""},
		{"same bits, other family", []string{"::a00:1"}, nil, "10.0.0.1:4", "not among"},
		{"denied", nil, []string{"203.0.113.0/24"}, "203.0.113.1:4", "denied"},
		{"not denied", nil, []string{"203.0.113.0/24"}, "203.0.114.1:4", ""},
		{"deny wins", office, []string{"10.6.6.0/24"}, "10.6.6.6:4", "denied"},
		{"and only there", office, []string{"10.6.6.0/24"}, "10.6.7.6:4", ""},
		{"everybody of IPv4", []string{"0.0.0.0/0"}, nil, "203.0.113.1:4", ""},
		{"is nobody of IPv6", []string{"0.0.0.0/0"}, nil, "[2001:db8::1]:4", "not among"},
		{"everybody of IPv6", []string{"::/0"}, nil, "[ffff:ffff::1]:4", ""},
		{"nobody known, allow", office, nil, "", "not among"},
		{"nobody known, allow all", []string{"0.0.0.0/0", "::/0"}, nil, "@", "not among"},
		{"nobody known, deny", nil, []string{"0.0.0.0/0", "::/0"}, "", ""},
		{"overlapping", []string{"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8"}, nil, "10.200.0.1:4", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			policy, err := build(&policyv1.Ip{Allow: tc.allow, Deny: tc.deny})
			if err != nil {
				t.Fatal(err)
			}
			unary, stream := ask(t, policy, tc.peer)
			for _, err := range []error{unary, stream} {
				if tc.refused == "" {
					if err != nil {
						t.Errorf("err = %v, want it let in", err)
					}
					continue
				}
				if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("err = %v, want PERMISSION_DENIED with %q", err, tc.refused)
				}
				if call.FaultOf(err) != call.Client || call.PolicyOf(err) != "ip" {
					t.Errorf("fault %v by %q, want the client's by ip", call.FaultOf(err), call.PolicyOf(err))
				}
			}
		})
	}
}

func TestWithoutACallNobodyIsKnown(t *testing.T) {
	policy, err := build(&policyv1.Ip{Allow: []string{"0.0.0.0/0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := interceptors.Chain(calltest.Conn{}, policy).Invoke(t.Context(), "/s/m", nil, nil); status.Code(err) != codes.PermissionDenied {
		t.Errorf("err = %v, want PERMISSION_DENIED", err)
	}
}

func TestNoPolicyLetsAllIn(t *testing.T) {
	policy, err := build(nil)
	if err != nil {
		t.Fatal(err)
	}
	if unary, stream := ask(t, policy, "203.0.113.1:4"); unary != nil || stream != nil {
		t.Errorf("errors %v and %v, want none", unary, stream)
	}
}

func TestBadEntriesAreNamed(t *testing.T) {
	for entry, want := range map[string]string{
		"":                    "neither an address nor a network",
		"10.0.0":              "neither an address nor a network",
		"10.0.0.0/33":         "neither an address nor a network",
		"10.0.0.0/-1":         "neither an address nor a network",
		"010.0.0.1":           "neither an address nor a network",
		"example.com":         "neither an address nor a network",
		"10.0.0.1:80":         "neither an address nor a network",
		"10.0.0.1/8":          `want "10.0.0.0/8"`,
		"2001:db8::1/32":      `want "2001:db8::/32"`,
		"fe80::1%eth0":        "has a zone",
		"fe80::%eth0/64":      "has a zone",
		"::ffff:10.0.0.1/104": `want "10.0.0.0/8"`,
		"::ffff:0.0.0.0/90":   "more than the IPv4-mapped addresses",
	} {
		for _, p := range []*policyv1.Ip{
			{Allow: []string{"10.0.0.0/8", entry}},
			{Deny: []string{"10.0.0.0/8", entry}},
		} {
			field := "ip.allow"
			if len(p.GetDeny()) > 0 {
				field = "ip.deny"
			}
			_, err := build(p)
			if err == nil {
				t.Errorf("%q was taken", entry)
				continue
			}
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("%s[1]: %q ", field, entry)) || !strings.Contains(err.Error(), want) {
				t.Errorf("err = %v, want %s[1], the entry, and %q", err, field, want)
			}
		}
	}
}

func TestDecidingAllocatesNothing(t *testing.T) {
	conn, ctx := long(t, 10_000)
	if got := testing.AllocsPerRun(100, func() { conn.Invoke(ctx, "/s/m", nil, nil) }); got != 0 {
		t.Errorf("a decision allocates %v times, want 0", got)
	}
}

// FuzzNew compares with the plain reading of a list: each entry on its own.
func FuzzNew(f *testing.F) {
	f.Add("10.0.0.0/8", "10.1.0.0/16", "10.255.255.255")
	f.Add("::ffff:10.0.0.0/104", "192.0.2.7", "::ffff:10.9.9.9")
	f.Add("2001:db8::/127", "2001:db8::1", "2001:db8::2")
	f.Fuzz(func(t *testing.T, a, b, client string) {
		policy, err := build(&policyv1.Ip{Allow: []string{a, b}})
		if err != nil {
			return
		}
		addr, err := netip.ParseAddr(client)
		if err != nil {
			return
		}
		want := contains(a, addr) || contains(b, addr)
		ctx := call.With(t.Context(), &call.Call{Peer: client})
		if err := interceptors.Chain(calltest.Conn{}, policy).Invoke(ctx, "/s/m", nil, nil); (err == nil) != want {
			t.Errorf("allow %q and %q, client %q: err = %v, want it let in: %v", a, b, client, err, want)
		}
	})
}

func contains(entry string, client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	if a, err := netip.ParseAddr(entry); err == nil {
		return a.Unmap() == client
	}
	p := netip.MustParsePrefix(entry)
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Contains(client)
}

// long is a chain with a list of n networks, and a call of one that is in none.
func long(tb testing.TB, n int) (grpc.ClientConnInterface, context.Context) {
	deny := make([]string, n)
	for i := range deny {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i)*512)
		deny[i] = netip.PrefixFrom(netip.AddrFrom4(b), 24).String()
	}
	policy, err := build(&policyv1.Ip{Deny: deny})
	if err != nil {
		tb.Fatal(err)
	}
	return interceptors.Chain(calltest.Conn{}, policy), call.With(tb.Context(), &call.Call{Peer: "0.1.1.1:4"})
}

func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			conn, ctx := long(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Invoke(ctx, "/s/m", nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func build(p *policyv1.Ip) (interceptors.Interceptor, error) {
	return policytest.TryBuild(interceptors.PolicyFunc(ip.Build), interceptors.Method{Policy: &policyv1.Policy{Ip: p}})
}
