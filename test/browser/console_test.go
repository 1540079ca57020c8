package browser_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/browser"
)

// quoted is a string in JavaScript.
func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// console is the console in a browser.
type console struct{ *browser.Page }

// open opens the console of a listener at an operation, given as "GET/v1/shelves".
func open(t *testing.T, listener, tag, operation string) console {
	t.Helper()
	p := console{browser.Open(t, listener+"/docs#all/tag/"+tag+"/"+operation)}
	p.until(t, `document.body.innerText.includes("Powered by Scalar")`)
	return p
}

// until waits for something of the page.
func (p console) until(t *testing.T, expression string) {
	t.Helper()
	browser.Eval[bool](t, p.Page, expression)
}

// click waits for an element with a text, and clicks it.
func (p console) click(t *testing.T, elements, text string) {
	t.Helper()
	found := fmt.Sprintf(`[...document.querySelectorAll(%s)].find(e => e.textContent.includes(%s))`, quoted(elements), quoted(text))
	p.until(t, found+` != null`)
	p.until(t, `(`+found+`.click(), true)`)
}

// fill fills the row of a parameter in the dialog of an operation.
func (p console) fill(t *testing.T, name, value string) {
	t.Helper()
	field := fmt.Sprintf(`(fields => fields[fields.findIndex(e => e.textContent === %s) + 1])([...document.querySelectorAll("[role=dialog] [contenteditable]")])`, quoted(name))
	p.until(t, `(`+field+`.focus(), document.execCommand("insertText", false, `+quoted(value)+`))`)
	p.until(t, field+`.textContent === `+quoted(value))
}

// answered waits until the dialog of an operation shows a text.
func (p console) answered(t *testing.T, text string) {
	t.Helper()
	p.until(t, fmt.Sprintf(`document.querySelector("[role=dialog]").innerText.includes(%s)`, quoted(text)))
}

// lists waits until the sidebar shows all texts.
func (p console) lists(t *testing.T, texts []string) {
	t.Helper()
	all, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	p.until(t, string(all)+`.every(text => document.querySelector("aside").innerText.includes(text))`)
}

// check fails for a request to another host than those, and for a complaint of the
// browser other than the given ones.
func (p console) check(t *testing.T, hosts []string, expected ...string) {
	t.Helper()
	for _, u := range p.Requests() {
		if !slices.Contains(hosts, u.Scheme+"://"+u.Host) && u.Scheme != "data" && u.Scheme != "blob" {
			t.Errorf("the page asks %s", u)
		}
	}
	for _, problem := range p.Problems() {
		if !slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(problem, text) }) {
			t.Errorf("the browser complains: %s", problem)
		}
	}
}

// document is what the test reads of an OpenAPI document.
type document struct {
	Paths map[string]map[string]struct {
		Tags    []string
		Summary string
	}
}

