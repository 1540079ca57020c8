package live_test

import (
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// rewritten changes metadata: of all calls, and, after that, of those on the
// canary.
func rewritten(c *configv1.Config) {
	c.Expose[0].Metadata = &configv1.Rewrite{
		Request: &configv1.Changes{
			Remove: []string{"x-gone"}, Set: map[string]string{"x-set": "all", "x-data-bin": "AAE="}, Add: map[string]string{"x-add": "gateway"},
		},
		Response: &configv1.Changes{Remove: []string{servedBy}, Set: map[string]string{"x-answer": "all"}, Add: map[string]string{"x-more": "gateway"}},
	}
	c.Expose[0].Routes = []*configv1.Route{{
		Upstream: "canary", Headers: map[string]string{"x-beta": "1"},
		Metadata: &configv1.Rewrite{
			Request:  &configv1.Changes{Set: map[string]string{"x-set": "canary"}},
			Response: &configv1.Changes{Set: map[string]string{"x-answer": "canary"}},
		},
	}}
}

func TestMetadataIsRewrittenAtEveryDoor(t *testing.T) {
	var shop, canary noted
	f := (&fork{shop: &shopBackend{see: shop.note}, canary: &shopBackend{see: canary.note}}).start(t, rewritten)
	for _, d := range doors() {
		for _, r := range []rpc{getShelf, watchStock} {
			s := f.at(t, d, r)
			for by, got := range map[string]*noted{"0": &shop, "1": &canary} {
				answer := s.want(t, codes.OK, "x-gone", "1", "x-set", "client", "x-add", "client", "x-beta", by)
				want := map[string]string{"0": "all", "1": "canary"}[by]
				md := got.last()
				if md["x-gone"] != nil || !slices.Equal(md["x-set"], []string{want}) || !slices.Equal(md["x-add"], []string{"client", "gateway"}) ||
					!slices.Equal(md["x-data-bin"], []string{"\x00\x01"}) {
					t.Errorf("%s %s: the backend got %v", d.name, r.name, md)
				}
				if h := answer.header; h[servedBy] != nil || !reflect.DeepEqual(h["x-answer"], []string{want}) || !reflect.DeepEqual(h["x-more"], []string{"gateway"}) {
					t.Errorf("%s %s: the client got %v", d.name, r.name, h)
				}
			}
		}
	}
}

// Answers that are no backend's are the gateway's to change, too.
func TestAnswersOfTheGatewayAreRewritten(t *testing.T) {
	f := (&fork{shop: &shopBackend{fail: func(int64) error { return down }}}).start(t, rewritten)
	for _, d := range doors() {
		for _, r := range []rpc{getShelf, watchStock} {
			got := f.at(t, d, r).want(t, codes.Unavailable)
			if !slices.Equal(got.header["x-answer"], []string{"all"}) {
				t.Errorf("%s %s: the client got %v", d.name, r.name, got.header)
			}
		}
	}
	f = new(fork).start(t, only(getShelf), rewritten, func(c *configv1.Config) {
		c.Expose[0].Policy.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
	})
	for _, d := range doors() {
		s := f.at(t, d, getShelf)
		for range 2 { // the second from the cache
			got := s.want(t, codes.OK)
			if !slices.Equal(got.header["x-answer"], []string{"all"}) || got.header[servedBy] != nil {
				t.Errorf("%s: the client got %v", d.name, got.header)
			}
		}
	}
}

// Policies decide by what the client sent.
func TestPoliciesSeeWhatTheClientSent(t *testing.T) {
	f := new(fork).start(t, only(getShelf), rewritten, keysOf(t, "ada"), func(c *configv1.Config) {
		c.Expose[0].Policy.Auth = &policyv1.Auth{Accept: []string{"keys"}, Anonymous: new(true), Allow: new(`headers["x-set"] == "client"`)}
	})
	for _, d := range doors() {
		s := f.at(t, d, getShelf)
		s.want(t, codes.OK, "x-set", "client")
		s.want(t, codes.Unauthenticated, "x-set", "all")
	}
}

// paths are the paths of a gateway's bindings.
func wantStatus(t *testing.T, g *gatewaytest.Gateway, path string, want int) {
	t.Helper()
	if got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", path, "")); got.StatusCode != want {
		t.Errorf("GET %s: %d %s, want %d", path, got.StatusCode, got.Text, want)
	}
}

func TestPrefixesOfAnUpstream(t *testing.T) {
	for _, tc := range []struct{ strip, add, served string }{
		{"", "/shop", "/shop/v1/shelves/tents"},
		{"/v1", "", "/shelves/tents"},
		{"/v1", "/shop/v2", "/shop/v2/shelves/tents"},
	} {
		b := new(shopBackend)
		g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), only(getShelf), func(c *configv1.Config) {
			c.Upstreams[0].StripPrefix, c.Upstreams[0].AddPrefix = tc.strip, tc.add
		}))
		wantStatus(t, g, tc.served, http.StatusOK)
		wantStatus(t, g, "/v1/shelves/tents", http.StatusNotFound)
		if got := admin.Routes(g.Gateway.Table())[0].Path; got[:len(got)-len("{name=shelves/*}")] != tc.served[:len(tc.served)-len("shelves/tents")] {
			t.Errorf("listed as %s, served as %s", got, tc.served)
		}
	}
}
