package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

// explain asks the gateway that `serve` would run, and opens no listener.
func (a *App) explain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain --config FILE [METHOD URL | [grpc] RPC]",
		Short: "Explain how a request would be handled: binding, RPC, version, upstream, policies",
		Long: "Explain how a request without a body, or a call over gRPC, would be handled: its\n" +
			"binding, variables, message, RPC, version, upstream and policies; or why it has no\n" +
			"binding, and which ones are near. The answer comes from the code that serves. No\n" +
			"backend is called, except to read a contract by reflection. The exit code is 1 for a\n" +
			"request that would be refused before its policies are asked.",
		Example: "  gatehouse explain --config gatehouse.yaml GET '/v1/products/42?view=FULL'\n" +
			"  gatehouse explain --config gatehouse.yaml GET /products/42 -H 'x-api-version: v2'\n" +
			"  gatehouse explain --config gatehouse.yaml shop.catalog.v1.CatalogService/GetProduct",
		Args: explainable,
	}
	file := configFlag(c)
	headers := c.Flags().StringArrayP("header", "H", nil, "a header of the request, as `'NAME: VALUE'`; may be given several times")
	output := c.Flags().StringP("output", "o", "text", "`FORMAT`: text or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *output != "text" && *output != "json" {
			return wrongUse(c, "--output: unknown format %q: want text or json", *output)
		}
		header, err := parseHeaders(c, *headers)
		if err != nil {
			return err
		}
		conf, err := config.Load(*file)
		if err != nil {
			return err
		}
		g, err := a.gateway(c.Context(), live.Options{Config: conf, LogTo: io.Discard})
		if err != nil {
			return err
		}
		defer func() { _ = g.Close() }()
		return printExplained(c, g, args, header, *output)
	}
	return c
}

func printExplained(c *cobra.Command, g *live.Gateway, args []string, header map[string][]string, output string) error {
	e, err := explained(c, g, args, header)
	if err != nil {
		return err
	}
	if output == "json" {
		enc := json.NewEncoder(c.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err = enc.Encode(e)
	} else {
		err = printExplanation(c.OutOrStdout(), e)
	}
	if err == nil && !e.Served {
		return errors.New("it would be refused")
	}
	return err
}

// explainable refuses arguments that name no request.
func explainable(c *cobra.Command, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return wrongUse(c, "want METHOD and URL, or an RPC, and got %s", count(len(args), "argument"))
	}
	return nil
}

func explained(c *cobra.Command, g *live.Gateway, args []string, header map[string][]string) (*admin.Explanation, error) {
	if last := args[len(args)-1]; len(args) == 1 || strings.EqualFold(args[0], "grpc") {
		return admin.ExplainRPC(g.Table(), onTheWire(last), header)
	}
	e, err := admin.Explain(c.Context(), g.Table(), args[0], args[1], header)
	if e == nil && err != nil {
		return nil, wrongUse(c, "%w", err)
	}
	return e, err
}

// onTheWire is the name of an RPC as gRPC sends it, however it was written.
func onTheWire(name string) string {
	name = strings.TrimPrefix(name, "/")
	if i := strings.LastIndexByte(name, '.'); i >= 0 && !strings.Contains(name, "/") {
		name = name[:i] + "/" + name[i+1:]
	}
	return "/" + name
}

func parseHeaders(c *cobra.Command, list []string) (map[string][]string, error) {
	header := map[string][]string{}
	for _, text := range list {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" || strings.ContainsAny(text, "\r\n") {
			return nil, wrongUse(c, "--header %q: want 'NAME: VALUE'", text)
		}
		name = strings.ToLower(name)
		header[name] = append(header[name], strings.TrimSpace(value))
	}
	return header, nil
}

// printExplanation prints one thing a line, in the order in which the gateway
// decides.
func printExplanation(w io.Writer, e *admin.Explanation) error {
	fmt.Fprintln(w, e.Request)
	if e.Refusal == nil {
		fmt.Fprintln(w, "passes the door")
	} else {
		fmt.Fprintf(w, "is refused: %s: %s\n", strings.TrimSpace(statusText(e.Refusal)), e.Refusal.Message)
	}
	fmt.Fprintln(w)
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.line("path", e.Path)
	t.line("binding", e.Binding)
	t.values("variables", e.Variables)
	if e.Binding != "" {
		t.line("body", bodyText(e.Body))
	}
	t.values("query", e.Query)
	t.line("message", string(e.Message))
	t.line("rpc", e.RPC)
	if v := e.Version; v != nil {
		t.lines("version", append([]string{fmt.Sprintf("%s of %s, named by %s", v.Name, v.API, v.NamedBy)}, v.Deprecation...))
	}
	for i, u := range e.Upstreams {
		t.line(first("upstream", i), upstreamText(u))
	}
	t.line("exposed by", e.Exposure)
	t.line("chain", strings.Join(e.Chain, " > "))
	for i, p := range e.Policies {
		t.line(first("policy", i), fmt.Sprintf("%s: %s  # %s", p.Path, p.Value, p.Origin))
	}
	for i, s := range e.Skipped {
		t.lines(first("skipped", i), []string{fmt.Sprintf("%s (%s)", s.Binding, s.RPC), "  " + s.Why})
	}
	for i, n := range e.Nearest {
		t.lines(first("nearest", i), append([]string{fmt.Sprintf("%s (%s)", n.Binding, n.RPC)}, indented(n.Why)...))
	}
	return t.Flush()
}

func statusText(r *admin.Refusal) string {
	if r.HTTPStatus == 0 {
		return r.Code
	}
	return fmt.Sprintf("%d %s", r.HTTPStatus, r.Code)
}

func bodyText(field string) string {
	switch field {
	case "":
		return "none is taken"
	case "*":
		return "is the message"
	default:
		return "is field " + field
	}
}

func upstreamText(u admin.UpstreamChoice) string {
	if u.When == "" {
		return u.Upstream
	}
	return fmt.Sprintf("%s, when %s: %s", u.Upstream, u.When, u.Verdict)
}

func indented(list []string) []string {
	out := make([]string, 0, len(list))
	for _, text := range list {
		out = append(out, "  "+text)
	}
	return out
}

// first is a heading for the first of several lines.
func first(heading string, i int) string {
	if i > 0 {
		return ""
	}
	return heading
}

// table prints headings and what belongs to them.
type table struct{ *tabwriter.Writer }

func (t table) line(heading, text string) {
	if text != "" {
		fmt.Fprintf(t, "%s\t%s\n", heading, text)
	}
}

func (t table) lines(heading string, list []string) {
	for i, text := range list {
		t.line(first(heading, i), text)
	}
}

func (t table) values(heading string, list []admin.NamedValue) {
	for i, v := range list {
		text := fmt.Sprintf("%s = %q", v.Name, v.Value)
		if v.Problem != "" {
			text += ": refused: " + v.Problem
		}
		t.line(first(heading, i), text)
	}
}
