package logging_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/logging"
)

// reader takes lines while it is awake, or fails with err.
type reader struct {
	mu   sync.Mutex // held while it sleeps
	text bytes.Buffer
	err  error
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	return r.text.Write(p)
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func newLog(t *testing.T, to io.Writer, conf *configv1.Log) (*logging.Log, func(reason string) float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	log, err := logging.New(conf, to, reg)
	if err != nil {
		t.Fatal(err)
	}
	return log, func(reason string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range families[0].GetMetric() {
			if m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
		t.Fatalf("no reason %q", reason)
		return 0
	}
}

// TestSleepingReaderHoldsNobody: lines are dropped, counted, and told as a sum when
// there is room; those that are written are whole and in order.
func TestSleepingReaderHoldsNobody(t *testing.T) {
	var r reader
	log, dropped := newLog(t, &r, new(configv1.Log))
	r.mu.Lock()
	const lines = 20_000
	long := strings.Repeat("x", 400)
	for i := range lines {
		if i%2 == 0 {
			log.Own().Info("line", "n", i, "long", long)
		} else {
			log.Calls().Info("line", "n", i, "long", long)
		}
	}
	r.mu.Unlock()
	log.Flush(time.Minute)
	log.Own().Info("after")
	log.Close(time.Minute)
	lost := int(dropped("full"))
	if lost == 0 || lost == lines {
		t.Fatalf("%d of %d lines were dropped", lost, lines)
	}
	last, sums, after := -1, 0, 0
	for line := range strings.Lines(r.String()) {
		var n int
		switch {
		case strings.Contains(line, "msg=after"):
			after++
		case strings.Contains(line, "lines of the log were lost"):
			if _, err := fmt.Sscanf(line[strings.Index(line, " lines=")+1:], "lines=%d", &n); err != nil {
				t.Fatal(err)
			}
			sums += n
		default:
			if _, err := fmt.Sscanf(line[strings.Index(line, " n=")+1:], "n=%d long="+long, &n); err != nil || n <= last {
				t.Fatalf("after %d: %v in %s", last, err, line)
			}
			last = n
		}
	}
	if sums != lost || after != 1 {
		t.Errorf("the sums tell of %d lines, %d were lost; the last line came %d times", sums, lost, after)
	}
}

// TestSleepingReaderHoldsNoEnd: a log whose reader sleeps can be closed.
func TestSleepingReaderHoldsNoEnd(t *testing.T) {
	var r reader
	log, _ := newLog(t, &r, new(configv1.Log))
	r.mu.Lock()
	log.Own().Info("one")
	log.Flush(time.Millisecond)
	log.Close(time.Millisecond)
	log.Own().Info("after the end")
	r.mu.Unlock()
}

// TestBrokenReader: what cannot be written is counted, and told if it can be again.
func TestBrokenReader(t *testing.T) {
	r := reader{err: errors.New("broken pipe")}
	log, dropped := newLog(t, &r, new(configv1.Log))
	for range 10 {
		log.Own().Info("line")
		log.Flush(time.Minute)
	}
	r.mu.Lock()
	r.err = nil
	r.mu.Unlock()
	log.Own().Info("again")
	log.Close(time.Minute)
	if got := dropped("failed"); got != 10 {
		t.Errorf("%v lines are counted, want 10", got)
	}
	if got := r.String(); !strings.Contains(got, "msg=again") || !strings.Contains(got, "lines=10") {
		t.Errorf("got %s", got)
	}
}

// TestWaitForReader: `when_full: wait` loses no line, until the gateway stops.
func TestWaitForReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		log, dropped := newLog(t, pw, &configv1.Log{WhenFull: configv1.Log_WHEN_FULL_WAIT})
		written := 0
		line := strings.Repeat("x", 1<<10)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 8 << 10 { // twice what there is room for
				log.Calls().Info(line)
				written++
			}
		}()
		synctest.Wait() // all stand still
		if written == 0 || written == 8<<10 {
			t.Fatalf("%d lines found room", written)
		}
		go func() { _, _ = io.CopyN(io.Discard, pr, 6<<20) }()
		<-done
		if got := dropped("full"); got != 0 {
			t.Errorf("%v lines were dropped", got)
		}
		stopped := time.Now()
		log.StopWaiting(time.Second)
		for range 8 << 10 {
			log.Calls().Info(line)
		}
		if waited := time.Since(stopped); waited != time.Second || dropped("full") == 0 {
			t.Errorf("calls waited %v when the gateway stopped; %v lines were dropped", waited, dropped("full"))
		}
		_ = pr.Close()
		log.Close(time.Second)
	})
}

