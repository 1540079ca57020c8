package jose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"testing"

	"github.com/c2sp/wycheproof"
)

// published are the files of Wycheproof that have tokens, and how many vectors
// each has.
var published = map[string]int{"signature": 401, "key": 26, "crypto": 83, "encryption": 139}

// jwk is a JSON Web Key.
type jwk map[string]any

// without are copies of keys that lack a member.
func without(list []jwk, member string) []jwk {
	var bare []jwk
	for _, k := range list {
		k = maps.Clone(k)
		delete(k, member)
		bare = append(bare, k)
	}
	return bare
}

// group has vectors that were made with the same keys.
type group struct {
	name     string // which file, and where in it
	verify   []jwk  // keys for a verifier: public ones, or secrets
	private  []jwk
	vectors  []vector
	hasValid bool // it has a JWS that is published as valid
}

// vector is one token and what is published of it.
type vector struct {
	id        string // the file and the vector's number in it
	comment   string
	token     string
	encrypted bool // a JWE
	valid     bool
}

// readGroups reads one file of vectors.
func readGroups(t *testing.T, file string) []group {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, "json_web_"+file+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		TestGroups []struct {
			Comment         string
			Public, Private json.RawMessage
			Tests           []struct {
				TcID            int
				Comment, Result string
				JWS, JWE        json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	var groups []group
	for i, from := range read.TestGroups {
		g := group{name: fmt.Sprintf("%s/%d %s", file, i, from.Comment), private: keys(t, from.Private)}
		if g.verify = keys(t, from.Public); g.verify == nil {
			g.verify = g.private
		}
		for _, test := range from.Tests {
			v := vector{id: fmt.Sprintf("%s-%d", file, test.TcID), comment: test.Comment, valid: test.Result == "valid"}
			if test.Result != "valid" && test.Result != "invalid" {
				t.Fatalf("%s: the result %q is neither valid nor invalid", v.id, test.Result)
			}
			if v.encrypted = test.JWS == nil; v.encrypted {
				v.token = tokenOf(t, test.JWE)
			} else {
				v.token = tokenOf(t, test.JWS)
				g.hasValid = g.hasValid || v.valid
			}
			g.vectors = append(g.vectors, v)
		}
		groups = append(groups, g)
	}
	return groups
}

// keys are those of a key or of a key set; nil for neither.
func keys(t *testing.T, text json.RawMessage) []jwk {
	t.Helper()
	if text == nil {
		return nil
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	if set.Keys != nil {
		return set.Keys
	}
	var one jwk
	if err := json.Unmarshal(text, &one); err != nil {
		t.Fatal(err)
	}
	return []jwk{one}
}

// tokenOf is a token as a header can carry it: the compact serialisation, or the
// one in JSON on one line.
func tokenOf(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		t.Fatal(err)
	}
	return line.String()
}

// jwks is a key set.
func jwks(t *testing.T, list []jwk) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorsByID are all vectors of some groups.
func vectorsByID(groups []group) map[string]vector {
	m := map[string]vector{}
	for _, g := range groups {
		for _, v := range g.vectors {
			m[v.id] = v
		}
	}
	return m
}

func ids(list []vector) (all []string) {
	for _, v := range list {
		all = append(all, v.id)
	}
	return all
}
