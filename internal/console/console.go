// Package console is the page that shows the OpenAPI documents and calls what they
// describe: Scalar's API reference, which the binary has with it. The page asks no other
// host for anything.
package console

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

//go:embed page.html
var page string

// console.js starts Scalar with the settings that are always the same.
//
//go:embed console.js
var starter []byte

// scalar.js.gz is dist/browser/standalone.js of the npm package @scalar/api-reference, as
// `make console` fetches it.
//
//go:embed scalar.js.gz
var scalar []byte

// Console is what the page shows. It is immutable.
type Console struct {
	// Path is where the page is. Its scripts are in the folder of this name.
	Path string
	// Title is that of the API; "" is "API".
	Title string
	// Document is the path of the OpenAPI document, which takes the query "version".
	Document string
	// Versions are those that have a document of their own.
	Versions []string
	// Server replaces the servers of the documents; "" replaces none.
	Server string
	// ReadOnly says that the page cannot call the API.
	ReadOnly bool
	// Called are the URLs of the servers that the page may call, besides its own.
	Called []string
}

// options are settings of Scalar.
type options struct {
	Sources  []source `json:"sources"`
	Servers  []server `json:"servers,omitempty"`
	ReadOnly bool     `json:"hideTestRequestButton"`
}

type source struct {
	Title string `json:"title"`
	Slug  string `json:"slug"`
	URL   string `json:"url"`
}

type server struct {
	URL string `json:"url"`
}

func (c *Console) options() *options {
	title := cmp.Or(c.Title, "API")
	o := &options{ReadOnly: c.ReadOnly, Sources: []source{{Title: title, Slug: "all", URL: c.relative(c.Document)}}}
	for _, v := range c.Versions {
		o.Sources = append(o.Sources, source{Title: title + " " + v, Slug: v, URL: c.relative(c.Document) + "?version=" + url.QueryEscape(v)})
	}
	if c.Server != "" {
		o.Servers = []server{{c.Server}}
	}
	return o
}

const scalarName, starterName = "scalar.js", "console.js"

// The scripts change with the binary only.
var (
	scalarFile  = sync.OnceValue(func() *edge.Page { return script(scalar, "gzip") })
	starterFile = sync.OnceValue(func() *edge.Page { return script(starter, "") })
)

func script(body []byte, encoding string) *edge.Page {
	return &edge.Page{
		Body: body, ContentType: "text/javascript; charset=utf-8", Encoding: encoding,
		ETag: fmt.Sprintf(`"%x"`, sha256.Sum256(body))[:34] + `"`,
	}
}

// File is the path of a file in the page's folder.
func (c *Console) File(name string) string { return strings.TrimSuffix(c.Path, "/") + "/" + name }

// relative is a path as the page has it, so that it holds behind a proxy that adds a
// prefix.
func (c *Console) relative(path string) string {
	folder := c.Path[:strings.LastIndexByte(c.Path, '/')+1]
	return strings.TrimPrefix(path, folder)
}

// Pages are the page and its scripts by their paths, each for any query.
func (c *Console) Pages() map[string]func(query string) (*edge.Page, error) {
	return map[string]func(query string) (*edge.Page, error){
		c.Path:              c.page,
		c.File(scalarName):  func(string) (*edge.Page, error) { return scalarFile(), nil },
		c.File(starterName): func(string) (*edge.Page, error) { return starterFile(), nil },
	}
}

// page writes the page anew for each reader: scripts and styles run by a secret of its
// own.
func (c *Console) page(string) (*edge.Page, error) {
	options, err := json.Marshal(c.options())
	if err != nil {
		return nil, err
	}
	nonce := rand.Text()
	text := strings.NewReplacer(
		"NONCE", nonce, "TITLE", html.EscapeString(cmp.Or(c.Title, "API")), "OPTIONS", html.EscapeString(string(options)),
		"SCALAR", html.EscapeString(c.relative(c.File(scalarName))), "STARTER", html.EscapeString(c.relative(c.File(starterName))),
	).Replace(page)
	return &edge.Page{Body: []byte(text), ContentType: "text/html; charset=utf-8", Policy: c.policy(nonce)}, nil
}

// policy is the Content-Security-Policy of the page: two scripts run and nothing that is
// inline, nothing is loaded from elsewhere, and only the servers are called. Styles may
// stand in attributes, which Scalar's own HTML has. Answers that are pictures, sound or
// films are shown from blobs.
func (c *Console) policy(nonce string) string {
	called := []string{"'self'"}
	for _, server := range c.Called {
		if u, err := url.Parse(server); err == nil && u.Host != "" {
			called = append(called, u.Scheme+"://"+u.Host)
		}
	}
	return "default-src 'none'; script-src 'nonce-" + nonce + "'; style-src 'nonce-" + nonce + "'; style-src-attr 'unsafe-inline'" +
		"; img-src 'self' data: blob:; media-src blob:; connect-src " + strings.Join(called, " ") +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
