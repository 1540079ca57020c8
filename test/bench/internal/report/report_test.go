package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/report"
)

// samples are rounds that differ in nothing but the CPU time.
func samples(cpu ...float64) []report.Sample {
	out := make([]report.Sample, len(cpu))
	for i, c := range cpu {
		out[i] = report.Sample{CPU: c, PerSecond: 1200, P50: 1.5, P99: 9.25, SteadyP50: 0.25, SteadyP99: 0.75, Peak: 31.5}
	}
	return out
}

func example() report.Report {
	return report.Report{
		Machine:     report.Machine{CPU: "Example 9000", Cores: 2, Memory: "24 GiB", Kernel: "6.1", Go: "go1.26", Date: "2026-11-01"},
		Revision:    "abc1234",
		Rounds:      3,
		Seconds:     1.5,
		Connections: 8,
		Cases: []report.Case{
			{Title: "1 KB <response>", SteadyRate: 321.4, Lines: []report.Line{
				{Contender: "gatehouse", Samples: samples(110, 100, 90)},
				{Contender: "gatehouse-policies", Samples: samples(125, 104.5, 80)},
				{Contender: "facade", Samples: samples(400, 450, 360)},
				{Contender: "floor", Samples: samples(50, 50, 50)},
			}},
			{Title: "other", SteadyRate: 321.4, Lines: []report.Line{{Contender: "gatehouse", Samples: samples(100)}}},
			{Title: "nothing", Lines: []report.Line{{Contender: "gatehouse"}}},
		},
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := example().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1 KB <response> | Gatehouse | **100** (90.0–110) | 1/4.0 | **1200** (1200–1200) | **31.5** (31.5–31.5) |\n",
		"|  | Gatehouse, policies | **104** (80.0–125) | 1/3.8 |",
		"**What the policies add.** 1 KB <response>: 104.5 µs of CPU per request with them, 100.0 without, by the medians: a difference of **+4.5** µs for",
		"|  | Generated facade | **400** (360–450) |  | **1200**",
		"|  | Floor | **50.0** (50.0–50.0) | 1/8.0 |",
		"| 1 KB <response> | Gatehouse | **1.50** (1.50–1.50) | **9.25** (9.25–9.25) | 321 | **0.25** (0.25–0.25) | **0.75** (0.75–0.75) |\n",
		"3 rounds of 1.5 s closed", "8 connections", "Example 9000", "abc1234",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if n := strings.Count(b.String(), "What the policies add"); n != 1 {
		t.Errorf("it says %d times what the policies add, want it of the one case where they were measured", n)
	}
}

// bars returns the widths of the bars by their class, of the first case.
func bars(t *testing.T, svg string) map[string]float64 {
	t.Helper()
	widths := map[string]float64{}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return widths
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "rect" {
			continue
		}
		attributes := map[string]string{}
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
		}
		width, err := strconv.ParseFloat(attributes["width"], 64)
		if _, seen := widths[attributes["class"]]; err == nil && !seen {
			widths[attributes["class"]] = width
		}
	}
}

func TestSVG(t *testing.T) {
	var b strings.Builder
	if err := example().SVG(&b); err != nil {
		t.Fatal(err)
	}
	svg := b.String()
	widths := bars(t, svg)
	for class, want := range map[string]float64{"gatehouse": 100, "gatehouse-policies": 104.5, "facade": 400, "floor": 50} {
		if got := widths[class] / widths["facade"] * 400; got < want-1 || got > want+1 {
			t.Errorf("the bar of %s is as long as %.1f, want %v", class, got, want)
		}
	}
	for _, want := range []string{"prefers-color-scheme: dark", "1 KB &lt;response&gt;", "1/4.0 of the facade", "1/3.8 of the facade", ".gatehouse-policies {", "3 rounds"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in the chart", want)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error("a case without samples breaks the chart")
	}
}
