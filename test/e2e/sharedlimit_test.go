package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The limit that the replicas share: a bucket that holds burst and fills by rate
// in a second, for all callers together. It is far less than what a slow machine
// can do, so that it is the limit which decides.
const (
	rate  = 100
	burst = 50
)

// slack is how much more than the limit may get through: 1 %.
const slack = 1.01

// useful is the share of the limit that must get through while there are calls
// enough.
const useful = 0.9

func sharedLimit(onFailure string) string {
	return fmt.Sprintf(`rate_limit: [{requests: %d, per: 1s, burst: %d, key: '""', store: redis, on_failure: %s}]`, rate, burst, onFailure)
}

// redisPatience is what one operation may take. It is far more than the default,
// so that a busy machine does not look like a Redis that is away.
const redisPatience = 500 * time.Millisecond

func redisAt(r *redisServer) string {
	return fmt.Sprintf("redis: {addresses: [%q], timeout: %v}", r.address, redisPatience)
}

// most is what a limit lets through in a span of time.
func most(from, to time.Time) float64 { return burst + rate*to.Sub(from).Seconds() }

// TestSharedLimit has two gateways overrun at once.
func TestSharedLimit(t *testing.T) {
	const lasts = 2 * time.Second
	b := startBackend(t, nil)
	replicas := startReplicas(t, 2, b, sharedLimit("closed"), redisAt(startRedis(t)))
	awaitRedis(t, true, replicas)
	from := time.Now()
	end := startLoad(t, replicas)
	<-time.After(lasts)
	all := end()
	to := time.Now()
	admitted, limit := all.count(http.StatusOK), most(from, to)
	t.Logf("%v, and the limit is %.0f", all.statuses(), limit)
	if got := float64(admitted); got > limit*slack || got < limit*useful {
		t.Errorf("%d calls got through in %v: want %.0f, or up to a tenth less", admitted, to.Sub(from), limit)
	}
	if refused := all.count(http.StatusTooManyRequests); refused < admitted || admitted+refused != len(all) {
		t.Errorf("answers by status are %v: want 200, and more of 429", all.statuses())
	}
	for i := range replicas {
		if all.at(i).count(http.StatusOK) == 0 {
			t.Errorf("replica %d let nothing through", i)
		}
	}
	if got := b.calls.Load(); got != int64(admitted) {
		t.Errorf("the backend had %d calls, want those that got through: %d", got, admitted)
	}
}

// outage is what becomes of Redis while two gateways are overrun.
type outage struct {
	onFailure string
	away      func(*testing.T, *redisServer)
	back      func(*testing.T, *redisServer)
}

var outages = map[string]outage{
	"killed, and calls go on":       {"open", killed, restarted},
	"killed, and calls are refused": {"closed", killed, restarted},
	"frozen, and calls are refused": {"closed", frozen, thawed},
}

func killed(_ *testing.T, r *redisServer)    { r.kill() }
func restarted(t *testing.T, r *redisServer) { r.restart(t) }
func frozen(t *testing.T, r *redisServer)    { r.freeze(t) }
func thawed(t *testing.T, r *redisServer)    { r.thaw(t) }

// TestSharedLimitOutlivesRedis takes Redis away under load and brings it back.
// The gateways go on as declared meanwhile, and keep the limit together after.
func TestSharedLimitOutlivesRedis(t *testing.T) {
	for name, o := range outages {
		t.Run(name, func(t *testing.T) { o.run(t) })
	}
}

// phase is how long each part takes at least.
const phase = 600 * time.Millisecond

func (o outage) run(t *testing.T) {
	b, redis := startBackend(t, nil), startRedis(t)
	replicas := startReplicas(t, 2, b, sharedLimit(o.onFailure), redisAt(redis))
	awaitRedis(t, true, replicas)
	end := startLoad(t, replicas)
	begin := time.Now()
	<-time.After(phase)
	goes := time.Now()
	o.away(t, redis)
	gone := time.Now()
	awaitRedis(t, false, replicas)
	known := time.Now()
	<-time.After(phase)
	comes := time.Now()
	o.back(t, redis)
	awaitRedis(t, true, replicas)
	back := time.Now()
	<-time.After(phase)
	to := time.Now()
	all := end()
	t.Logf("%v with Redis, %v without, and %v with it again",
		all.within(begin, goes).statuses(), all.within(gone, comes).statuses(), all.within(back, to).statuses())
	wantShared(t, "before", all, begin, goes)
	if o.onFailure == "open" {
		wantEachByItself(t, all, gone, comes)
	} else {
		wantRefused(t, all.within(gone, comes))
		wantAtOnce(t, all.within(known, comes))
	}
	wantShared(t, "after", all, back, to)
}

// wantShared wants all replicas together to keep the limit, and to let calls
// through as it fills. How much of it a moment uses up is for [TestSharedLimit] to
// tell: here, a machine that stalls for a moment of its own would fail the test.
func wantShared(t *testing.T, when string, all load, from, to time.Time) {
	t.Helper()
	within, touching := all.within(from, to), all.touching(from, to)
	if got := float64(within.count(http.StatusOK)); got > most(from, to)*slack {
		t.Errorf("%s: %.0f calls got through in %v, want at most %.0f", when, got, to.Sub(from), most(from, to))
	}
	filled := most(from, to) - burst // the burst may have been used before
	if got := float64(touching.count(http.StatusOK)); got < filled/2 {
		t.Errorf("%s: %.0f calls got through in %v, want about %.0f", when, got, to.Sub(from), filled)
	}
	wantDecided(t, when, within)
}

// wantEachByItself wants each replica to keep a limit of its own, with a full
// bucket when it begins to: together they let through more than one limit.
func wantEachByItself(t *testing.T, all load, gone, comes time.Time) {
	t.Helper()
	within := all.within(gone, comes)
	for i := range 2 {
		if got := float64(within.at(i).count(http.StatusOK)); got > most(gone, comes)*slack {
			t.Errorf("without Redis, %.0f calls got through replica %d in %v, want at most %.0f", got, i, comes.Sub(gone), most(gone, comes))
		}
	}
	if got := float64(within.count(http.StatusOK)); got < most(gone, comes)*slack {
		t.Errorf("without Redis, %.0f calls got through in %v: want about twice %.0f", got, comes.Sub(gone), most(gone, comes))
	}
	wantDecided(t, "without Redis", within)
}

// wantDecided wants every call let through or refused for the limit's sake.
func wantDecided(t *testing.T, when string, l load) {
	t.Helper()
	if l.count(http.StatusOK)+l.count(http.StatusTooManyRequests) != len(l) {
		t.Errorf("%s: answers by status are %v: want 200 and 429", when, l.statuses())
	}
}

// wantRefused wants nothing to get through. A limit that was used up when Redis
// went may still be refused as such, for the moment until it would have filled.
func wantRefused(t *testing.T, during load) {
	t.Helper()
	refused, used := during.count(http.StatusServiceUnavailable), during.count(http.StatusTooManyRequests)
	if refused+used != len(during) || used > refused/10 {
		t.Errorf("without Redis, answers by status are %v: want 503", during.statuses())
	}
}

// wantAtOnce wants nobody to wait for Redis, but for those few whom the machine
// itself keeps waiting.
func wantAtOnce(t *testing.T, during load) {
	t.Helper()
	late := during.where(func(a answered) bool { return a.end.Sub(a.begin) > redisPatience/5 })
	if len(during) == 0 || len(late) > len(during)/20 {
		t.Errorf("without Redis, %d of %d calls took longer than %v", len(late), len(during), redisPatience/5)
	}
}
