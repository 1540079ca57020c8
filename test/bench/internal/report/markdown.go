package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/stat"
)

const opening = `# Performance

<!-- Written by "make bench". Do not edit: run it again. -->

What Gatehouse costs, without policies and with them, side by side with two others, on one machine in one run:

- **Gatehouse**: the released binary with its chain (recovery, access log written to a file, metrics, timeout) and no other policy.
- **Gatehouse, policies**: the same binary where every call passes authentication by a JWT (EdDSA; a token that was verified is remembered), a rate limit by caller, a timeout, retries and a breaker. None of them refuses anything: it shows what they cost when all is well. It takes part in one case, since they cost the same in each.
- **Generated facade**: what grpc-gateway generates from the same contract, on its own mux and net/http, with nothing around it.
- **Floor**: net/http and grpc-go with nothing in between. It sends fixed bytes both ways and transcodes nothing. For gRPC it is grpc-go on both sides, which passes on the bytes; on the HTTP port its server is net/http's.

![CPU time per request](performance.svg)

`

const method = `
## How it was measured

- Each contender is a process of its own, started anew for each round; the rounds take turns (Gatehouse, Gatehouse with policies, facade, floor, Gatehouse, ...). All call the same backend process, which answers with bytes encoded beforehand, and are called by the same load generator over HTTP/1.1 connections that stay open.
- **CPU per request** is the processor time that the kernel accounts to the contender's process (its CPU-time clock: user and system, all threads) during a closed loop, divided by the requests answered. The load generator and the backend share the processors with the contender, so this is the number to compare; requests per second are those of all three together.
- **Closed loop**: each connection sends as soon as it has its answer. This shows the most that the machine does, but flatters latency: while a server stalls, nobody asks. **Steady** latency is measured at a constant rate, half of what the slowest contender of the case manages, from the moment at which each request was due.
- **Peak memory** is the most that was resident (VmHWM) from start to end of the round.
- Before each measurement one answer is compared, as JSON, with what is right, and what the backend received with what was meant; then every answer's status and length is checked. Gatehouse runs with the JSON profile grpc-gateway, so that both write the same fields.
- Every request carries the same bearer token, which the benchmark signs at the start. All contenders read the same bytes; Gatehouse with policies alone verifies it, and must turn away a request that has none.
- Gatehouse runs without what would answer in the backend's place (cache, fallback, idempotency), whatever the contract declares.
- In the case of 1,000 routes the contract has 200 more resources with the five standard methods each. The generated mux tries its routes in turn; there, half of them stand before those of the shop.
- In the cases of gRPC the load generator is grpc-go's client: as many connections, with 16 calls at a time on each.
- Numbers are medians of all rounds, with the lowest and the highest in brackets.
`

// Markdown writes the page.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(opening)
	r.cost(&b)
	r.policies(&b)
	r.latency(&b)
	b.WriteString(method)
	r.machine(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// cost writes the table of what each request takes.
func (r Report) cost(b *strings.Builder) {
	b.WriteString("## Cost\n\n| Case | Contender | CPU per request, µs | of the facade's | Requests per second | Peak memory, MiB |\n|---|---|--:|--:|--:|--:|\n")
	for _, c := range r.Cases {
		title := c.Title
		for _, l := range c.Lines {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", title, label(l.Contender),
				spread(l.Of(cpu)), c.share(l), spread(l.Of(perSecond)), spread(l.Of(peak)))
			title = ""
		}
	}
}

// policies writes what the policies add, for the cases that tell.
func (r Report) policies(b *strings.Builder) {
	for _, c := range r.Cases {
		without, ok := c.CPU(contender.Gatehouse)
		with, ok2 := c.CPU(contender.Policies)
		if ok && ok2 {
			fmt.Fprintf(b, "\n**What the policies add.** %s: %.1f µs of CPU per request with them, %.1f without, by the medians: a difference of **%+.1f** µs for authentication, rate limit, retries and breaker together.\n",
				c.Title, with, without, with-without)
		}
	}
}

// share tells how much CPU time a contender takes for what takes the facade 1.
func (c Case) share(l Line) string {
	facade, ok := c.CPU(contender.Facade)
	own := l.Of(cpu).Median
	if !ok || l.Contender == contender.Facade || own == 0 {
		return ""
	}
	return fmt.Sprintf("1/%.1f", facade/own)
}

func (r Report) latency(b *strings.Builder) {
	b.WriteString("\n## Latency, in milliseconds\n\n| Case | Contender | p50, closed | p99, closed | Steady rate, per second | p50, steady | p99, steady |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, c := range r.Cases {
		title := c.Title
		for _, l := range c.Lines {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %.0f | %s | %s |\n", title, label(l.Contender),
				spread(l.Of(p50)), spread(l.Of(p99)), c.SteadyRate, spread(l.Of(steadyP50)), spread(l.Of(steadyP99)))
			title = ""
		}
	}
}

func (r Report) machine(b *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(b, "\n## Where\n\n%d rounds of %g s closed and %g s steady, %d connections. %s, %d processors, %s, Linux %s, %s; revision %s, %s.\n\n"+
		"`make bench` does it again on yours.\n",
		r.Rounds, r.Seconds, r.Seconds, r.Connections, m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, r.Revision, m.Date)
}

// spread writes a median with the extremes.
func spread(s stat.Summary) string {
	return fmt.Sprintf("**%s** (%s–%s)", short(s.Median), short(s.Min), short(s.Max))
}

// short writes a number with about three digits.
func short(v float64) string {
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
