package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/openapi/compare"
)

const (
	askTimeout = 10 * time.Second
	maxPage    = 256 << 20
)

// running is what another gateway says of itself, or what it would say by another
// configuration.
type running struct {
	status   admin.Status
	routes   []admin.Route
	rpcs     []*contract.Method
	document *compare.Published
	// isDocument: nothing but the document is known.
	isDocument bool
	// hasAll: the document shows all policies.
	hasAll bool
}

// ask asks the admin listener of a gateway, which is host:port or a URL.
func ask(ctx context.Context, address string) (*running, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := new(running)
	var image []byte
	for page, read := range map[string]func([]byte) error{
		"/config": func(b []byte) error { return json.Unmarshal(b, &r.status) },
		"/routes": func(b []byte) error { return json.Unmarshal(b, &r.routes) },
		"/contract": func(b []byte) error {
			image = b
			return nil
		},
		"/openapi.json?own=true": func(b []byte) (err error) {
			r.document, err = compare.ReadPublished(b)
			return err
		},
	} {
		b, err := fetch(ctx, strings.TrimSuffix(address, "/")+page)
		if err == nil {
			err = read(b)
		}
		if err != nil {
			return nil, fmt.Errorf("--against: %s: want a file, or the admin listener of a gateway that runs: %w", address, err)
		}
	}
	set, err := contract.ParseImage(address+"/contract", image)
	if err != nil {
		return nil, err
	}
	r.find(set)
	return r, nil
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxPage))
}

// find looks up the descriptors of what is served.
func (r *running) find(set *contract.Set) {
	upstreams := map[string]string{}
	for _, route := range r.routes {
		upstreams[route.Method] = route.Upstream
	}
	for _, method := range slices.Sorted(maps.Keys(upstreams)) {
		name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
		if m := set.Method(name); m != nil {
			r.rpcs = append(r.rpcs, contract.NewMethod(m, upstreams[method]))
		}
	}
}

// printDifferences prints what would change if g took the place of another gateway. It
// is an error if that breaks clients and is not allowed.
func printDifferences(w io.Writer, r *running, g *live.Gateway) error {
	changes, err := publishedChanges(r, g)
	if err != nil {
		return err
	}
	published, broken := publishedLines(changes)
	allowed := g.Table().File.Config.GetReload().GetAllowBreaking()
	if r.isDocument {
		d := &differences{w: w, isDocument: true}
		d.section("published", published)
		return d.conclude(broken, 0, allowed)
	}
	breaking := g.Table().Breaks(r.rpcs)
	now := g.Status()
	d := &differences{w: w, hidden: slices.Contains(slices.Collect(maps.Values(now.Config)), config.Redacted)}
	d.section("routes", routeLines(r.routes, admin.Routes(g.Table())))
	d.section("policies", policyLines(r.status.Policies, now.Policies))
	d.section("contract", contractLines(breaking, contract.Changed(r.rpcs, g.Table().Declared())))
	d.section("published", published)
	restart := 0
	var lines []string
	changed := live.Differences(r.status.Config, now.Config)
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		line := fmt.Sprintf("~ %s: %s", path, fromTo(changed[path]))
		if live.TakesRestart(path) {
			restart++
			line += "  (takes a restart)"
		} else if strings.HasPrefix(path, "expose[") && !rewrites.MatchString(path) {
			continue // shown as routes and policies
		}
		lines = append(lines, line)
	}
	d.section("configuration", lines)
	return d.conclude(len(breaking)+broken, restart, allowed)
}

// rewrites are the fields of an exposure that change metadata.
var rewrites = regexp.MustCompile(`^expose\[\d+\](\.routes\[\d+\])?\.metadata\.`)

// differences prints, and remembers whether there were any.
type differences struct {
	w      io.Writer
	some   bool
	hidden bool // there are secrets, of which nothing is known
	// isDocument: changes that break nobody are not known.
	isDocument bool
}

func (d *differences) section(name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	d.some = true
	fmt.Fprintln(d.w, name+":")
	for _, line := range lines {
		fmt.Fprintln(d.w, "  "+line)
	}
}

func (d *differences) conclude(breaking, restart int, allowed bool) error {
	switch {
	case !d.some && d.isDocument:
		fmt.Fprintln(d.w, "nothing that breaks clients of what was published")
	case !d.some && d.hidden:
		fmt.Fprintln(d.w, "no difference, but for secrets, which are not compared")
	case !d.some:
		fmt.Fprintln(d.w, "no difference")
	case restart > 0:
		fmt.Fprintf(d.w, "%s cannot be changed while the gateway runs: a reload would be refused\n", count(restart, "field"))
	}
	if breaking > 0 && !allowed {
		return errors.New(count(breaking, "change") + " would break clients; set reload.allow_breaking if that is meant")
	}
	return nil
}

func routeLines(old, next []admin.Route) []string {
	key := func(r admin.Route) string {
		if r.Verb == "" {
			return "- (gRPC only) " + strings.TrimPrefix(r.Method, "/")
		}
		return r.Verb + " " + r.Path + " " + strings.TrimPrefix(r.Method, "/")
	}
	about := func(r admin.Route) string {
		text := "upstream " + r.Upstream
		if r.Body != "" {
			text += ", body " + r.Body
		}
		if r.ResponseBody != "" {
			text += ", response_body " + r.ResponseBody
		}
		return text
	}
	described := func(routes []admin.Route) map[string]string {
		lines := map[string]string{}
		for _, r := range routes {
			if r.Skipped == "" {
				lines[key(r)] = about(r)
			}
		}
		return lines
	}
	return signed(described(old), described(next))
}

// signed are the lines about what one side has and the other has not, or has
// otherwise.
func signed(before, after map[string]string) []string {
	changed := live.Differences(before, after)
	lines := make([]string, 0, len(changed))
	for _, name := range slices.Sorted(maps.Keys(changed)) {
		_, was := before[name]
		_, is := after[name]
		switch {
		case !was:
			lines = append(lines, "+ "+name+"  "+after[name])
		case !is:
			lines = append(lines, "- "+name)
		default:
			lines = append(lines, "~ "+name+"  "+fromTo(changed[name]))
		}
	}
	return lines
}

// policyLines are about RPCs that both serve.
func policyLines(old, next map[string]map[string]string) []string {
	var lines []string
	for _, method := range slices.Sorted(maps.Keys(next)) {
		was, ok := old[method]
		if !ok {
			continue
		}
		changed := live.Differences(was, next[method])
		for _, path := range slices.Sorted(maps.Keys(changed)) {
			lines = append(lines, fmt.Sprintf("~ %s %s: %s", strings.TrimPrefix(method, "/"), path, fromTo(changed[path])))
		}
	}
	return lines
}

func contractLines(breaking []contract.Change, changed []protoreflect.FullName) []string {
	lines := make([]string, 0, len(breaking)+len(changed))
	told := map[protoreflect.FullName]bool{}
	for _, c := range breaking {
		told[c.At], told[c.At.Parent()] = true, true
		lines = append(lines, "! "+c.String()+"  breaks clients")
	}
	for _, name := range changed {
		if !told[name] {
			lines = append(lines, "~ "+string(name)+"  breaks nobody")
		}
	}
	return lines
}

func fromTo(change [2]string) string {
	shown := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	return shown(change[0]) + " -> " + shown(change[1])
}
