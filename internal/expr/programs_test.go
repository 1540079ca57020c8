package expr_test

import (
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// TestPrograms compiles expressions for two RPCs that share what does not depend on them.
func TestPrograms(t *testing.T) {
	programs := new(expr.Programs)
	one, err := programs.Env(rpc(t, "GetProduct"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := programs.Env(rpc(t, "GetShelf"))
	if err != nil {
		t.Fatal(err)
	}
	key := func(e *expr.Env, text string) *expr.Program {
		t.Helper()
		p, err := e.Key(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const looking = `request == request ? "a" : "b"`
	if key(one, "caller.id") != key(other, "caller.id") {
		t.Error("two RPCs have two programs of one expression")
	}
	if key(one, "caller.id") == key(one, "peer.ip") {
		t.Error("two expressions have one program")
	}
	if key(one, looking) == key(other, looking) {
		t.Error("two RPCs have one program that looks into their requests")
	}
	if _, err := one.Condition("caller.id"); err == nil {
		t.Error("a key that is no bool is taken as a condition")
	}
	if _, err := one.Key("caller.nobody"); err == nil {
		t.Error("a wrong expression is taken")
	}
	if _, err := other.Key("caller.nobody"); err == nil {
		t.Error("a wrong expression is taken the second time")
	}
}