func documentAt(t *testing.T, address string) *document {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	d := new(document)
	if err := json.NewDecoder(answer.Body).Decode(d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestConsole: the console of the HTTP listener lists the operations of each version's
// document and calls the API. It asks its own host only.
func TestConsole(t *testing.T) {
	t.Parallel()
	g := start(t, "demo")
	p := open(t, g.http, "catalogservice", "GET/v1/shelves/{shelf}")
	var tags, summaries []string
	for _, operations := range documentAt(t, g.http+"/docs/openapi.json").Paths {
		for _, o := range operations {
			tags = append(tags, o.Tags[0])
			if o.Tags[0] == "CatalogService" {
				summaries = append(summaries, o.Summary)
			}
		}
	}
	if len(summaries) < 10 {
		t.Fatalf("the document has %d operations of the catalog", len(summaries))
	}
	p.lists(t, tags)
	p.lists(t, summaries)

	p.click(t, ".show-api-client-button", "get /v1/shelves/{shelf})")
	p.fill(t, "shelf", "tents")
	p.click(t, "[role=dialog] button", "Send get request")
	p.answered(t, "200 OK")
	p.answered(t, `"displayName": "Tents and shelters"`)
	called := func(u *url.URL) bool { return u.Path == "/v1/shelves/tents" }
	if !slices.ContainsFunc(p.Requests(), called) {
		t.Errorf("the page has asked for %v", p.Requests())
	}

	p.click(t, "[role=dialog] button", "Close Client")
	p.click(t, "aside button", "The shop")
	p.click(t, "[role=option]", "The shop v1")
	p.lists(t, []string{"ReviewsService"})
	p.until(t, `!document.querySelector("aside").innerText.includes("CatalogService")`)
	p.check(t, []string{g.http})
}

// TestConsoleCredentials: calls have the credentials that the reader gives.
func TestConsoleCredentials(t *testing.T) {
	t.Parallel()
	g := start(t, "demo")
	p := open(t, g.http, "catalogservice", "DELETE/v1/products/{product}")
	p.click(t, ".show-api-client-button", "delete /v1/products/{product})")
	p.fill(t, "product", "enamel-mug-blue")
	p.click(t, "[role=dialog] button", "Send delete request")
	p.answered(t, `"status": "UNAUTHENTICATED"`)
	p.click(t, "[role=dialog] button", "Authentication")
	p.until(t, `(document.querySelector("[role=dialog] .scalar-password-input").focus(), document.execCommand("insertText", false, "demo-staff"))`)
	p.click(t, "[role=dialog] button", "Send delete request")
	p.answered(t, "200 OK")
	p.check(t, []string{g.http}, "the server responded with a status of 401")
}

// TestConsoleStream: the messages of a stream are shown while it lasts.
func TestConsoleStream(t *testing.T) {
	t.Parallel()
	g := start(t, "demo")
	p := open(t, g.http, "inventoryservice", "GET/v1/warehouses/{warehouse}/stock/{product}:watch")
	p.click(t, ".show-api-client-button", ":watch)")
	p.fill(t, "warehouse", "kassel")
	p.fill(t, "product", "nordkap-tunnel-tent-2-persons")
	const moved = `"delta": "4711"`
	p.fill(t, "since", "2026-01-01T00:00:00Z")
	p.click(t, "[role=dialog] button", "Send get request")
	p.answered(t, `"delta": "-10"`)
	if strings.Contains(browser.Eval[string](t, p.Page, `document.querySelector("[role=dialog]").innerText`), moved) {
		t.Fatal("what happens next is shown already")
	}
	adjust(t, g, `{"delta": 4711, "reason": "REASON_RETURNED"}`)
	p.answered(t, moved) // the stream goes on, and the page has the next message
	p.check(t, []string{g.http})
}

// adjust changes the stock that TestConsoleStream watches.
func adjust(t *testing.T, g *gateway, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", g.http+"/v1/warehouses/kassel/stock/nordkap-tunnel-tent-2-persons:adjust", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {"demo-staff"}}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Fatalf("the change of the stock: %s", answer.Status)
	}
}

// TestConsoleOfAdmin: the console of the admin listener is for reading, and calls the HTTP
// listener where pages of its origin may.
func TestConsoleOfAdmin(t *testing.T) {
	t.Parallel()
	g := start(t, "demo")
	p := open(t, g.admin, "catalogservice", "GET/v1/shelves")
	p.until(t, `document.body.innerText.includes("ListShelves lists the shelves")`)
	if browser.Eval[string](t, p.Page, `String(document.querySelectorAll(".show-api-client-button").length)`) != "0" {
		t.Error("the page offers calls that the HTTP listener refuses to pages of other origins")
	}
	p.check(t, []string{g.admin})

	text, err := os.ReadFile(g.config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(config, append(text, "\ncors: {allow_origins: [\"*\"]}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	g = start(t, "serve", "--config="+config)
	p = open(t, g.admin, "catalogservice", "GET/v1/shelves")
	p.click(t, ".show-api-client-button", "get /v1/shelves)")
	p.click(t, "[role=dialog] button", "Send get request")
	p.answered(t, `"displayName": "Tents and shelters"`)
	p.check(t, []string{g.admin, g.http})
}
