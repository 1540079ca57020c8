package answers_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

func newStore(t *testing.T, limit int64) *answers.Store {
	t.Helper()
	s, err := answers.NewStore(limit, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func answer(data string, ttl time.Duration) *answers.Answer {
	return answers.New(&call.Message{Data: calltest.Bytes(data)}, nil, ttl)
}

func key(parts ...string) answers.Key { return answers.KeyOf(nil, parts...) }

// read is what a caller gets of a.
func read(t *testing.T, a *answers.Answer) string {
	t.Helper()
	var reply call.Message
	if err := a.Into(&reply, nil); err != nil {
		t.Fatal(err)
	}
	return string(reply.Data.Materialize())
}

func TestAnswersAreKeptForTheirTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		s.Put(t.Context(), key("a"), answer("one", time.Second))
		s.Put(t.Context(), key("b"), answer("two", 3*time.Second))
		time.Sleep(time.Second - 1)
		if a := get(t, s, key("a")); a == nil || read(t, a) != "one" || a.Age() != time.Second-1 || a.TTL() != time.Second {
			t.Errorf("a = %v before its time, want it", a)
		}
		time.Sleep(time.Nanosecond)
		if a := get(t, s, key("a")); a != nil {
			t.Error("a is there after its time")
		}
		s.Put(t.Context(), key("b"), answer("three", time.Minute))
		time.Sleep(3 * time.Second)
		if a := get(t, s, key("b")); a == nil || read(t, a) != "three" {
			t.Errorf("b = %v, want what was put last", a)
		}
		s.Put(t.Context(), key("c"), answer("four", 0))
		late := answer("five", time.Second)
		time.Sleep(time.Second)
		s.Put(t.Context(), key("d"), late)
		if get(t, s, key("c")) != nil || get(t, s, key("d")) != nil {
			t.Error("an answer without time left was kept")
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	s := newStore(t, limit)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 2000 {
				s.Put(t.Context(), key(fmt.Sprint(w, i)), answer(strings.Repeat("x", 4000), time.Hour))
			}
		})
	}
	all.Wait()
	s.Put(t.Context(), key("last"), answer("x", time.Hour))
	if got := s.Size(); got > limit || got < limit/2 {
		t.Errorf("32 MB were put, %d bytes are kept, want at most %d and not much less", got, limit)
	}
	s.Put(t.Context(), key("large"), answer(strings.Repeat("x", limit/16), time.Hour))
	if get(t, s, key("large")) != nil {
		t.Error("an answer of more than a sixteenth of the store was kept")
	}
	s.Put(t.Context(), key("fits"), answer(strings.Repeat("x", limit/16-1000), time.Hour))
	headers := answers.New(&call.Message{}, metadata.Pairs("x-long", strings.Repeat("x", limit/16)), time.Hour)
	s.Put(t.Context(), key("long headers"), headers)
	if get(t, s, key("long headers")) != nil {
		t.Error("headers were not counted")
	}
}

func TestLimitIsTold(t *testing.T) {
	reg := prometheus.NewRegistry()
	if _, err := answers.NewStore(64<<20, reg); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%d families and %v, want 2", len(families), err)
	}
	if got := families[1].GetMetric()[0].GetGauge().GetValue(); got != 64<<20 {
		t.Errorf("%s = %v, want 64 MiB", families[1].GetName(), got)
	}
	if _, err := answers.NewStore(64<<20, reg); err == nil {
		t.Error("two stores in one registry: want an error")
	}
}

// pooled counts how often its bytes are given back.
type pooled struct {
	mem.SliceBuffer
	freed *int
}

func (p pooled) Free() { *p.freed++ }

func TestAnAnswerIsACopy(t *testing.T) {
	raw, freed := []byte("hello"), 0
	header := metadata.MD{
		"x-a": {"1", "2"}, "content-type": {"application/grpc"}, "grpc-encoding": {"gzip"},
		"age": {"7"}, "cache-control": {"max-age=9"}, "expires": {"never"},
	}
	reply := &call.Message{Data: mem.BufferSlice{pooled{raw, &freed}}}
	a := answers.New(reply, header, time.Hour)
	if freed != 0 {
		t.Error("the backend's answer was freed; it is its caller's")
	}
	copy(raw, "XXXXX")
	header["x-a"][0] = "X"
	for range 2 { // what one caller does to its answer, the next does not see
		var into call.Message
		var got, trailer metadata.MD = nil, metadata.Pairs("x-failed", "yes")
		if err := a.Into(&into, []grpc.CallOption{grpc.HeaderCallOption{HeaderAddr: &got}, grpc.TrailerCallOption{TrailerAddr: &trailer}}); err != nil {
			t.Fatal(err)
		}
		if s := string(into.Data.Materialize()); s != "hello" {
			t.Errorf("data = %q, want hello", s)
		}
		if diff := cmp.Diff(metadata.MD{"x-a": {"1", "2"}}, got); diff != "" || trailer != nil {
			t.Errorf("header (-want +got):\n%s\ntrailer %v, want none", diff, trailer)
		}
		got["x-a"][0] = "mine"
		delete(got, "x-a")
		into.Free()
	}
	if read(t, answers.Fixed([]byte("fixed"))) != "fixed" {
		t.Error("Fixed does not give its bytes")
	}
}

