package deploy_test

import (
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// language is PromQL as Prometheus has it without experiments.
var language = parser.NewParser(parser.Options{})

// rules are those of alerts.yaml, as Prometheus reads them, by name. It is strict:
// unknown fields, wrong expressions and wrong templates are errors.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse([]byte(read(t, "deploy", "observability", "alerts.yaml")), false, model.UTF8Validation, language, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	byName := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if _, ok := byName[r.Alert]; ok {
				t.Errorf("there are two alerts %s", r.Alert)
			}
			byName[r.Alert] = r
		}
	}
	return byName
}

// database has series with a sample each minute.
type database []promql.Series

// load reads series in promtool's notation: `up{job="gatehouse"} 1x5 0x10`.
func load(t *testing.T, lines []string) database {
	t.Helper()
	var db database
	for _, line := range lines {
		name, values, err := language.ParseSeriesDesc(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s := promql.Series{Metric: name}
		for i, v := range values {
			if !v.Omitted {
				s.Floats = append(s.Floats, promql.FPoint{T: time.Duration(i * int(time.Minute)).Milliseconds(), F: v.Value})
			}
		}
		db = append(db, s)
	}
	return db
}

// firing are the labels with which an alert fires at a time: what the expression
// has given at each minute for as long as the rule wants.
func (db database) firing(t *testing.T, r rulefmt.Rule, at time.Duration) []labels.Labels {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, Parser: language})
	defer func() { _ = engine.Close() }()
	start, end := time.UnixMilli(0).Add(at-time.Duration(r.For)), time.UnixMilli(0).Add(at)
	query, err := engine.NewRangeQuery(t.Context(), &storage.MockQueryable{
		MockQuerier: &storage.MockQuerier{SelectMockFunction: db.selects},
	}, nil, r.Expr, start, end, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result, err := query.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatal(err)
	}
	steps := int(time.Duration(r.For)/time.Minute) + 1
	var found []labels.Labels
	for _, s := range result {
		if len(s.Floats) == steps && !math.IsNaN(s.Floats[0].F) {
			found = append(found, s.Metric.Copy())
		}
	}
	return found
}

func (db database) selects(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &selection{}
next:
	for _, s := range db {
		for _, m := range matchers {
			if !m.Matches(s.Metric.Get(m.Name)) {
				continue next
			}
		}
		set.rest = append(set.rest, s)
	}
	return set
}

// selection is a storage.SeriesSet.
type selection struct {
	rest []promql.Series
	at   promql.Series
}

func (s *selection) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *selection) At() storage.Series                { return promql.NewStorageSeries(s.at) }
func (s *selection) Err() error                        { return nil }
func (s *selection) Warnings() annotations.Annotations { return nil }
