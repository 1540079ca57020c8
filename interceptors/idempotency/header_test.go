package idempotency_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

func TestMissingAndMalformedKeys(t *testing.T) {
	b := &backend{}
	k := newKeys(t, idempotency.Options{})
	m := serve(t, k, b, &policyv1.Idempotency{Required: new(true)})
	for _, tc := range []struct {
		values []string
		reason string
	}{
		{nil, "IDEMPOTENCY_KEY_MISSING"},
		{[]string{"a", "a"}, "IDEMPOTENCY_KEY_INVALID"},
		{[]string{""}, "IDEMPOTENCY_KEY_INVALID"},
		{[]string{`"a`}, "IDEMPOTENCY_KEY_INVALID"},
	} {
		down, _, err := send(t.Context(), m, request{key: tc.values})
		if status.Code(err) != codes.InvalidArgument || reasonOf(err) != tc.reason || !strings.Contains(err.Error(), "Idempotency-Key") || call.FaultOf(err) != call.Client {
			t.Errorf("%q: err = %v %s, want INVALID_ARGUMENT %s", tc.values, err, reasonOf(err), tc.reason)
		}
		var unread call.Message
		if rerr := down.RecvMsg(&unread); rerr != nil {
			t.Errorf("%q: the request was read before it was refused", tc.values)
		}
	}
	if b.calls.Load() != 0 {
		t.Errorf("%d calls, want none", b.calls.Load())
	}
}

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for value, want := range map[string]string{
		`"8e03978e-40d5-43e8-bc93-6894a57f9324"`: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`8e03978e-40d5-43e8-bc93-6894a57f9324`:   "8e03978e-40d5-43e8-bc93-6894a57f9324",
		`"with space, comma; and \"more\" \\"`:   `with space, comma; and "more" \`,
		`a/b+c==`:                                "a/b+c==",
		`"` + long + `"`:                         long,
		long:                                     long,
	} {
		if got, err := idempotency.ParseKey(value); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
	for _, value := range []string{
		``, `""`, `"`, `"a`, `"a"b`, `"a";p=1`, `"a" `, `"a\b"`, `"a\`, "\"a\x00\"", "\"a\x7f\"", "\"é\"", `a b`, `a,b`, `a;b`, `a"b`, `a\b`, "a\tb", "é",
		long + "k", `"` + long + `k"`,
	} {
		if got, err := idempotency.ParseKey(value); err == nil {
			t.Errorf("%q: %q, want an error", value, got)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{`"a"`, `a`, `"a\"b\\"`, `"`, `"a\`, "\x00", `a,b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := idempotency.ParseKey(value)
		if err != nil {
			return
		}
		if key == "" || len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q gave the key %q", value, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := idempotency.ParseKey(quoted); err != nil || again != key {
			t.Fatalf("%q gave %q, but %q gives %q, %v", value, key, quoted, again, err)
		}
	})
}

func FuzzStoredValue(f *testing.F) {
	f.Add(idempotency.Value(answers.Fixed([]byte("message"))))
	failed, err := answers.Record(nil, metadata.Pairs("a", "b", "a", "c"), nil, status.Error(codes.NotFound, "no"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(idempotency.Value(failed))
	f.Add("r")
	f.Fuzz(func(t *testing.T, value string) {
		again, err := idempotency.Reparse(value)
		if err != nil {
			return
		}
		if twice, err := idempotency.Reparse(again); err != nil || len(twice) != len(again) {
			t.Fatalf("%q is read as %q, which is read as %q, %v", value, again, twice, err)
		}
	})
}
