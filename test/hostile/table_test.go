package hostile_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const emptyPage = "before\n<!-- hostile: begin; written by make test-hostile HOSTILEFLAGS=-update -->\n<!-- hostile: end -->\nafter\n"

func TestTableKeepsRowsOfAttacksNotPlayed(t *testing.T) {
	one := hostile.Attack{Name: "one", Door: hostile.Native, Promise: "first", Memory: 10 * hostile.MiB, Innocent: 0.9}
	two := hostile.Attack{Name: "two", Door: hostile.REST1, Promise: "second", CPU: 10, Benign: func(*hostile.Target) error { return nil }}
	all := []hostile.Attack{one, two}
	page, err := hostile.Update(emptyPage, all, map[string]hostile.Outcome{
		one.String(): {Memory: 5 * hostile.MiB, Innocent: 1}, two.String(): {CPU: 2, BenignCPU: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := hostile.Update(page, all, map[string]hostile.Outcome{two.String(): {CPU: 3, BenignCPU: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| one | native gRPC | memory |  | 5.0 MiB | at most 10.0 MiB |",
		"| one | native gRPC | innocent calls |  | 100 % | at least 90 % |",
		"| two | REST over HTTP/1 | processor time | 1000 ms | 3.0 times | at most 10 times |",
	} {
		if strings.Count(again, want) != 1 {
			t.Errorf("want %q once in\n%s", want, again)
		}
	}
	missing, stale, err := hostile.Missing(again, all)
	if len(missing)+len(stale) > 0 || err != nil {
		t.Errorf("the table is current, got missing %q, stale %q, error %v", missing, stale, err)
	}
	two.CPU = 5
	missing, stale, err = hostile.Missing(again, []hostile.Attack{one, two})
	if len(missing) != 1 || len(stale) != 1 || err != nil {
		t.Errorf("a bound changed: got missing %q, stale %q, error %v; want one of each", missing, stale, err)
	}
}

func TestFaultsNameTheBound(t *testing.T) {
	a := hostile.Attack{Memory: hostile.MiB, CPU: 10, Innocent: 0.9}
	if faults := a.Faults(hostile.Outcome{Memory: hostile.MiB, CPU: 10, BenignCPU: 1, Innocent: 0.9}); len(faults) > 0 {
		t.Errorf("at its bounds: got faults %q", faults)
	}
	if faults := a.Faults(hostile.Outcome{Memory: 2 * hostile.MiB, CPU: 11, BenignCPU: 1, Innocent: 0.8}); len(faults) != 3 {
		t.Errorf("over all bounds: got faults %q, want three", faults)
	}
}
