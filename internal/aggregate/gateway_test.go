package aggregate_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	pagesv1 "github.com/gatehouse-dev/gatehouse/gen/shop/pages/v1"
	reviewsv1 "github.com/gatehouse-dev/gatehouse/gen/shop/reviews/v1"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

func unwrap(t *testing.T, body string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &struct{ Error any }{into}); err != nil {
		t.Fatalf("not an error body: %v: %s", err, body)
	}
}

// failing fails the calls of one RPC.
func failing(rpc string, code codes.Code) func(context.Context, string, proto.Message) error {
	return func(_ context.Context, called string, _ proto.Message) error {
		if called == rpc {
			return status.Error(code, "it is as it is")
		}
		return nil
	}
}

// TestPage makes the page of the demo's contract at every door.
func TestPage(t *testing.T) {
	t.Parallel()
	s := &shop{customers: []string{"ada", "", "bob", "ada"}}
	g := s.page(t)
	want := &pagesv1.ProductPage{}
	for _, name := range []string{"ada", "bob"} {
		want.Reviewers = append(want.Reviewers, &reviewsv1.Reviewer{Name: "customers/" + name + "/reviewer"})
	}
	for _, d := range doors {
		got := d.call(t.Context(), t, g)
		p := got.page
		if got.code != codes.OK || p.GetProduct().GetDisplayName() != "Mug" || p.GetPrice().GetName() != product+"/price" ||
			len(p.GetStock()) != 1 || p.GetStock()[0].GetProduct() != product || !proto.Equal(&pagesv1.ProductPage{Reviewers: p.GetReviewers()}, want) ||
			!proto.Equal(&reviewsv1.ListReviewsResponse{Reviews: p.GetReviews()}, s.reviews()) || len(p.GetMissing()) > 0 {
			t.Errorf("%s: got %v", d.name, got)
		}
		if told := slices.Concat(got.header["gatehouse-degraded"], got.trailer["gatehouse-degraded"]); len(told) > 0 {
			t.Errorf("%s: nothing is missing, and it says %q", d.name, told)
		}
	}
	if n := s.calls(batchGetReviewers); n != len(doors) {
		t.Errorf("%d calls of the batch, want one for each page", n)
	}
	if r, ok := s.requests[listReviews][0].(*reviewsv1.ListReviewsRequest); !ok || r.GetPageSize() != 10 || r.GetParent() != product {
		t.Errorf("the reviews were asked for with %v", r)
	}
	for _, want := range []string{"method=/shop.catalog.v1.CatalogService/GetProduct protocol=inprocess", "upstream=pages"} {
		if log := g.Log.String(); !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
}

// TestFailures: each mode of failure, at every door.
func TestFailures(t *testing.T) {
	t.Parallel()
	leaf := func(mode composev1.Step_Failure, instead string) *composev1.Step {
		return &composev1.Step{Name: "price", Call: getPrice, Request: fields{"name": "request.product"}, Into: "price", OnFailure: mode, Default: instead}
	}
	product := &composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"}
	for _, test := range []struct {
		name     string
		steps    []*composev1.Step
		fails    string
		code     codes.Code // of the backend
		want     codes.Code
		message  string
		degraded string
		missing  []string
		price    string
	}{
		{name: "required", steps: []*composev1.Step{product, leaf(0, "")}, fails: getPrice, code: codes.NotFound, want: codes.NotFound, message: `step "price": it is as it is`},
		{name: "optional", steps: []*composev1.Step{product, leaf(optional, "")}, fails: getPrice, code: codes.Unavailable, degraded: "price; code=UNAVAILABLE", missing: []string{"price UNAVAILABLE"}},
		{
			name: "default", steps: []*composev1.Step{product, leaf(defaulted, `{"name": "on request"}`)}, fails: getPrice, code: codes.Internal,
			degraded: "price; code=INTERNAL", missing: []string{"price INTERNAL"}, price: "on request",
		},
		{
			name: "one that waits for an optional one", fails: getPrice, code: codes.Unavailable, degraded: "price; code=UNAVAILABLE, stock; code=UNAVAILABLE", missing: []string{"price UNAVAILABLE", "stock UNAVAILABLE"},
			steps: []*composev1.Step{product, leaf(optional, ""), {
				Name: "stock", Call: listStock, Request: fields{"parent": "steps.price.name"}, Take: "stock", Into: "stock", OnFailure: optional,
			}},
		},
		{
			name: "a required one that waits for an optional one", fails: getPrice, code: codes.Unavailable, want: codes.Unavailable, message: `step "product" was not called: step "price": it is as it is`,
			steps: []*composev1.Step{leaf(optional, ""), {
				Name: "product", Call: getProduct, Request: fields{"name": "steps.price.name + 'x'"}, Into: "product",
			}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &shop{hook: failing(test.fails, test.code)}
			g := s.page(t, composed(test.steps...))
			for _, d := range doors {
				got := d.call(t.Context(), t, g)
				var missing []string
				for _, m := range got.page.GetMissing() {
					missing = append(missing, m.GetStep()+" "+m.GetCode())
				}
				if got.code != test.want || got.message != test.message || strings.Join(missing, ",") != strings.Join(test.missing, ",") ||
					got.page.GetPrice().GetName() != test.price || test.want == codes.OK && got.page.GetProduct() == nil {
					t.Errorf("%s: got %v", d.name, got)
				}
				told := strings.Join(got.header["gatehouse-degraded"], " and ")
				if after := strings.Join(got.trailer["gatehouse-degraded"], " and "); told != test.degraded || after != test.degraded {
					t.Errorf("%s: the header says %q, the trailer %q, want %q", d.name, told, after, test.degraded)
				}
			}
			if s.calls(listStock) > 0 {
				t.Error("a step was called for which there was nothing to ask")
			}
		})
	}
}

// TestIndependentRunAtOnce: four calls wait for each other.
func TestIndependentRunAtOnce(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int64
	all := make(chan struct{})
	s := &shop{hook: func(ctx context.Context, rpc string, _ proto.Message) error {
		if rpc == batchGetReviewers {
			return nil
		}
		if arrived.Add(1) == 4 {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	if got := overGRPC(t.Context(), t, s.page(t)); got.code != codes.OK || len(got.page.GetMissing()) > 0 {
		t.Errorf("got %v: the calls do not run at once", got)
	}
}

// reviewer is a step for each review, without a batch.
func reviewer(change func(*composev1.Step)) []*composev1.Step {
	s := &composev1.Step{
		Name: "reviewers", Call: getReviewer, ForEach: "steps.reviews.reviews",
		Request: fields{"name": "item.customer"}, Into: "reviewers",
	}
	if change != nil {
		change(s)
	}
	return []*composev1.Step{{Name: "reviews", Call: listReviews, Request: fields{"parent": "request.product"}}, s}
}

// TestTheSameCallIsMadeOnce: for several items, and for several steps.
func TestTheSameCallIsMadeOnce(t *testing.T) {
	t.Parallel()
	s := &shop{customers: []string{"ada", "bob", "ada", "ada"}}
	steps := append(reviewer(nil),
		&composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"},
		&composev1.Step{Name: "again", Call: getProduct, Request: fields{"name": "request.product + ''"}},
		&composev1.Step{Name: "price", Call: getPrice, Request: fields{"name": "steps.again.name"}, Into: "price"},
	)
	got := overGRPC(t.Context(), t, s.page(t, composed(steps...)))
	if s.calls(getReviewer) != 2 || s.calls(getProduct) != 1 || len(got.page.GetReviewers()) != 4 || got.page.GetReviewers()[3].GetName() != "customers/ada" {
		t.Errorf("%d and %d calls, want 2 and 1: %v", s.calls(getReviewer), s.calls(getProduct), got)
	}
	if got.page.GetPrice().GetName() != product || got.page.GetProduct().GetName() != product {
		t.Errorf("the answer does not serve both steps: %v", got)
	}
}

// TestBatch: the items are asked for by a few calls, each once.
func TestBatch(t *testing.T) {
	t.Parallel()
	batched := reviewer(func(s *composev1.Step) {
		s.Call, s.Batch = batchGetReviewers, &composev1.Batch{Items: "names", Answers: "reviewers", MaxSize: proto.Uint32(2)}
		s.Request = fields{"names": "item.customer"}
	})
	s := &shop{customers: []string{"ada", "bob", "ada", "cleo"}}
	got := overREST(t.Context(), t, s.page(t, composed(batched...)))
	var names []string
	for _, r := range got.page.GetReviewers() {
		names = append(names, strings.TrimPrefix(r.GetName(), "customers/"))
	}
	if s.calls(batchGetReviewers) != 2 || strings.Join(names, " ") != "ada bob ada cleo" {
		t.Errorf("%d calls, want 2: %v", s.calls(batchGetReviewers), got)
	}
}

// TestItemsThatFail: an element stays where it is, empty or the default, and it is
// told which.
func TestItemsThatFail(t *testing.T) {
	t.Parallel()
	notBob := func(_ context.Context, rpc string, in proto.Message) error {
		if r, ok := in.(*reviewsv1.GetReviewerRequest); ok && r.GetName() == "customers/bob" {
			return status.Error(codes.NotFound, "no bob")
		}
		return nil
	}
	for _, test := range []struct {
		name     string
		change   func(*composev1.Step)
		hook     func(context.Context, string, proto.Message) error
		want     string // the names of the reviewers
		degraded string
		items    int
		code     codes.Code
		message  string
	}{
		{name: "optional", change: func(s *composev1.Step) { s.OnFailure = optional }, hook: notBob, want: "customers/ada,,customers/cleo,", degraded: "reviewers; code=NOT_FOUND; items=2", items: 2},
		{
			name: "default", change: func(s *composev1.Step) { s.OnFailure, s.Default = defaulted, `{"name": "gone"}` }, hook: notBob,
			want: "customers/ada,gone,customers/cleo,gone", degraded: "reviewers; code=NOT_FOUND; items=2", items: 2,
		},
		{name: "required", hook: notBob, code: codes.NotFound, message: `step "reviewers": item 1: no bob`},
		{name: "all of them", change: func(s *composev1.Step) { s.OnFailure = optional }, hook: failing(getReviewer, codes.Unavailable), degraded: "reviewers; code=UNAVAILABLE"},
		{name: "all by default", change: func(s *composev1.Step) { s.OnFailure, s.Default = defaulted, `{"name": "gone"}` }, hook: failing(getReviewer, codes.Unavailable), want: "gone,gone,gone,gone", degraded: "reviewers; code=UNAVAILABLE"},
		{name: "before there are any", change: func(s *composev1.Step) { s.OnFailure, s.Default = defaulted, `{"name": "gone"}` }, hook: failing(listReviews, codes.Unavailable), code: codes.Unavailable, message: `step "reviews": it is as it is`},
		{name: "too many", change: func(s *composev1.Step) { s.MaxItems = proto.Uint32(3) }, code: codes.Internal, message: `step "reviewers": 4 items, at most 3 are taken (max_items)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &shop{customers: []string{"ada", "bob", "cleo", "bob"}, hook: test.hook}
			got := overGRPC(t.Context(), t, s.page(t, composed(reviewer(test.change)...)))
			var names []string
			for _, r := range got.page.GetReviewers() {
				names = append(names, r.GetName())
			}
			told := strings.Join(got.header["gatehouse-degraded"], " and ")
			if got.code != test.code || got.message != test.message || strings.Join(names, ",") != test.want || told != test.degraded {
				t.Errorf("got %v", got)
			}
			for _, m := range got.page.GetMissing() {
				if len(m.GetItems()) != test.items || test.items == 2 && (m.GetItems()[0] != 1 || m.GetItems()[1] != 3) {
					t.Errorf("missing are items %v", m.GetItems())
				}
			}
		})
	}
}

// TestStepTimeout: a step has its own, within that of the whole.
func TestStepTimeout(t *testing.T) {
	t.Parallel()
	for _, mode := range []composev1.Step_Failure{0, optional} {
		s := &shop{hook: func(ctx context.Context, rpc string, _ proto.Message) error {
			if rpc == getPrice {
				<-ctx.Done()
				return ctx.Err() // the backend's deadline may pass first
			}
			return nil
		}}
		g := s.page(t, composed(
			&composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"},
			&composev1.Step{Name: "price", Call: getPrice, Into: "price", OnFailure: mode, Timeout: durationpb.New(20 * time.Millisecond)},
		))
		got := overREST(t.Context(), t, g)
		if mode == optional {
			if got.code != codes.OK || got.page.GetProduct() == nil || strings.Join(got.header["gatehouse-degraded"], "") != "price; code=DEADLINE_EXCEEDED" {
				t.Errorf("got %v", got)
			}
		} else if got.code != codes.DeadlineExceeded || !strings.HasPrefix(got.message, `step "price": `) {
			t.Errorf("got %v", got)
		}
	}
}

// TestTheWholeDeadline: what was not required does not hold the page up.
func TestTheWholeDeadline(t *testing.T) {
	t.Parallel()
	s := &shop{hook: func(ctx context.Context, rpc string, _ proto.Message) error {
		if rpc == listStock {
			<-ctx.Done()
			return ctx.Err() // the backend's deadline may pass first
		}
		return nil
	}}
	g := s.page(t, composed(
		&composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"},
		&composev1.Step{Name: "stock", Call: listStock, Take: "stock", Into: "stock", OnFailure: optional},
	), onPages(func(p *policy) { p.Timeout = durationpb.New(1500 * time.Millisecond) }))
	if got := overREST(t.Context(), t, g); got.code != codes.OK || strings.Join(got.header["gatehouse-degraded"], "") != "stock; code=DEADLINE_EXCEEDED" {
		t.Errorf("got %v", got)
	}
}

// TestCancel: a client that goes, or a required step that fails, ends all calls.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		by   func(cancel func(), arrived <-chan string) error // in the call of the product
	}{
		{"by the client", func(cancel func(), arrived <-chan string) error {
			<-arrived
			<-arrived
			cancel()
			return nil
		}},
		{"by a step", func(_ func(), arrived <-chan string) error {
			<-arrived
			<-arrived
			return status.Error(codes.NotFound, "no such product")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			arrived, ended := make(chan string, 2), make(chan string, 2)
			s := &shop{hook: func(ctx context.Context, rpc string, _ proto.Message) error {
				if rpc == getProduct {
					return test.by(cancel, arrived)
				}
				arrived <- rpc
				<-ctx.Done()
				ended <- rpc
				return ctx.Err()
			}}
			g := s.page(t, composed(
				&composev1.Step{Name: "product", Call: getProduct, Request: fields{"name": "request.product"}, Into: "product"},
				&composev1.Step{Name: "price", Call: getPrice, Into: "price"},
				&composev1.Step{Name: "stock", Call: listStock, Take: "stock", Into: "stock", OnFailure: optional},
			))
			got := overGRPC(ctx, t, g)
			for range 2 {
				gatewaytest.Receive(t, ended, "the end of a call that nobody waits for")
			}
			if want := map[string]codes.Code{"by the client": codes.Canceled, "by a step": codes.NotFound}[test.name]; got.code != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