func TestKeysDoNotRunTogether(t *testing.T) {
	seen := map[answers.Key]string{}
	for _, tc := range []struct {
		request mem.BufferSlice
		parts   []string
	}{
		{nil, nil},
		{nil, []string{""}},
		{nil, []string{"", ""}},
		{nil, []string{"ab"}},
		{nil, []string{"a", "b"}},
		{nil, []string{"", "ab"}},
		{nil, []string{"ab", ""}},
		{calltest.Bytes("ab"), nil},
		{calltest.Bytes("b"), []string{"a"}},
		{calltest.Bytes("\x00\x00\x00\x00\x00\x00\x00\x00"), nil},
	} {
		name := fmt.Sprintf("%q %q", tc.request, tc.parts)
		k := answers.KeyOf(tc.request, tc.parts...)
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[k] = name
	}
	whole := answers.KeyOf(calltest.Bytes("hello"), "m")
	if split := answers.KeyOf(append(calltest.Bytes("he"), calltest.Bytes("llo")...), "m"); split != whole {
		t.Error("a request in two buffers has another key than in one")
	}
}

func BenchmarkKeyOf(b *testing.B) {
	request := calltest.Bytes(strings.Repeat("x", 200))
	b.ReportAllocs()
	for b.Loop() {
		answers.KeyOf(request, "/shop.catalog.v1.CatalogService/GetProduct", "caller", "jwt", "ann")
	}
}

func TestCallerOf(t *testing.T) {
	ctxOf := func(who *call.Caller, pairs ...string) context.Context {
		c := &call.Call{}
		if who != nil {
			c.SetCaller(who)
		}
		return metadata.NewOutgoingContext(call.With(t.Context(), c), metadata.Pairs(pairs...))
	}
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		want  answers.Who
		known bool
	}{
		{"caller", ctxOf(&call.Caller{ID: "ann", Authenticator: "jwt", ByAuthorization: true}, "authorization", "Bearer x"), answers.Who{Kind: "caller", Authenticator: "jwt", ID: "ann"}, true},
		{"nobody", ctxOf(nil, "accept-language", "de"), answers.Who{Kind: "nobody"}, true},
		{"unseen credential", ctxOf(nil, "authorization", "Bearer x"), answers.Who{}, false},
		{"a credential beside an application's key", ctxOf(&call.Caller{ID: "app", Authenticator: "keys"}, "authorization", "Bearer x"), answers.Who{}, false},
		{"a token without a subject", ctxOf(&call.Caller{Authenticator: "jwt", ByAuthorization: true}, "authorization", "Bearer x"), answers.Who{}, false},
		{"unseen cookie", ctxOf(nil, "cookie", "session=x"), answers.Who{}, false},
	} {
		if got, known := answers.CallerOf(tc.ctx); got != tc.want || known != tc.known {
			t.Errorf("%s: %+v, known %v; want %+v, %v", tc.name, got, known, tc.want, tc.known)
		}
	}
}

