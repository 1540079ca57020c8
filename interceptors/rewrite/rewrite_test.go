package rewrite_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/rewrite"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

var changes = &configv1.Changes{
	Remove: []string{"x-gone", "x-anew"},
	Set:    map[string]string{"x-set": "new", "x-anew": "anew", "x-data-bin": "AAE="},
	Add:    map[string]string{"x-add": "more"},
}

// What is removed is removed first, what is added is added last.
var (
	before = metadata.MD{"x-gone": {"1"}, "x-anew": {"1", "2"}, "x-set": {"1", "2"}, "x-add": {"one"}, "x-other": {"o"}}
	after  = metadata.MD{"x-anew": {"anew"}, "x-set": {"new"}, "x-add": {"one", "more"}, "x-other": {"o"}, "x-data-bin": {"\x00\x01"}}
)

func compiled(t *testing.T, compile func(*configv1.Changes) (rewrite.Changes, error), c *configv1.Changes) rewrite.Changes {
	t.Helper()
	got, err := compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRequests(t *testing.T) {
	var seen []metadata.MD
	see := func(ctx context.Context) {
		md, _ := metadata.FromOutgoingContext(ctx)
		seen = append(seen, md)
	}
	conn := interceptors.Chain(calltest.Conn{
		OnInvoke: func(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
			see(ctx)
			return nil
		},
		OnStream: func(ctx context.Context, _ *grpc.StreamDesc, _ string) (grpc.ClientStream, error) {
			see(ctx)
			return nil, nil
		},
	}, compiled(t, rewrite.OfRequests, changes).Requests())
	sent := before.Copy()
	ctx := metadata.NewOutgoingContext(t.Context(), sent)
	if err := conn.Invoke(ctx, "/s/m", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.NewStream(ctx, &grpc.StreamDesc{}, "/s/m"); err != nil {
		t.Fatal(err)
	}
	for _, md := range seen {
		if !reflect.DeepEqual(md, after) {
			t.Errorf("the backend got %v, want %v", md, after)
		}
	}
	if len(seen) != 2 || !reflect.DeepEqual(sent, before) {
		t.Errorf("%d calls; the client's own metadata is now %v", len(seen), sent)
	}
}

// told is all that a client is told: what the backend's metadata became, and what
// the gateway adds.
func told(md metadata.MD, c *call.Call) metadata.MD { return metadata.Join(md, c.Header()) }

func TestAnswers(t *testing.T) {
	outcome := errors.New("failed")
	for _, end := range []error{nil, outcome} {
		kept := before.Copy() // as of an answer that is kept for others
		conn := interceptors.Chain(calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, _ any, opts ...grpc.CallOption) error {
			for _, o := range opts {
				switch o := o.(type) {
				case grpc.HeaderCallOption:
					*o.HeaderAddr = kept
				case grpc.TrailerCallOption:
					*o.TrailerAddr = metadata.MD{"x-gone": {"1"}, "x-set": {"1"}, "x-add": {"t"}}
				}
			}
			return end
		}}, compiled(t, rewrite.OfAnswers, changes).Answers())
		c := new(call.Call)
		var header, trailer metadata.MD
		if err := conn.Invoke(call.With(t.Context(), c), "/s/m", nil, nil, grpc.Header(&header), grpc.Trailer(&trailer)); !errors.Is(err, end) {
			t.Fatal(err)
		}
		if got := told(header, c); !reflect.DeepEqual(got, after) {
			t.Errorf("%v: the client got %v, want %v", end, got, after)
		}
		if want := (metadata.MD{"x-add": {"t"}}); !reflect.DeepEqual(trailer, want) {
			t.Errorf("%v: the trailer is %v, want %v", end, trailer, want)
		}
		if !reflect.DeepEqual(kept, before) {
			t.Errorf("%v: the metadata of others was changed: %v", end, kept)
		}
	}
}

func TestAnswersOfStreams(t *testing.T) {
	for _, headerFirst := range []bool{true, false} {
		up := &calltest.ClientStream{HeaderMD: before.Copy(), TrailerMD: metadata.MD{"x-gone": {"1"}, "x-other": {"2"}}, Answers: []string{"a"}}
		conn := interceptors.Chain(calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) { return up, nil }},
			compiled(t, rewrite.OfAnswers, changes).Answers())
		c := new(call.Call)
		s, err := conn.NewStream(call.With(t.Context(), c), &grpc.StreamDesc{ServerStreams: true}, "/s/m")
		if err != nil {
			t.Fatal(err)
		}
		if headerFirst {
			_, _ = s.Header()
		}
		var msg call.Message
		if err := s.RecvMsg(&msg); err != nil {
			t.Fatal(err)
		}
		early := c.Header() // is complete before the first message is passed on
		if err := s.RecvMsg(&msg); err != io.EOF {
			t.Fatal(err)
		}
		header, _ := s.Header()
		if got := told(header, c); !reflect.DeepEqual(got, after) || !reflect.DeepEqual(early, c.Header()) {
			t.Errorf("header first %v: the client got %v, want %v; early %v", headerFirst, got, after, early)
		}
		if want := (metadata.MD{"x-other": {"2"}}); !reflect.DeepEqual(s.Trailer(), want) {
			t.Errorf("header first %v: the trailer is %v", headerFirst, s.Trailer())
		}
	}
}

