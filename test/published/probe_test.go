package published_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// prober sends requests to a gateway that are made from its document.
type prober struct {
	*testing.T

	gateway string // its address
	doc     *document
	known   credentials
	// backend has services that keep their contract: what the document allows is answered.
	kept bool
}

// answer is an answer that was read to its end.
type answer struct {
	*http.Response

	text  string
	asked string
}

// ask makes a request that the document allows; change makes it another one.
func (p *prober) ask(o *operation, change ...func(*http.Request)) answer {
	p.Helper()
	body := ""
	if schema := o.bodySchema(); schema != nil {
		text, err := json.Marshal(p.doc.sample(schema))
		if err != nil {
			p.Fatal(err)
		}
		body = string(text)
	}
	r, err := http.NewRequestWithContext(p.Context(), o.method, "http://"+p.gateway+o.target(), strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	if o.Body != nil {
		r.Header.Set("Content-Type", o.media())
	}
	for _, param := range o.Parameters {
		switch {
		case param.Name == "Idempotency-Key" && param.Required:
			r.Header.Set(param.Name, fmt.Sprintf(`"%s %d"`, o.ID, nextKey.Add(1)))
		case param.In == "header" && param.Required:
			r.Header.Set(param.Name, fmt.Sprint(p.doc.sample(param.Schema)))
		}
	}
	p.identify(r, o.strongest())
	for _, c := range change {
		c(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatalf("%s: %v", o.ID, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatalf("%s: %v", o.ID, err)
	}
	a := answer{resp, string(text), r.Method + " " + r.URL.RequestURI()}
	if resp.StatusCode >= http.StatusInternalServerError && r.Header.Get(faultHeader) == "" {
		p.Errorf("%s: got %s\n%s", a.asked, resp.Status, a.text)
	}
	return a
}

// strongest returns the last authenticator by name: in the shop it is that of the staff,
// who may do most.
func (o *operation) strongest() string {
	best := ""
	for _, way := range o.Security {
		for name := range way {
			best = max(best, name)
		}
	}
	return best
}

// listed is the key of a status among the responses.
func (o *operation) listed(status int) string {
	if text := strconv.Itoa(status); o.Responses[text] != nil {
		return text
	}
	return "default"
}

// identify adds credentials for an authenticator, in the form that the document names.
func (p *prober) identify(r *http.Request, name string) {
	value, known := p.known[name]
	if name != "" && !known {
		p.Fatalf("there are no credentials for %s", name)
	}
	scheme := p.doc.Components.SecuritySchemes[strings.TrimPrefix(name, weak)]
	switch {
	case name == "":
	case scheme.Type == "apiKey":
		r.Header.Set(scheme.Name, value)
	case scheme.Scheme == "basic":
		user, password, _ := strings.Cut(value, ":")
		r.SetBasicAuth(user, password)
	default:
		r.Header.Set("Authorization", "Bearer "+value)
	}
}

// weak stands before the name of an authenticator whose caller has no scope.
const weak = "weak "

func anonymous(r *http.Request) {
	for name := range r.Header {
		if name != "Content-Type" && name != "Idempotency-Key" && name != "X-Api-Version" {
			r.Header.Del(name)
		}
	}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func content(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

// expect compares an answer with the document: one of the statuses, which the operation
// lists, and a body of the media type and schema that it names.
func (p *prober) expect(o *operation, a answer, statuses ...int) {
	p.Helper()
	status, found := "", false
	for _, want := range statuses {
		found = found || a.StatusCode == want
	}
	if !found {
		p.Errorf("%s: got %s, want %d\n%s", a.asked, a.Status, statuses, a.text)
		return
	}
	if status = strconv.Itoa(a.StatusCode); o.Responses[status] == nil {
		p.Errorf("%s: got %s, and the document does not list it\n%s", a.asked, a.Status, a.text)
		return
	}
	p.conforms(o, a, status)
}

// conforms compares an answer with what the document says of a status.
func (p *prober) conforms(o *operation, a answer, status string) {
	p.Helper()
	media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		p.Errorf("%s: got the media type %q: %v", a.asked, a.Header.Get("Content-Type"), err)
		return
	}
	if err := o.validate(status, media, a.text); err != nil {
		p.Errorf("%s: got %s: %v\n%s", a.asked, a.Status, err, a.text)
	}
	p.hasHeaders(o, a, status)
}

// sometimes are headers that only some answers have.
var sometimes = map[string]bool{
	"Idempotency-Replayed": true, // a repetition's
	"Age":                  true, // what was kept
	"Gatehouse-Degraded":   true, // while the service cannot answer
	"Retry-After":          true, // but for 429, which has its own test
	"RateLimit":            true, // the same: 429 is for concurrency too
	"RateLimit-Policy":     true,
}

// hasHeaders checks that the headers are there that the document lists.
func (p *prober) hasHeaders(o *operation, a answer, status string) {
	p.Helper()
	_, r := o.response(status)
	headers, _ := r["headers"].(map[string]any)
	for name := range headers {
		if a.Header.Get(name) == "" && (!sometimes[name] || status == "200" && strings.HasPrefix(name, "RateLimit")) {
			p.Errorf("%s: got %s without the header %s", a.asked, a.Status, name)
		}
	}
}
