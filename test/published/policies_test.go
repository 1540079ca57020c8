package published_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var nextKey atomic.Int64

// TestPoliciesOfDemo: the demo keeps what its document says of policies.
func TestPoliciesOfDemo(t *testing.T) {
	t.Parallel()
	demo := startDemo(t)
	demo.credentials[weak+"staff"] = demo.warehouse
	unlimited := serve(t, withoutLimits(t, demo))
	for _, version := range []string{"", "v1", "v2"} {
		p := &prober{T: t, gateway: unlimited.http, doc: parse(t, unlimited.document(t, version)), known: demo.credentials}
		p.all(t, "demo "+version)
	}
	p := &prober{T: t, gateway: demo.http, doc: parse(t, demo.document(t, "")), known: demo.credentials}
	p.each(t, "demo limits", (*prober).limits)
}

// TestPolicies: so does a gateway that has every policy.
func TestPolicies(t *testing.T) {
	t.Parallel()
	demo := startDemo(t)
	for _, limits := range []struct{ few, fewer string }{{"1000000", "1000000"}, {"5", "2"}} {
		gateway, known := servePolicies(t, demo, limits.few, limits.fewer)
		p := &prober{T: t, gateway: gateway.http, doc: parse(t, gateway.document(t, "")), known: known, kept: true}
		if limits.few == "5" {
			p.each(t, "limits", (*prober).limits)
		} else {
			p.all(t, "policies")
		}
	}
}

// servePolicies runs a gateway that has every policy. It returns the credentials that
// it knows.
func servePolicies(t *testing.T, d *demo, few, fewer string) (*process, credentials) {
	t.Helper()
	dir := t.TempDir()
	image, err := filepath.Abs(shopImage)
	if err != nil {
		t.Fatal(err)
	}
	const scopes = "catalog.write, inventory.write"
	write(t, filepath.Join(dir, "keys.yaml"), fmt.Sprintf("- {id: staff, sha256: %s, scopes: [%s]}\n- {id: nobody, sha256: %s}\n", hashed("strong"), scopes, hashed("weak")))
	const secret = "$2y$04$HPvtf7y8./6DdfREe8o34eNyiNH3dBFHxv997wC8QUUCVE5tPWCGm" // of "secret"
	write(t, filepath.Join(dir, "users"), "ada:"+secret+":catalog.write inventory.write\nbob:"+secret+"\n")
	config := strings.NewReplacer(
		"KEEPER", keep(t, shopImage), "IMAGE", image, "DIR", dir, "DEMO", filepath.Dir(d.file), "FEWER", fewer, "FEW", few,
	).Replace(read(t, "testdata/policies.yaml"))
	return serve(t, config), credentials{
		"staff": "strong", weak + "staff": "weak", "people": "ada:secret", weak + "people": "bob:secret", "customers": d.credentials["customers"],
	}
}

// all compares each operation with what the document says of it.
func (p *prober) all(t *testing.T, name string) {
	t.Helper()
	for _, check := range []struct {
		name string
		run  func(*prober, *operation)
	}{
		{"allowed", (*prober).allowed}, {"callers", (*prober).callers}, {"idempotency", (*prober).idempotency},
		{"bodies", (*prober).bodies}, {"methods", (*prober).methods}, {"queries", (*prober).queries},
		{"cache", (*prober).cache}, {"faults", (*prober).faults}, {"sunset", (*prober).sunset},
	} {
		p.each(t, name+" "+check.name, check.run)
	}
}

func (p *prober) each(t *testing.T, name string, run func(*prober, *operation)) {
	t.Helper()
	for _, o := range p.doc.operations() {
		t.Run(name+" "+o.ID, func(t *testing.T) {
			one := *p
			one.T = t
			run(&one, o)
		})
	}
}

// allowed: what the document allows is not refused as malformed; what is answered has
// the schema and the headers.
func (p *prober) allowed(o *operation) {
	a := p.ask(o)
	switch {
	case !p.kept: // the demo does not know the names that are made up
		p.conforms(o, a, o.listed(a.StatusCode))
	case a.StatusCode == http.StatusForbidden && len(o.Security) == 0: // addresses stand in no document
		p.expect(o, a, http.StatusForbidden)
	default:
		p.expect(o, a, http.StatusOK)
	}
}