func TestControl(t *testing.T) {
	const unsaid = -1
	for header, want := range map[string]answers.Control{
		"":                             {MaxAge: unsaid},
		"public":                       {MaxAge: unsaid},
		"no-cache":                     {NoCache: true, MaxAge: unsaid},
		"No-Store":                     {NoStore: true, MaxAge: unsaid},
		"private, max-age=5":           {Private: true, MaxAge: 5 * time.Second},
		`private="x-a" , no-cache="a"`: {Private: true, NoCache: true, MaxAge: unsaid},
		"max-age=5, s-maxage=9":        {MaxAge: 9 * time.Second},
		"s-maxage=9,max-age=5":         {MaxAge: 9 * time.Second},
		"max-age=5,max-age=3":          {MaxAge: 3 * time.Second},
		`max-age="7"`:                  {MaxAge: 7 * time.Second},
		"max-age = 7":                  {MaxAge: 7 * time.Second},
		"max-age":                      {MaxAge: 0},
		"max-age=-1":                   {MaxAge: 0},
		"max-age=soon":                 {MaxAge: 0},
		"max-age=99999999999999999999": {MaxAge: math.MaxInt32 * time.Second},
	} {
		if got := answers.ParseControl([]string{header}); got != want {
			t.Errorf("%q: %+v, want %+v", header, got, want)
		}
	}
	md := metadata.Pairs("cache-control", "max-age=5", "cache-control", "no-store")
	if got := answers.ControlOf(md); !got.NoStore || got.MaxAge != 5*time.Second {
		t.Errorf("two headers: %+v, want both", got)
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add("max-age=5, private")
	f.Add(`no-cache="a,b",s-maxage=99999999999`)
	f.Fuzz(func(t *testing.T, header string) {
		c := answers.ParseControl([]string{header})
		if c.MaxAge < -1 || c.MaxAge > math.MaxInt32*time.Second {
			t.Errorf("%q: max-age %v", header, c.MaxAge)
		}
		if twice := answers.ParseControl([]string{header, header}); twice != c {
			t.Errorf("%q said twice is %+v, once %+v", header, twice, c)
		}
	})
}

func get(t *testing.T, s *answers.Store, k answers.Key) *answers.Answer {
	t.Helper()
	a, _ := s.Get(t.Context(), k)
	return a
}

func TestFreshness(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tc := range []struct {
		pairs []string
		want  time.Duration
		said  bool
	}{
		{nil, 0, false},
		{[]string{"cache-control", "public"}, 0, false},
		{[]string{"cache-control", "max-age=60"}, time.Minute, true},
		{[]string{"cache-control", "max-age=60", "expires", at(-time.Hour)}, time.Minute, true},
		{[]string{"cache-control", "max-age=60", "age", "20"}, 40 * time.Second, true},
		{[]string{"expires", at(time.Minute)}, time.Minute, true},
		{[]string{"expires", at(time.Minute), "age", "70"}, -10 * time.Second, true},
		{[]string{"expires", at(time.Minute), "date", at(30 * time.Second)}, 30 * time.Second, true},
		{[]string{"expires", at(-time.Second)}, -time.Second, true},
		{[]string{"expires", "0"}, 0, true},
		{[]string{"expires", at(time.Minute), "expires", "-1"}, 0, true},
	} {
		if got, said := answers.Freshness(metadata.Pairs(tc.pairs...), now); got != tc.want || said != tc.said {
			t.Errorf("%q: %v, %v; want %v, %v", tc.pairs, got, said, tc.want, tc.said)
		}
	}
}

func TestVariants(t *testing.T) {
	of := func(pairs ...string) answers.Key {
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.Pairs(pairs...))
		return answers.KeyOf(nil, "k").Variant(ctx, []string{"a", "host", "user-agent"})
	}
	keys := map[answers.Key]int{}
	for i, pairs := range [][]string{
		nil, {"a", ""}, {"a", "1"}, {"a", "1", "a", "2"}, {"a", "1, 2"}, {"host", "1"}, {"x-forwarded-host", "1"},
		{call.UserAgent, "1"}, {call.UserAgentOfGRPCGateway, "1"}, {call.UserAgentOfGRPCGateway, "2"},
	} {
		if before, ok := keys[of(pairs...)]; ok {
			t.Errorf("%q has the key of number %d", pairs, before)
		}
		keys[of(pairs...)] = i
	}
	if of("a", "1", "b", "2") != of("a", "1", "b", "3") {
		t.Error("a header that does not matter changes the key")
	}
}

func TestSaysWho(t *testing.T) {
	for key, want := range map[string]bool{
		"authorization": true, "cookie": true, "x-api-key": true, "x_api_key": true, "x-auth-token": true, "x-amz-security-token": true,
		"cf-access-jwt-assertion": true, "ocp-apim-subscription-key": true, "x-user-id": true, "x-tenant": true, "auth-bin": true,
		"accept-language": false, "x-forwarded-user-agent": false, "grpcgateway-user-agent": false, "idempotency-key": false,
		"x-idempotency-key": false, "x-csrf-token": false, "x-author": false, "x-keyboard": false, "traceparent": false, "": false,
	} {
		if got := answers.SaysWho(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}

func BenchmarkCallerOf(b *testing.B) {
	md := metadata.Pairs(
		"accept-language", "de", "x-request-id", "1", "traceparent", "2", "tracestate", "3", "x-forwarded-for", "4", "x-forwarded-host", "5",
		"x-forwarded-proto", "https", "x-forwarded-user-agent", "6", "referer", "7", "origin", "8", "sec-fetch-mode", "cors", "priority", "u=1")
	ctx := metadata.NewOutgoingContext(call.With(b.Context(), &call.Call{Sent: md}), md)
	b.ReportAllocs()
	for b.Loop() {
		if _, known := answers.CallerOf(ctx); !known {
			b.Fatal("want nobody")
		}
	}
}
