package cluster_test

import (
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/cluster"
)

var seed = flag.Uint64("seed", 0, "decides what happens; 0 takes one from the clock")

// long is asked for by `make test-cluster`.
func long() bool { return os.Getenv("GATEHOUSE_CLUSTER") != "" }

// TestCluster does a cluster harm for two minutes, or for one round, and accounts
// for every call.
func TestCluster(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("this test needs redis-server: apt-get install redis-server, or brew install redis")
	}
	lasts := time.Duration(0) // that is one round
	if long() {
		lasts = 2 * time.Minute
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to see this again: -seed %d", *seed)
	w, err := cluster.NewWorld(programs, t.TempDir())
	t.Cleanup(w.Close)
	if err != nil {
		t.Fatal(err)
	}
	ledger := &cluster.Ledger{}
	load, err := cluster.StartLoad(t.Context(), w, ledger, *seed)
	t.Cleanup(load.Stop)
	if err != nil {
		t.Fatal(err)
	}
	chaos := cluster.NewChaos(w, *seed, t.Logf)
	for begin, n := time.Now(), 1; n == 1 || time.Since(begin) < lasts; n++ {
		t.Logf("round %d, %.0f s", n, time.Since(begin).Seconds())
		if err := chaos.Round(); err != nil {
			t.Fatal(err)
		}
	}
	wantUse(t, ledger)
	load.Stop()
	w.Close() // nothing is executed any more
	audit(t, w, ledger, chaos)
}

// calm is a time in which the shared limit is used, and calms how many there may be
// until one is not disturbed by what else the machine has to do.
const (
	calm  = 2 * time.Second
	calms = 10
)

// wantUse wants the shared limit to let through what it may, now that nothing is
// done to the cluster.
func wantUse(t *testing.T, ledger *cluster.Ledger) {
	t.Helper()
	for range calms {
		from := time.Now()
		<-time.After(calm)
		to := time.Now()
		n := cluster.AdmittedBetween(ledger.Records(), from, to)
		filled := cluster.Rate * to.Sub(from).Seconds()
		t.Logf("in quiet, %d limited calls got through in %v, want about %.0f", n, to.Sub(from).Round(time.Millisecond), filled)
		if float64(n) >= .9*filled {
			return
		}
	}
	t.Error("in quiet, less than nine tenths of the shared limit could be used")
}

// audit accounts for every call.
func audit(t *testing.T, w *cluster.World, ledger *cluster.Ledger, chaos *cluster.Chaos) {
	t.Helper()
	journal, err := w.Journals()
	if err != nil {
		t.Fatal(err)
	}
	records := ledger.Records()
	t.Log(cluster.Report(records, chaos.Counts()))
	for i, fault := range cluster.Audit(records, journal) {
		if i == 50 {
			t.Error("and more")
			break
		}
		t.Error(fault)
	}
	window := cluster.FullestWindow(records, journal)
	t.Logf("of all windows, the fullest had %d limited calls in %v: %.1f %% of the limit",
		window.Admitted, window.To.Sub(window.From).Round(time.Millisecond), 100*window.Use())
	if window.Exceeded() {
		t.Errorf("%d limited calls got through in %v, want at most %.1f", window.Admitted, window.To.Sub(window.From), window.Bound())
	}
	for _, rpc := range []string{"Read", "Put", "Order", "Fire", "Watch"} {
		if answered, calls := cluster.AnsweredShare(records, rpc); answered*2 < calls || answered == 0 {
			t.Errorf("%d of %d calls of %s were answered: that proves little", answered, calls, rpc)
		}
	}
	for _, line := range w.Misbehaved() {
		t.Error(line)
	}
	if t.Failed() {
		t.Log(w.Said())
	}
}
