package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
)

func (a *App) check() *cobra.Command {
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Check the configuration and the contracts it names, without serving",
		Long: "Check the configuration and the contracts it names: build all that `serve` would,\n" +
			"and open no listener. For a contract had by reflection its backend must run.\n\n" +
			"With --against, print what would change: routes, policies, contracts, what is\n" +
			"published, and the rest of the configuration. It names the admin listener of a\n" +
			"gateway that runs, another configuration, or a document that `gatehouse openapi`\n" +
			"wrote, with which only what is published can be compared. The exit code is 1 if a\n" +
			"change would break clients and reload.allow_breaking is not set. Give --http,\n" +
			"--grpc and --admin as they were given to `serve`.",
		Example: "  gatehouse check --config gatehouse.yaml\n" +
			"  gatehouse check --config gatehouse.yaml --against 127.0.0.1:9901\n" +
			"  gatehouse check --config gatehouse.yaml --against openapi.json",
		Args: NoArgs,
	}
	file, addresses := configFlag(c), AddressFlags(c)
	against := c.Flags().String("against", "", "print the difference to a gateway that runs, to another configuration, or to a published document: `ADDRESS|FILE`")
	show := c.Flags().Bool("print", false, "print the merged result: defaults filled in, policies with their origin")
	secrets := c.Flags().Bool("show-secrets", false, "with --print: show secrets that stand in the file, which are REDACTED otherwise")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *secrets && !*show {
			return wrongUse(c, "--show-secrets: it is for --print alone")
		}
		load := func(file string) (*live.Gateway, error) { return a.load(c.Context(), file, addresses) }
		g, err := load(*file)
		if err != nil {
			return err
		}
		defer func() { _ = g.Close() }()
		if err := printWarnings(c.ErrOrStderr(), g); err != nil {
			return err
		}
		if *against != "" {
			r, err := readOther(*against, load)
			if err == nil && r == nil {
				r, err = ask(c.Context(), *against)
			}
			if err != nil {
				return err
			}
			return printDifferences(c.OutOrStdout(), r, g)
		}
		if *show {
			return printMerged(c.OutOrStdout(), g, *secrets)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: ok: %s, %s, %s\n", *file, count(len(g.Table().Methods), "RPC"),
			count(bindings(admin.Routes(g.Table())), "HTTP binding"), count(len(g.Table().File.Config.GetUpstreams()), "upstream"))
		return err
	}
	return c
}

// load compiles a configuration, and serves nothing.
func (a *App) load(ctx context.Context, file string, addresses *Addresses) (*live.Gateway, error) {
	conf, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	if conf, err = addresses.Apply(conf); err != nil {
		return nil, err
	}
	return a.gateway(ctx, live.Options{Config: conf, LogTo: io.Discard})
}

// printWarnings prints what is valid and may yet not be meant: in the configuration, and in
// what annotations of the contract say of the OpenAPI document.
func printWarnings(w io.Writer, g *live.Gateway) error {
	ofDocument, err := g.Table().OpenAPI.Warnings()
	if err != nil {
		return err
	}
	for _, warning := range slices.Concat(g.Table().Warnings, ofDocument) {
		fmt.Fprintln(w, "warning:", warning)
	}
	return nil
}

func (a *App) routes() *cobra.Command {
	c := &cobra.Command{
		Use:   "routes --config FILE",
		Short: "List what is served: HTTP binding, RPC, upstream, policies",
		Args:  NoArgs,
	}
	file := configFlag(c)
	output := c.Flags().StringP("output", "o", "table", "`FORMAT`: table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *output != "table" && *output != "json" {
			return wrongUse(c, "--output: unknown format %q: want table or json", *output)
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
		if *output == "json" {
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(admin.Routes(g.Table()))
		}
		return printRoutes(c.OutOrStdout(), admin.Routes(g.Table()))
	}
	return c
}

// printRoutes prints one line a path, and one for an RPC without any. A binding
// that is skipped has the reason in its line.
func printRoutes(w io.Writer, routes []admin.Route) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "HTTP\tPATH\tRPC\tUPSTREAM\tPOLICIES")
	for _, r := range routes {
		verb, path := r.Verb, r.Path
		if verb == "" {
			verb, path = "-", "(gRPC only)"
		}
		last := policies(r.Policies)
		if r.Skipped != "" {
			last = "not served: " + r.Skipped
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", verb, path, strings.TrimPrefix(r.Method, "/"), upstreams(r), last)
	}
	return tw.Flush()
}

// upstreams are those that an RPC chooses among, the one for the rest first.
func upstreams(r admin.Route) string {
	list := append([]string{r.Upstream}, r.Routes...)
	if r.Mirror != "" {
		list = append(list, "copies to "+r.Mirror)
	}
	return strings.Join(list, ", ")
}

func policies(set map[string]string) string {
	if len(set) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(set))
	for _, k := range slices.Sorted(maps.Keys(set)) {
		parts = append(parts, k+"="+set[k])
	}
	return strings.Join(parts, " ")
}

// count says how many there are of a thing.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// bindings counts the HTTP bindings; one on a path with and without its version
// is one.
func bindings(routes []admin.Route) int {
	n := 0
	for _, r := range routes {
		if r.Verb != "" && r.Path != r.OpenPath && r.Skipped == "" {
			n++
		}
	}
	return n
}

// printMerged prints the configuration with its defaults, and below it, as
// comments so that the whole stays a configuration, each RPC's policies and
// where each value comes from.
func printMerged(w io.Writer, g *live.Gateway, secrets bool) error {
	file := g.Table().File
	if secrets {
		file = file.WithSecrets()
	}
	if err := file.Print(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, "\n# Policies in force:"); err != nil {
		return err
	}
	for _, p := range g.Table().Methods {
		if _, err := fmt.Fprintf(w, "# %s\n", strings.TrimPrefix(p.Name, "/")); err != nil {
			return err
		}
		if err := p.Effective.Print(w, "#   "); err != nil {
			return err
		}
		for _, k := range p.Keys {
			if _, err := fmt.Fprintf(w, "#   key of %s\n", k); err != nil {
				return err
			}
		}
	}
	return nil
}