// callers: 401 with the challenges of the schemes that are named, 403 without the scope.
func (p *prober) callers(o *operation) {
	a := p.ask(o, anonymous)
	if len(o.Security) == 0 || slices.ContainsFunc(o.Security, func(way map[string][]string) bool { return len(way) == 0 }) {
		if a.StatusCode == http.StatusUnauthorized {
			p.Errorf("%s: got 401, and the document asks for no credentials", a.asked)
		}
		return
	}
	p.expect(o, a, http.StatusUnauthorized)
	challenges := strings.Join(a.Header.Values("WWW-Authenticate"), ", ")
	for _, way := range o.Security {
		for name, scopes := range way {
			if want := p.doc.Components.SecuritySchemes[name].challenge(); !strings.Contains(challenges, want) {
				p.Errorf("%s: got the challenges %s, want one with %s", a.asked, challenges, want)
			}
			p.expect(o, p.ask(o, anonymous, func(r *http.Request) {
				p.identify(r, name)
				for _, h := range []string{"Authorization", p.doc.Components.SecuritySchemes[name].Name} {
					if r.Header.Get(h) != "" {
						r.Header.Set(h, r.Header.Get(h)+"x")
					}
				}
			}), http.StatusUnauthorized)
			if len(scopes) > 0 && (p.kept || !slices.Contains(scopes, "inventory.write")) { // which the warehouse has
				p.expect(o, p.ask(o, anonymous, func(r *http.Request) { p.identify(r, weak+name) }), http.StatusForbidden)
			}
		}
	}
}

// challenge is how RFC 9110 asks for the credentials of a scheme.
func (s securityScheme) challenge() string {
	switch {
	case s.Type == "apiKey":
		return `header="` + s.Name + `"`
	case s.Scheme == "basic":
		return "Basic "
	default:
		return "Bearer "
	}
}

// idempotency: a key that must be there, and its repetitions.
func (p *prober) idempotency(o *operation) {
	const name = "Idempotency-Key"
	if o.Policy.Idempotency == nil || !p.kept {
		return
	}
	without := p.ask(o, func(r *http.Request) { r.Header.Del(name) })
	if o.Policy.Idempotency.Required {
		p.expect(o, without, http.StatusBadRequest)
	} else {
		p.expect(o, without, http.StatusOK)
	}
	key := fmt.Sprintf(`"%s once"`, o.ID)
	first, second := p.ask(o, header(name, key)), p.ask(o, header(name, key))
	p.expect(o, first, http.StatusOK)
	p.expect(o, second, http.StatusOK)
	if second.Header.Get("Idempotency-Replayed") != "true" || second.text != first.text {
		p.Errorf("%s: the repetition got %v\n%s, want a replay of\n%s", second.asked, second.Header, second.text, first.text)
	}
	for _, key := range []string{"a b", `"a`, "S\xe3o", "a,b", "\u20ac", strings.Repeat("a", 256)} {
		p.expect(o, p.ask(o, header(name, key)), http.StatusBadRequest)
	}
	for _, key := range []string{"a+b/" + o.ID, `"` + o.ID + `, \" and \\"`, strings.Repeat("a", 255)} {
		p.expect(o, p.ask(o, header(name, key)), http.StatusOK)
	}
}

