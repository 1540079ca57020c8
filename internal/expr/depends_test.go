package expr_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

func TestDepends(t *testing.T) {
	for text, want := range map[string]expr.Depends{
		`""`:                  {},
		`method + peer.ip`:    {PeerIP: true},
		`caller.id`:           {CallerID: true},
		`[peer.network, "x"]`: {PeerNetwork: true},
		`headers["x-b"] + headers["x-a"] + headers["x-b"]`:         {Headers: []string{"x-a", "x-b"}},
		`"x-a" in headers ? headers["x-a"] : caller.authenticator`: {Headers: []string{"x-a"}, Authenticator: true},
		`has(headers.tenant) ? headers.tenant : ""`:                {Headers: []string{"tenant"}},
		`string(headers.exists(h, h.startsWith("x-")))`:            {AnyHeader: true},
		`headers["x-a"] + headers[headers["x-b"]]`:                 {Headers: []string{"x-a", "x-b"}, AnyHeader: true},
		`string(size(headers))`:                                    {AnyHeader: true},
		`string(caller.claims.org.id)`:                             {Claims: []string{"org"}},
		`string(caller.claims["https://a.b/c"])`:                   {Claims: []string{"https://a.b/c"}},
		`string(caller.claims)`:                                    {AnyClaim: true},
		`caller.scopes`:                                            {Scopes: true},
		`request.name`:                                             {},
	} {
		p, err := env(t, "GetShelf").Key(text)
		if err != nil {
			t.Logf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, p.Depends()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
