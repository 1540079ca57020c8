package cmd_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gatehouse-dev/gatehouse/cmd"
	"github.com/gatehouse-dev/gatehouse/interceptors/auth"
)

var keyAndLine = regexp.MustCompile(`^gh_(\S+)\n- \{id: NAME, sha256: ([0-9a-f]{64})\}\n$`)

// TestHashMakesKeys: each is new, has 32 bytes of chance, and comes with its hash.
func TestHashMakesKeys(t *testing.T) {
	known := map[string]bool{}
	for range 3 {
		code, stdout, stderr := run(t, "hash")
		m := keyAndLine.FindStringSubmatch(stdout)
		if code != 0 || stderr != "" || m == nil {
			t.Fatalf("got %d %q %q", code, stdout, stderr)
		}
		if b, err := base64.RawURLEncoding.DecodeString(m[1]); err != nil || len(b) != 32 {
			t.Errorf("the key %q has %d bytes, %v, want 32", m[1], len(b), err)
		}
		if want := auth.HashKey("gh_" + m[1]); m[2] != want {
			t.Errorf("sha256: %s, want %s", m[2], want)
		}
		if known[m[1]] {
			t.Errorf("the key %q was made twice", m[1])
		}
		known[m[1]] = true
	}
}

func TestHashOfAKeyThatThereIs(t *testing.T) {
	const abc = "- {id: NAME, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n" // FIPS 180-2, appendix B.1
	long := strings.Repeat("k", 4096)
	for _, tc := range []struct {
		name, want string
		stdin      io.Reader
	}{
		{"line", abc, strings.NewReader("abc\n")},
		{"line of Windows", abc, strings.NewReader("abc\r\n")},
		{"no end of line", abc, strings.NewReader("abc")},
		{"longest", "- {id: NAME, sha256: " + auth.HashKey(long) + "}\n", strings.NewReader(long + "\r\n")},
		{"nothing", "--stdin: there is no key", strings.NewReader("")},
		{"empty line", "--stdin: there is no key", strings.NewReader("\n")},
		{"two lines", "--stdin: the key has characters", strings.NewReader("abc\ndef\n")},
		{"space", "--stdin: the key has characters", strings.NewReader("abc \n")},
		{"not ASCII", "--stdin: the key has characters", strings.NewReader("schlüssel\n")},
		{"too long", "--stdin: the key is too long: want at most 4096", strings.NewReader(long + "k\n")},
		{"endless", "--stdin: the key is too long", strings.NewReader(strings.Repeat("k", 1<<20))},
		{"broken", "--stdin: no more", iotest.ErrReader(errors.New("no more"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			app := cmd.App{Stdin: tc.stdin}
			code := app.Run(t.Context(), []string{"hash", "--stdin"}, &stdout, &stderr)
			if good := strings.HasPrefix(tc.want, "- "); good && (code != 0 || stdout.String() != tc.want || stderr.Len() > 0) {
				t.Errorf("got %d %q %q, want %q", code, &stdout, &stderr, tc.want)
			} else if !good && (code != 1 || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "gatehouse: "+tc.want)) {
				t.Errorf("got %d %q %q, want the error %q", code, &stdout, &stderr, tc.want)
			}
		})
	}
}
