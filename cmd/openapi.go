package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/internal/openapi"
)

func (a *App) openAPI() *cobra.Command {
	c := &cobra.Command{
		Use:   "openapi --config FILE",
		Short: "Write the OpenAPI 3.1 document of what is served",
		Long: "Write the OpenAPI 3.1 document of what the configuration serves: routes, messages,\n" +
			"errors, and what policies promise. The admin listener of a gateway that runs serves\n" +
			"the same at /openapi.json and /openapi.yaml.",
		Example: "  gatehouse openapi --config gatehouse.yaml > openapi.json\n" +
			"  gatehouse openapi --config gatehouse.yaml --version v1 --select 'shop.reviews.v1.*' --format yaml",
		Args: NoArgs,
	}
	file := configFlag(c)
	version := c.Flags().String("version", "", "the document of one `VERSION`: the RPCs that belong to it (default all RPCs)")
	selects := c.Flags().StringArray("select", nil, "only RPCs that `PATTERN` names, as in expose.select; may be given several times")
	format := c.Flags().String("format", string(openapi.JSON), "`FORMAT`: json or yaml")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f := openapi.Format(*format); f != openapi.JSON && f != openapi.YAML {
			return wrongUse(c, "--format: unknown format %q: want json or yaml", *format)
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
		source, err := selected(g.Table().OpenAPI.Source(), *selects)
		if err != nil {
			return wrongUse(c, "%w", err)
		}
		doc, err := source.Document(*version)
		if err != nil {
			return wrongUse(c, "--version: %w", err)
		}
		return writeDocument(c.OutOrStdout(), doc, openapi.Format(*format))
	}
	return c
}

// selected is the source with the RPCs that some of the patterns name; without
// patterns, with all.
func selected(s *openapi.Source, patterns []string) (*openapi.Source, error) {
	if len(patterns) == 0 {
		return s, nil
	}
	some := &openapi.Source{Config: s.Config, Comment: s.Comment}
	for _, pattern := range patterns {
		if !slices.ContainsFunc(s.Methods, func(m *openapi.Method) bool { return config.Match(pattern, m.Desc.FullName()) }) {
			return nil, fmt.Errorf("--select: %q names no RPC that is exposed", pattern)
		}
	}
	for _, m := range s.Methods {
		if slices.ContainsFunc(patterns, func(pattern string) bool { return config.Match(pattern, m.Desc.FullName()) }) {
			some.Methods = append(some.Methods, m)
		}
	}
	return some, nil
}

// writeDocument writes a document for people and for version control: JSON on many lines.
func writeDocument(w io.Writer, doc *openapi.Document, format openapi.Format) error {
	text, err := doc.Write(format)
	if err != nil {
		return err
	}
	if format == openapi.JSON {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			return err
		}
		text = indented.Bytes()
	}
	_, err = w.Write(text)
	return err
}
