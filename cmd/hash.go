package cmd

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

const (
	// keyPrefix tells those who find a key what it is.
	keyPrefix = "gh_"
	// keyBytes is how much of a key is chance.
	keyBytes = 32
	// maxKey is how long a key may be that is read.
	maxKey = 4 << 10
)

func (a *App) hash() *cobra.Command {
	c := &cobra.Command{
		Use:   "hash",
		Short: "Make an API key, or hash one, for a file of `api_keys`",
		Long: "Make a random API key and the line for a file of keys (`api_keys.file`), which has\n" +
			"its SHA-256 only: the key is shown this once. With --stdin, print the line of a key\n" +
			"that there is already. Put the name of who gets the key in the place of NAME.",
		Example: "  gatehouse hash\n" +
			"  gatehouse hash --stdin < key.txt",
		Args: NoArgs,
	}
	given := c.Flags().Bool("stdin", false, "read the key from standard input instead of making one")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, err := newKey(), error(nil)
		if *given {
			key, err = readKey(c.InOrStdin())
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", key)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "- {id: NAME, sha256: %s}\n", auth.HashKey(key))
		return err
	}
	return c
}

// newKey makes a key that nobody can guess, of letters that need no escaping.
func newKey() string {
	b := make([]byte, keyBytes)
	_, _ = rand.Read(b) // never fails
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// readKey reads one line. What clients cannot send in a header is no key.
func readKey(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxKey+2)) // and the end of the line
	if err != nil {
		return "", fmt.Errorf("--stdin: %w", err)
	}
	key := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case key == "":
		return "", errors.New("--stdin: there is no key: want one line")
	case len(key) > maxKey:
		return "", fmt.Errorf("--stdin: the key is too long: want at most %d bytes", maxKey)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("--stdin: the key has characters that no header can carry: want printable ASCII without spaces, on one line")
	}
	return key, nil
}