// TestLinesOfOnePeer: they are bounded, with a sum; other peers, calls without a
// peer and lines about nobody are not concerned.
func TestLinesOfOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reader
		log, dropped := newLog(t, &r, &configv1.Log{PeerLines: new(uint32(5))})
		admitted := func(times int, peer func(int) string) (n int) {
			for i := range times {
				if log.Admit(peer(i)) {
					n++
				}
			}
			return n
		}
		ports := func(i int) string { return fmt.Sprintf("192.0.2.7:%d", 1+i%60_000) }
		network := func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", 1+i) }
		if got := admitted(9170, ports); got != 50 {
			t.Errorf("%d lines of one address, want those of ten seconds, 50", got)
		}
		if got := admitted(1000, network); got != 50 {
			t.Errorf("%d lines of one /64, want 50", got)
		}
		if got := admitted(1000, func(int) string { return "" }); got != 1000 {
			t.Errorf("%d lines from inside the process, want all", got)
		}
		if got := admitted(20, func(int) string { return "192.0.2.8:1" }); got != 20 {
			t.Errorf("%d lines of another peer, want all 20", got)
		}
		ctx := call.With(t.Context(), &call.Call{Peer: "192.0.2.7:9"})
		for range 60 {
			log.Own().ErrorContext(ctx, "panic in a call")
			log.Own().Info("a bad request", "peer", "192.0.2.9:1")
			log.Own().With("peer", "192.0.2.10:1").WithGroup("g").Info("with")
			log.Own().Info("about nobody")
		}
		time.Sleep(10*time.Second + time.Millisecond)
		log.Flush(time.Minute)
		text := r.String()
		for want, n := range map[string]int{
			"panic in a call": 50, "a bad request": 50, "about nobody": 60, "msg=with": 50,
			`"suppressed lines of a peer" peer=192.0.2.7 lines=9120 `: 1, `peer=192.0.2.7 lines=10 `: 1, "peer=2001:db8::/64 lines=950 ": 1,
		} {
			if got := strings.Count(text, want); got != n {
				t.Errorf("%q stands %d times, want %d", want, got, n)
			}
		}
		if got := dropped("peer"); got != 9120+950+30 {
			t.Errorf("%v lines are counted, want %d", got, 9120+950+30)
		}
		if got := admitted(100, ports); got != 50 {
			t.Errorf("%d lines after ten seconds, want 50", got)
		}
		log.Close(time.Minute)
		if !strings.Contains(r.String(), "lines=50 ") {
			t.Error("the last sum is not told at the end")
		}
	})
}

// TestManyPeers: however many there are, few are remembered and few sums told.
func TestManyPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reader
		log, dropped := newLog(t, &r, &configv1.Log{PeerLines: new(uint32(1))})
		admitted := 0
		for i := range 10_000 {
			for range 11 {
				if log.Admit(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)) {
					admitted++
				}
			}
		}
		if most := 4096*10 + 10; admitted > most {
			t.Errorf("%d lines of all together, want at most %d", admitted, most)
		}
		log.Close(time.Minute)
		if got := strings.Count(r.String(), "suppressed lines"); got != 21 {
			t.Errorf("%d sums, want 21", got)
		}
		if int(dropped("peer"))+admitted != 110_000 {
			t.Errorf("%v suppressed and %d admitted are not all", dropped("peer"), admitted)
		}
	})
}

// TestOwnLinesAreSlogs: attributes, groups and levels are as slog has them.
func TestOwnLinesAreSlogs(t *testing.T) {
	for _, format := range []configv1.Log_Format{configv1.Log_FORMAT_JSON, configv1.Log_FORMAT_TEXT} {
		var r reader
		var want bytes.Buffer
		level := "level="
		log, _ := newLog(t, &r, &configv1.Log{Format: format, Level: configv1.Log_LEVEL_WARN, PeerLines: new(uint32(1000))})
		handler := slog.Handler(slog.NewTextHandler(&want, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if format == configv1.Log_FORMAT_JSON {
			level = `"level":`
			handler = slog.NewJSONHandler(&want, &slog.HandlerOptions{Level: slog.LevelWarn})
		}
		for _, l := range []*slog.Logger{log.Own(), slog.New(handler)} {
			l.With("a", 1).WithGroup("g").With("peer", "192.0.2.1:1").Warn("hello there", "c", 1.5, "d", []string{"x"})
			l.Info("nobody asked")
			if l.Enabled(context.Background(), slog.LevelInfo) {
				t.Error("info is enabled")
			}
		}
		log.Close(time.Minute)
		_, got, found := strings.Cut(r.String(), level)
		if _, want, _ := strings.Cut(want.String(), level); !found || got != want {
			t.Errorf("after the time: got %q, want %q", got, want)
		}
	}
}
