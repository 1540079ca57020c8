package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
)

// The chart's measures, in pixels.
const (
	width     = 760
	top       = 58 // above the first case
	caseGap   = 26 // between cases
	titleRoom = 22 // of a case's title
	barHeight = 18
	barStep   = 23
	barLeft   = 150
	barRoom   = 420 // of the longest bar of a case
	bottom    = 20
)

// style has colours for light and for dark pages. A picture on a page is asked
// for its own opinion, so it carries both.
const style = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .head { font-size: 16px; font-weight: 600; }
  .case { font-weight: 600; }
  .soft { fill: #59636e; }
  .page { fill: #ffffff; }
  .gatehouse { fill: #1a7f5a; }
  .gatehouse-policies { fill: #5aa888; }
  .facade { fill: #b35900; }
  .floor { fill: #818b98; }
  .reach { stroke: #1f2328; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .soft { fill: #9198a1; }
    .page { fill: #0d1117; }
    .gatehouse { fill: #3fb98a; }
    .gatehouse-policies { fill: #2b7d5f; }
    .facade { fill: #e0883a; }
    .floor { fill: #656c76; }
    .reach { stroke: #e6edf3; }
  }
`

// SVG draws the CPU time per request. Each case has its own scale, on which
// its costliest contender is as long as there is room: what is compared is
// contenders, not cases.
func (r Report) SVG(w io.Writer) error {
	var b strings.Builder
	y := top
	for _, c := range r.Cases {
		y = c.draw(&b, y)
	}
	height := y - caseGap + bottom
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">
<title id="title">CPU microseconds per request, by case and contender</title>
<style>%s</style>
<rect class="page" width="100%%" height="100%%" rx="6"/>
<text class="head" x="20" y="28">CPU time per request, in microseconds</text>
<text class="soft" x="20" y="46">Less is better. Each case has its own scale; thin lines span the lowest to the highest of %d rounds.</text>
%s</svg>
`, width, height, width, height, style, r.Rounds, b.String())
	return err
}

// draw writes one case below y and returns where the next one begins.
func (c Case) draw(b *strings.Builder, y int) int {
	fmt.Fprintf(b, "<text class=\"case\" x=\"20\" y=\"%d\">%s</text>\n", y+14, escape(c.Title))
	y += titleRoom
	longest := 0.0
	for _, l := range c.Lines {
		longest = max(longest, l.Of(cpu).Max)
	}
	for _, l := range c.Lines {
		c.drawBar(b, l, y, longest)
		y += barStep
	}
	return y + caseGap
}

func (c Case) drawBar(b *strings.Builder, l Line, y int, longest float64) {
	s := l.Of(cpu)
	scale := func(v float64) float64 {
		if longest == 0 {
			return 0
		}
		return v / longest * barRoom
	}
	middle := float64(y) + barHeight/2.0
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", barLeft-10, y+13, escape(label(l.Contender)))
	fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class(l.Contender), barLeft, y, scale(s.Median), barHeight)
	fmt.Fprintf(b, "<line class=\"reach\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", barLeft+scale(s.Min), middle, barLeft+scale(s.Max), middle)
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s%s</text>\n", barLeft+scale(s.Max)+8, y+13, short(s.Median), c.remark(l))
}

// remark stands behind a bar's number.
func (c Case) remark(l Line) string {
	if !contender.IsGatehouse(l.Contender) || c.share(l) == "" {
		return ""
	}
	return fmt.Sprintf(` <tspan class="soft">%s of the facade's</tspan>`, c.share(l))
}

// class is the name under which a contender has its colour.
func class(name string) string {
	switch name {
	case contender.Gatehouse, contender.Policies, contender.Facade:
		return name
	default:
		return contender.Floor
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
