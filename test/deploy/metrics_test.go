package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// metric is one that the gateway exports.
type metric struct {
	labels  []string
	counts  bool // a counter, or a histogram or summary, which count
	scraped bool // its type is known
}

// ofTarget are labels that Prometheus puts on.
var ofTarget = []string{"job", "instance"}

// exported are all metrics that gateways export: those that two of them show
// after some calls, and of those that come with events only what the source says.
func exported(t *testing.T) map[string]metric {
	t.Helper()
	found := map[string]metric{}
	declared(t, found)
	shop := start(t, "demo")
	for _, path := range []string{"/v1/shelves", "/v1/shelves/tents", "/v1/shelves/none", "/v1/none", "/v1/orders"} {
		get(t, "http://"+shop.http+path)
	}
	scrape(t, shop, found)
	scrape(t, serve(t, configuration(t, build(t, overlay)), shop), found)
	found["up"] = metric{scraped: true} // Prometheus's own
	return found
}

func scrape(t *testing.T, from process, to map[string]metric) {
	t.Helper()
	_, text := get(t, "http://"+from.admin+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, family := range families {
		m := metric{scraped: true, counts: family.GetType() != dto.MetricType_GAUGE}
		for _, l := range family.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		to[name] = m
		if kind := family.GetType(); kind == dto.MetricType_HISTOGRAM || kind == dto.MetricType_SUMMARY {
			to[name+"_sum"], to[name+"_count"] = m, m
			m.labels = append(slices.Clone(m.labels), "le")
			to[name+"_bucket"] = m
		}
	}
}

var declaration = regexp.MustCompile(`"(gatehouse_[a-z_]+)"(?:[^{}]*\}?,\s*\[\]string\{([^}]*)\})?`)

// declared adds what the source registers, with its labels.
func declared(t *testing.T, to map[string]metric) {
	t.Helper()
	for _, m := range declaration.FindAllStringSubmatch(source(t), -1) {
		found := metric{}
		for name := range strings.SplitSeq(m[2], ",") {
			if name = strings.Trim(name, ` "`); name != "" {
				found.labels = append(found.labels, name)
			}
		}
		to[m[1]] = found
	}
	if len(to) < 25 {
		t.Fatalf("only %d metrics are found in the source", len(to))
	}
}

// source is all of the product's code without its tests.
var sources = sync.OnceValues(func() (string, error) {
	var all strings.Builder
	for _, dir := range []string{"interceptors", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return all.String(), nil
})

func source(t *testing.T) string {
	t.Helper()
	text, err := sources()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// vet looks up all that an expression names: metrics, labels, and values of
// labels, which the source must have to the letter.
func vet(t *testing.T, where, text string, known map[string]metric) {
	t.Helper()
	expr, err := language.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			vetSelector(t, where, n, known)
		case *parser.Call:
			vetRate(t, where, n, known)
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				if !slices.Contains(labelsWithin(n.Expr, known), label) {
					t.Errorf("%s: nothing in %s has the label %s", where, n, label)
				}
			}
		}
		return nil
	})
}

func vetSelector(t *testing.T, where string, s *parser.VectorSelector, known map[string]metric) {
	t.Helper()
	m, ok := known[s.Name]
	if !ok {
		t.Errorf("%s: no gateway exports %s", where, s.Name)
		return
	}
	for _, matcher := range s.LabelMatchers {
		if matcher.Name == model.MetricNameLabel || slices.Contains(ofTarget, matcher.Name) {
			continue
		}
		if !slices.Contains(m.labels, matcher.Name) {
			t.Errorf("%s: %s has no label %s, but %v", where, s.Name, matcher.Name, m.labels)
		}
		if matcher.Name == "method" { // names of users' RPCs
			continue
		}
		for value := range strings.SplitSeq(matcher.Value, "|") {
			if !said(t, matcher.Name, value) {
				t.Errorf("%s: no gateway says %s=%q", where, matcher.Name, value)
			}
		}
	}
}

// said reports whether the source has a value of a label: a policy by the constant
// that is its name, others as a string.
func said(t *testing.T, label, value string) bool {
	t.Helper()
	if label == "policy" {
		return regexp.MustCompile(`(?im)^\s*(const )?(policy)?name\s+= "` + value + `"`).MatchString(source(t))
	}
	return strings.Contains(source(t), `"`+value+`"`)
}

// vetRate wants rates of what counts, and of nothing else.
func vetRate(t *testing.T, where string, c *parser.Call, known map[string]metric) {
	t.Helper()
	if c.Func.Name != "rate" && c.Func.Name != "increase" {
		return
	}
	matrix, ok := c.Args[0].(*parser.MatrixSelector)
	if !ok {
		return
	}
	name := matrix.VectorSelector.(*parser.VectorSelector).Name
	if m := known[name]; m.scraped && !m.counts {
		t.Errorf("%s: %s of %s, which does not count", where, c.Func.Name, name)
	}
}

// labelsWithin are those that any selector in the expression has.
func labelsWithin(expr parser.Expr, known map[string]metric) []string {
	found := slices.Clone(ofTarget)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			found = append(found, known[s.Name].labels...)
		}
		return nil
	})
	return found
}

// TestMetricsExist holds alerts and dashboard against what gateways export.
func TestMetricsExist(t *testing.T) {
	known := exported(t)
	for name, rule := range rules(t) {
		vet(t, name, rule.Expr, known)
	}
	board := dashboard(t)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			vet(t, p.Title, fill(target.Expr), known)
		}
	}
	for _, v := range board.Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			vet(t, v.Name, "sum by ("+m[2]+") ("+fill(m[1])+")", known)
		}
	}
}
