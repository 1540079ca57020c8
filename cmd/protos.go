package cmd

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// optionFiles are what a contract imports to declare policies and compositions.
// `make generate` copies them from proto/, without the rules of validation.
//
//go:embed protos
var optionFiles embed.FS

func (a *App) protos() *cobra.Command {
	return &cobra.Command{
		Use:   "protos DIR",
		Short: "Write the .proto files that contracts import to declare policies",
		Long: "Write the files of Gatehouse's options into the folder DIR, for contracts that import\n" +
			"them: gatehouse/policy/v1, gatehouse/compose/v1, and google/api, which they stand\n" +
			"beside. Files that are there already are replaced. DIR belongs in the import path of\n" +
			"protoc, or is a module of buf's workspace.",
		Example: "  gatehouse protos third_party\n" +
			"  protoc -I third_party -I proto --include_imports --include_source_info -o shop.binpb shop.proto",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return wrongUse(c, "DIR is missing")
			}
			return NoArgs(c, args[1:])
		},
		RunE: func(c *cobra.Command, args []string) error { return writeOptionFiles(c, args[0]) },
	}
}

func writeOptionFiles(c *cobra.Command, dir string) error {
	files, err := fs.Sub(optionFiles, "protos")
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // so are their folders: contracts are for everybody to read
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // the same
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), path)
		return err
	})
}
