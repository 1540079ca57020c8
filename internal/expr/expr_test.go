package expr_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

func rpc(t *testing.T, name protoreflect.Name) protoreflect.MethodDescriptor {
	t.Helper()
	for _, f := range []protoreflect.FileDescriptor{
		catalogv1.File_shop_catalog_v1_catalog_proto, inventoryv1.File_shop_inventory_v1_inventory_proto,
	} {
		if md := f.Services().Get(0).Methods().ByName(name); md != nil {
			return md
		}
	}
	t.Fatalf("the contract has no %s", name)
	return nil
}

func env(t *testing.T, name protoreflect.Name) *expr.Env {
	t.Helper()
	e, err := expr.NewEnv(rpc(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// inCall runs f as a policy in front of a call of GetShelf would run.
func inCall(t *testing.T, wire string, caller *call.Caller, f func(ctx context.Context)) error {
	t.Helper()
	c := &call.Call{Peer: "[2001:db8:1:2:3::4]:4711", Method: "/s/m"}
	c.SetCaller(caller)
	ctx := metadata.NewOutgoingContext(call.With(t.Context(), c), metadata.Pairs("x-tenant", "blue", "x-many", "a", "x-many", "b"))
	m := &call.Method{Name: "/s/m", Conn: calltest.Conn{OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
		f(ctx)
		return nil
	}}}
	return call.Forward(m, &calltest.ServerStream{Ctx: ctx, Requests: []string{wire}})
}

func request(t *testing.T) string {
	t.Helper()
	b, err := proto.Marshal(&catalogv1.GetShelfRequest{Name: "shelves/tents"})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestConditions(t *testing.T) {
	ada := &call.Caller{ID: "ada", Authenticator: "idp", Scopes: []string{"read", "write"}, Claims: map[string]any{
		"role": "admin", "age": float64(36), "tenants": []any{"blue", "red"}, "nested": map[string]any{"ok": true},
	}}
	for _, tc := range []struct {
		text   string
		caller *call.Caller
		want   bool
		fails  string
	}{
		{text: `caller.id == "ada"`, caller: ada, want: true},
		{text: `caller.id == ""`, want: true},
		{text: `caller.authenticator == "idp" && "write" in caller.scopes`, caller: ada, want: true},
		{text: `"write" in caller.scopes`},
		{text: `caller.claims.role == "admin"`, caller: ada, want: true},
		{text: `caller.claims.nested.ok && caller.claims.age > 30.0`, caller: ada, want: true},
		{text: `headers["x-tenant"] in caller.claims.tenants`, caller: ada, want: true},
		{text: `caller.claims.role == "admin"`, fails: "no such key"},
		{text: `has(caller.claims.role) && caller.claims.role == "admin"`},
		{text: `headers["x-many"] == "a, b" && !("x-none" in headers)`, want: true},
		{text: `peer.ip == "2001:db8:1:2:3::4" && peer.network == "2001:db8:1:2::/64"`, want: true},
		{text: `method == "/s/m"`, want: true},
		{text: `request.name == "shelves/" + "tents" && request.name.startsWith("shelves/")`, want: true},
		{text: `caller.claims.role == 1`, caller: ada},
		{text: `caller.claims.role`, caller: ada, fails: "want a condition"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			p, err := env(t, "GetShelf").Condition(tc.text)
			if err != nil {
				if tc.fails == "" || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("compile: %v, want %q", err, tc.fails)
				}
				return
			}
			var got bool
			if ferr := inCall(t, request(t), tc.caller, func(ctx context.Context) { got, err = p.Bool(ctx) }); ferr != nil {
				t.Fatal(ferr)
			}
			if tc.fails == "" && err != nil || tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Fatalf("err = %v, want %q", err, tc.fails)
			}
			if got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestMistakesAreFoundWhenCompiling(t *testing.T) {
	for _, tc := range []struct {
		rpc        protoreflect.Name
		text, want string
	}{
		{"GetShelf", `caller.idd == "ada"`, "column 7"},
		{"GetShelf", `request.nam == "x"`, "undefined field 'nam'"},
		{"GetShelf", `request.name == 7`, "no matching overload"},
		{"GetShelf", `caller.id ==`, "column 13"},
		{"GetShelf", `peer.ip`, "gives string; want a condition"},
		{"ImportCounts", `request.name == "x"`, "its requests are a stream"},
		{"GetShelf", `"a".matches(request.name)`, "must be written out"},
		{"GetShelf", `matches(method, "a" + request.name)`, "must be written out"},
		{"GetShelf", `method.matches("(")`, "missing closing )"},
	} {
		_, err := env(t, tc.rpc).Condition(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that says %q", tc.text, err, tc.want)
		}
	}
	if _, err := env(t, "GetShelf").Key(`headers`); err == nil || !strings.Contains(err.Error(), "want a string, number") {
		t.Errorf("a key of type map: %v", err)
	}
}

// Keys tell values apart, also those that would be the same text.
func TestKeysDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		`""`, `"1"`, `1`, `1u`, `1.0`, `true`, `false`, `["a", "b"]`, `["ab"]`, `["a", "b", ""]`, `["ab", ""]`, `[["a"], ["b"]]`,
		`peer.network`, `peer.ip`, `method`, `caller.id + "x"`, `request.name`, `[peer.ip, headers["x-tenant"]]`, `dyn([1, "1"])`, `dyn(["1", 1])`,
	} {
		p, err := env(t, "GetShelf").Key(text)
		if err != nil {
			if !strings.Contains(text, "[[") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err := inCall(t, request(t), nil, func(ctx context.Context) {
			key, err := p.Key(ctx)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			if other, taken := seen[key]; taken {
				t.Errorf("%s and %s have the same key %q", text, other, key)
			}
			seen[key] = text
		}); err != nil {
			t.Error(err)
		}
	}
}

// A variable by itself takes a shorter way, to the same key.
func TestVariablesAloneGiveTheSameKey(t *testing.T) {
	ada := &call.Caller{ID: "ada", Authenticator: "idp"}
	for _, caller := range []*call.Caller{ada, nil} {
		for _, name := range []string{"caller.id", "caller.authenticator", "peer.ip", "peer.network", "method", "request.name"} {
			short, err := env(t, "GetShelf").Key(name)
			if err != nil {
				t.Fatal(err)
			}
			long, err := env(t, "GetShelf").Key(name + ` + ""`)
			if err != nil {
				t.Fatal(err)
			}
			_ = inCall(t, request(t), caller, func(ctx context.Context) {
				a, errA := short.Key(ctx)
				b, errB := long.Key(ctx)
				if a != b || errA != nil || errB != nil {
					t.Errorf("%s: %q (%v) and %q (%v)", name, a, errA, b, errB)
				}
			})
		}
	}
}

func TestRequestIsReadOnlyIfNamed(t *testing.T) {
	with, err := env(t, "GetShelf").Condition(`request.name != ""`)
	if err != nil {
		t.Fatal(err)
	}
	without, err := env(t, "GetShelf").Condition(`method != "request"`)
	if err != nil {
		t.Fatal(err)
	}
	if !with.NeedsRequest() || without.NeedsRequest() {
		t.Errorf("needs the request: %v and %v, want true and false", with.NeedsRequest(), without.NeedsRequest())
	}
	_ = inCall(t, "\xff", nil, func(ctx context.Context) {
		if _, err := with.Bool(ctx); call.CodeOf(err) != codes.InvalidArgument {
			t.Errorf("a bad request is told as %v, want INVALID_ARGUMENT", err)
		}
		if ok, err := without.Bool(ctx); !ok || err != nil {
			t.Errorf("got %v, %v", ok, err)
		}
	})
}

func TestCostIsBounded(t *testing.T) {
	p, err := env(t, "GetShelf").Condition(
		`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, caller.id != "x" + string(a+b+c+d+e))))))`)
	if err != nil {
		t.Fatal(err)
	}
	_ = inCall(t, request(t), nil, func(ctx context.Context) {
		if _, err := p.Bool(ctx); err == nil || !strings.Contains(err.Error(), "cost limit") {
			t.Errorf("err = %v, want one about the cost", err)
		}
	})
}

// TestRegularExpressionsCostWhatTheyDo: a text is charged for by the instructions of
// the expression, before it is looked at, and so are many texts.
func TestRegularExpressionsCostWhatTheyDo(t *testing.T) {
	for _, tc := range []struct {
		text, name, wrong string
	}{
		{`request.name.matches("^a{1,50}b$")`, strings.Repeat("a", 40) + "b", ""},
		{`request.name.matches("^[a-z]+$")`, strings.Repeat("a", 100_000), ""},
		{`request.name.matches("(a{1,500}){1,2}b")`, strings.Repeat("a", 10_000), "cost limit exceeded"},
		{`matches(request.name, "(a{1,500}){1,2}b")`, strings.Repeat("a", 10_000), "cost limit exceeded"},
		{`request.name.split(",").all(n, !n.matches("(a{1,500}){1,2}b"))`, strings.Repeat("aaaaaaaaa,", 1000), "cost limit exceeded"},
	} {
		p, err := env(t, "GetShelf").Condition(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := proto.Marshal(&catalogv1.GetShelfRequest{Name: tc.name})
		if err != nil {
			t.Fatal(err)
		}
		var got bool
		if err := inCall(t, string(wire), nil, func(ctx context.Context) { got, err = p.Bool(ctx) }); err != nil {
			t.Fatal(err)
		}
		if tc.wrong == "" && (err != nil || !got) || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) {
			t.Errorf("%s: %t and %v, want the error %q", tc.text, got, err, tc.wrong)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	e, err := expr.NewEnv(nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := e.Condition(`caller.claims.role == "admin" && "write" in caller.scopes`)
	if err != nil {
		b.Fatal(err)
	}
	c := new(call.Call)
	c.SetCaller(&call.Caller{ID: "ada", Scopes: []string{"write"}, Claims: map[string]any{"role": "admin"}})
	ctx := call.With(b.Context(), c)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.Bool(ctx); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// A gateway has hundreds of RPCs, most of them with a limit by who calls.
func TestNamesCostLittleWithoutTheRequest(t *testing.T) {
	md := rpc(t, "GetShelf")
	made := testing.AllocsPerRun(100, func() {
		if _, err := expr.NewEnv(md); err != nil {
			t.Fatal(err)
		}
	})
	if made > 10 {
		t.Errorf("the names of one RPC take %v allocations, want at most 10", made)
	}
}