// A stream that does not even begin is answered too.
func TestAnswersOfStreamsThatDoNotBegin(t *testing.T) {
	conn := interceptors.Chain(calltest.Conn{OnStream: func(context.Context, *grpc.StreamDesc, string) (grpc.ClientStream, error) {
		return nil, errors.New("unavailable")
	}}, compiled(t, rewrite.OfAnswers, changes).Answers())
	c := new(call.Call)
	_, err := conn.NewStream(call.With(t.Context(), c), &grpc.StreamDesc{}, "/s/m")
	if got := c.Header()["x-set"]; err == nil || len(got) != 1 || got[0] != "new" {
		t.Errorf("error %v, and the client is told %v", err, c.Header())
	}
}

func TestThen(t *testing.T) {
	first := compiled(t, rewrite.OfRequests, &configv1.Changes{Set: map[string]string{"a": "1", "b": "1"}})
	second := compiled(t, rewrite.OfRequests, &configv1.Changes{Remove: []string{"a"}, Add: map[string]string{"b": "2"}})
	md := metadata.MD{}
	first.Then(second).Apply(md)
	if want := (metadata.MD{"b": {"1", "2"}}); !reflect.DeepEqual(md, want) {
		t.Errorf("got %v, want %v", md, want)
	}
}

func TestNothingToChange(t *testing.T) {
	for _, c := range []*configv1.Changes{nil, {}} {
		for _, i := range []interceptors.Interceptor{compiled(t, rewrite.OfRequests, c).Requests(), compiled(t, rewrite.OfAnswers, c).Answers()} {
			if i.Unary != nil || i.Stream != nil {
				t.Errorf("%v: there is something in the chain", c)
			}
		}
	}
}

// Texts of changes tell what an upstream is asked: kept answers go by them.
func TestStringsTellChangesApart(t *testing.T) {
	seen := map[string]*configv1.Changes{}
	for _, c := range []*configv1.Changes{
		nil, {Remove: []string{"a"}}, {Remove: []string{"a", "b"}}, {Remove: []string{"a b"[:1], "c"}}, {Set: map[string]string{"a": "b"}},
		{Add: map[string]string{"a": "b"}}, {Set: map[string]string{"a": "b} {c"}}, {Set: map[string]string{"a": "b", "c": "d"}},
	} {
		text := compiled(t, rewrite.OfRequests, c).String()
		if other, ok := seen[text]; ok {
			t.Errorf("%v and %v are both %q", other, c, text)
		}
		seen[text] = c
	}
}

func TestMistakes(t *testing.T) {
	set := func(key, value string) *configv1.Changes {
		return &configv1.Changes{Set: map[string]string{key: value}}
	}
	both := map[string]*configv1.Changes{
		`set["grpc-timeout"]: "grpc-timeout" is the protocol's or the gateway's own`: set("grpc-timeout", "1S"),
		`set["x-request-id"]: "x-request-id" is`:                                     set("x-request-id", "1"),
		`set["x_request_id"]: "x_request_id" is`:                                     set("x_request_id", "1"),
		`remove[1]: "content-type" is`:                                               {Remove: []string{"a", "content-type"}},
		`add["te"]: "te" is`:                                                         {Add: map[string]string{"te": "trailers"}},
		`set["X-A"]: "X-A" is no key of metadata: want lower-case`:                   set("X-A", "1"),
		`remove[0]: "" is`:                                                           {Remove: []string{""}},
		`set["a-bin"]: the value is not base64`:                                      set("a-bin", "%"),
		`set["a"]: the value is not printable ASCII`:                                 set("a", "ä"),
		`set["a"]: the value has spaces around it`:                                   set("a", " b"),
	}
	requests := maps.Clone(both)
	maps.Copy(requests, map[string]*configv1.Changes{
		`set["x-forwarded-for"]: `: set("x-forwarded-for", "1"), `set["traceparent"]: `: set("traceparent", "1"),
		`set["gatehouse-mirrored"]: `: set("gatehouse-mirrored", "true"),
	})
	answers := maps.Clone(both)
	maps.Copy(answers, map[string]*configv1.Changes{
		`set["gatehouse-degraded"]: `: set("gatehouse-degraded", "1"), `set["access-control-allow-origin"]: `: set("access-control-allow-origin", "*"),
	})
	for name, compile := range map[string]func(*configv1.Changes) (rewrite.Changes, error){"requests": rewrite.OfRequests, "answers": rewrite.OfAnswers} {
		for want, c := range map[string]map[string]*configv1.Changes{"requests": requests, "answers": answers}[name] {
			if _, err := compile(c); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: error %v, want %s...", name, err, want)
			}
		}
	}
}