// bodies: unknown fields, wrong types and missing fields are 400, a wrong media type
// 415, and a body that is too long 413.
func (p *prober) bodies(o *operation) {
	if o.Body == nil {
		return
	}
	if most := o.Body.MaxBytes; o.Stream == "" {
		p.expect(o, p.ask(o, content(strings.Repeat(" ", int(most)+1))), http.StatusRequestEntityTooLarge)
	}
	p.expect(o, p.ask(o, header("Content-Encoding", "zstd")), http.StatusUnsupportedMediaType)
	schema := o.bodySchema()
	if schema == nil {
		return
	}
	p.expect(o, p.ask(o, header("Content-Type", "text/xml")), http.StatusUnsupportedMediaType)
	valid, isObject := p.doc.sample(schema).(map[string]any)
	if !isObject {
		return
	}
	send := func(change func(map[string]any), statuses ...int) {
		object := p.doc.sampleObject(schema)
		change(object)
		text, err := json.Marshal(object)
		if err != nil {
			p.Fatal(err)
		}
		p.expect(o, p.ask(o, content(string(text))), append(statuses, http.StatusBadRequest)...)
	}
	if schema["additionalProperties"] == false {
		send(func(object map[string]any) { object["noSuchField"] = 1 })
	}
	for name := range valid {
		missing := func(object map[string]any) { delete(object, name) }
		switch {
		case p.kept:
			send(missing)
		case o.Stream == "": // the shop tells of messages of a stream that it leaves out
			send(missing, http.StatusNotFound) // whichever it looks at first
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name := range properties {
		send(func(object map[string]any) { object[name] = []any{[]any{nil}} }) // no field is a list of lists
	}
	for _, text := range []string{"{", "[]", "1", `{"a": }`, "{}]"} {
		p.expect(o, p.ask(o, content(text)), http.StatusBadRequest)
	}
}

// methods: what the path does not list is 405, with Allow.
func (p *prober) methods(o *operation) {
	for _, method := range []string{"PUT", "DELETE", "PATCH", "POST"} {
		if _, listed := p.doc.Paths[o.path][strings.ToLower(method)]; listed || strings.Contains(o.path, ":") {
			continue // the path of a custom method may be a resource's too
		}
		a := p.ask(o, func(r *http.Request) { r.Method = method })
		if a.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(a.Header.Get("Allow"), o.method) {
			p.Errorf("%s: got %s with Allow: %s", a.asked, a.Status, a.Header.Get("Allow"))
		}
	}
}

// queries: a parameter that is unknown, or of the wrong type, is 400.
func (p *prober) queries(o *operation) {
	wrong := []string{"noSuchParameter=1"}
	for _, param := range o.Parameters {
		if kind := param.Schema["type"]; param.In == "query" && (kind == "integer" || kind == "boolean" || kind == "number") {
			wrong = append(wrong, param.Name+"=x")
		}
	}
	for _, query := range wrong {
		a := p.ask(o, func(r *http.Request) { r.URL.RawQuery += "&" + query })
		if a.StatusCode == http.StatusForbidden && len(o.Security) == 0 {
			continue // addresses are looked at first
		}
		p.expect(o, a, http.StatusBadRequest)
	}
}

// cache: what is kept says how old it is.
func (p *prober) cache(o *operation) {
	if o.Policy.Cache == nil {
		return
	}
	p.ask(o)
	a := p.ask(o)
	p.expect(o, a, http.StatusOK)
	if a.Header.Get("Age") == "" || !regexp.MustCompile(`max-age=\d+`).MatchString(a.Header.Get("Cache-Control")) {
		p.Errorf("%s: got %v, want an answer from the cache", a.asked, a.Header)
	}
}

// faults: whatever code a service answers with is a status with the error's schema; what
// is degraded is served even so.
func (p *prober) faults(o *operation) {
	if !p.kept {
		return
	}
	const codes, unavailable = 16, 14
	for code := 1; code <= codes; code++ {
		a := p.ask(o, header(faultHeader, strconv.Itoa(code)))
		p.conforms(o, a, o.listed(a.StatusCode))
		if code != unavailable || o.Policy.Cache != nil || len(o.Security) == 0 && a.StatusCode == http.StatusForbidden {
			continue
		}
		if o.Degraded != nil {
			if a.StatusCode != http.StatusOK || a.Header.Get("Gatehouse-Degraded") == "" {
				p.Errorf("%s: got %s %v, want a degraded answer", a.asked, a.Status, a.Header)
			}
			continue
		}
		p.expect(o, a, http.StatusServiceUnavailable)
	}
}

// sunset: the headers of a version that goes away say what the document says.
func (p *prober) sunset(o *operation) {
	if o.Sunset == "" {
		return
	}
	a := p.ask(o)
	day, err := time.Parse(http.TimeFormat, a.Header.Get("Sunset"))
	if err != nil || day.Format(time.DateOnly) != o.Sunset || !strings.HasPrefix(a.Header.Get("Deprecation"), "@") || a.Header.Get("Link") == "" {
		p.Errorf("%s: got %v (%v), want the sunset %s", a.asked, a.Header, err, o.Sunset)
	}
}

// limits: as many calls as are promised come through, the next is 429 with headers.
func (p *prober) limits(o *operation) {
	if len(o.RateLimits) == 0 || p.doc.isFirst(o) != o {
		return
	}
	begin, a := time.Now(), answer{}
	for calls := 1; calls <= p.most(o, 0); calls++ {
		a = p.ask(o)
		p.expect(o, a, http.StatusOK)
	}
	for calls := p.most(o, 0) + 1; calls <= p.most(o, time.Since(begin))+1 && a.StatusCode == http.StatusOK; calls++ {
		a = p.ask(o)
	}
	p.expect(o, a, http.StatusTooManyRequests)
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 {
		p.Errorf("%s: got Retry-After: %q", a.asked, a.Header.Get("Retry-After"))
	}
	for _, l := range o.RateLimits {
		want := fmt.Sprintf("%q;q=%d;w=%d", l.Name, l.Requests, int(p.duration(l.Per).Seconds()))
		if policy := a.Header.Get("RateLimit-Policy"); !strings.Contains(policy, want) || !strings.Contains(a.Header.Get("RateLimit"), fmt.Sprintf("%q;r=", l.Name)) {
			p.Errorf("%s: got RateLimit-Policy: %s and RateLimit: %s, want %s", a.asked, policy, a.Header.Get("RateLimit"), want)
		}
	}
}

// most is how many calls the limits of an operation let through in a time.
func (p *prober) most(o *operation, elapsed time.Duration) int {
	calls := math.MaxInt
	for _, l := range o.RateLimits {
		cost := float64(l.Burst) + float64(l.Requests)*elapsed.Seconds()/p.duration(l.Per).Seconds()
		calls = min(calls, int(cost)/l.Cost)
	}
	return calls
}

func (p *prober) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		p.Fatal(err)
	}
	return d
}

// isFirst is the first operation of an operation's RPC: its bindings share limits.
func (d *document) isFirst(o *operation) *operation {
	for _, other := range d.operations() {
		if len(other.RateLimits) > 0 && other.RateLimits[0].Name == o.RateLimits[0].Name {
			return other
		}
	}
	return nil
}
