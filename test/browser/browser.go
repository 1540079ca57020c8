// Package browser opens pages in headless Chromium, as readers would, and records the
// requests and the errors of each page.
package browser

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Page is a page in a browser of its own. It is safe for concurrent use.
type Page struct {
	ctx context.Context

	mu       sync.Mutex
	requests []string
	problems []string
}

// timeout bounds what a test does with a page, on a machine that is busy too.
const timeout = 2 * time.Minute

// Open opens a page, which lasts as long as the test.
func Open(t *testing.T, address string) *Page {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Fatal("chromium is missing: apt-get install chromium, or brew install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"),
		chromedp.NoSandbox, // root has none, and the pages are ours
		chromedp.WindowSize(1600, 1200),
	)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &Page{ctx: ctx}
	if err := chromedp.Listen(ctx, p.record); err != nil {
		t.Fatal(err)
	}
	p.Do(t, chromedp.Navigate(address))
	return p
}

func (p *Page) record(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *log.EventEntryAdded:
		p.problems = append(p.problems, fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
		p.problems = append(p.problems, text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			text := []string{"console.error:"}
			for _, arg := range e.Args {
				text = append(text, string(arg.Value)+arg.Description)
			}
			p.problems = append(p.problems, strings.Join(text, " "))
		}
	}
}

// Do does something with the page, and waits for it.
func (p *Page) Do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		t.Fatalf("%v; the page complains of %q", err, p.Problems())
	}
}

// Eval waits until a JavaScript expression is true of the page, and returns its value.
func Eval[T any](t *testing.T, p *Page, expression string) T {
	t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Poll[T](expression, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(timeout)))
	if err != nil {
		t.Fatalf("%s: %v; the page complains of %q", expression, err, p.Problems())
	}
	return v
}

// Problems are what the browser has put in its log, such as what a policy forbids.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Requests are the URLs that the page has asked for.
func (p *Page) Requests() []*url.URL {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []*url.URL
	for _, text := range p.requests {
		if u, err := url.Parse(text); err == nil {
			list = append(list, u)
		}
	}
	return list
}
