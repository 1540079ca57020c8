package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	// maxAPIKey is how long a key may be that is looked at.
	maxAPIKey = 4 << 10

	keyInvalid = "the API key is not valid"
)

// HashKey is the SHA-256 of an API key in hexadecimal, as a file of keys has it.
// Keys must be random, with 128 bits at least: the hash is not salted.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// apiKeys knows callers by a key in a header.
type apiKeys struct {
	name   string
	header string
	file   *watched[keyList]
}

// keyList is a file of keys by their hashes. Looking a hash up takes a time that
// depends on the hash only, of which the sender of a key learns nothing: nobody
// can steer a SHA-256 towards another, byte by byte.
type keyList map[[sha256.Size]byte]*apiKey

type apiKey struct {
	sum     [sha256.Size]byte
	caller  *call.Caller
	expires time.Time // zero for never
}

// keyEntry is how a key stands in the file.
type keyEntry struct {
	ID      string         `yaml:"id"`
	SHA256  string         `yaml:"sha256"`
	Scopes  []string       `yaml:"scopes"`
	Expires string         `yaml:"expires"`
	Claims  map[string]any `yaml:"claims"`
}

func newAPIKeys(name string, c *policyv1.ApiKeys, o *Options) (*apiKeys, error) {
	k := &apiKeys{name: name, header: c.GetHeader()}
	if k.header == "authorization" || call.RequestReserved(k.header) {
		return nil, interceptors.Wrong("header", "%q has another meaning: use one like \"x-api-key\"", k.header)
	}
	var err error
	k.file, err = watch(c.GetFile(), o.Log, func(data []byte, _ *keyList) (*keyList, error) { return parseKeyList(data, name) })
	if err != nil {
		return nil, interceptors.Wrong("file", "%w", err)
	}
	return k, nil
}

func (k *apiKeys) close() { k.file.close() }

// know returns whose key it is.
func (k *apiKeys) know(presented string) (*call.Caller, error) {
	if len(presented) > maxAPIKey {
		return nil, wrongCredential(keyInvalid, fmt.Errorf("it is longer than %d bytes", maxAPIKey))
	}
	sum := sha256.Sum256([]byte(presented))
	e, ok := (*k.file.get())[sum]
	switch {
	case !ok || subtle.ConstantTimeCompare(e.sum[:], sum[:]) != 1:
		return nil, wrongCredential(keyInvalid, errors.New("the key is not known"))
	case !e.expires.IsZero() && !time.Now().Before(e.expires):
		return nil, wrongCredential(keyInvalid, fmt.Errorf("the key %q has expired", e.caller.ID))
	}
	return e.caller, nil
}

func parseKeyList(data []byte, authenticator string) (*keyList, error) {
	var entries []keyEntry
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&entries); err != nil {
		if err == io.EOF {
			return nil, errors.New("it is empty: want a list of keys, [] for none")
		}
		return nil, fmt.Errorf("want a list of {id, sha256, scopes, expires, claims}: %s", plainYAML(err))
	}
	if err := d.Decode(new(any)); err != io.EOF {
		return nil, errors.New("something follows the list of keys")
	}
	list, ids := make(keyList, len(entries)), map[string]bool{}
	for i, e := range entries {
		k, err := e.parse(authenticator)
		switch {
		case err != nil:
		case ids[e.ID]:
			err = errors.New("id: another key has it too")
		case list[k.sum] != nil:
			err = errors.New("sha256: another key has it too")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (%q): %w", i+1, e.ID, err)
		}
		list[k.sum], ids[e.ID] = k, true
	}
	return &list, nil
}

// plainYAML is what the decoder says, on one line and without our types.
func plainYAML(err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n")
	text = strings.NewReplacer(" in type auth.keyEntry", "", " into []auth.keyEntry", "", " into auth.keyEntry", "", "cannot unmarshal", "cannot be").Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "; ")
}

func (e *keyEntry) parse(authenticator string) (*apiKey, error) {
	k := &apiKey{}
	sum, err := hex.DecodeString(e.SHA256)
	switch {
	case e.ID == "":
		return nil, errors.New("id: it is missing")
	case err != nil || len(sum) != len(k.sum):
		return nil, errors.New("sha256: want 64 hexadecimal digits, as `gatehouse hash` makes them")
	}
	copy(k.sum[:], sum)
	if k.sum == sha256.Sum256(nil) {
		return nil, errors.New("sha256: it is the hash of nothing")
	}
	if e.Expires != "" {
		if k.expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
			return nil, fmt.Errorf("expires: %q is not a time like 2026-01-31T12:00:00Z", e.Expires)
		}
	}
	claims := map[string]any{"sub": e.ID}
	own, err := jsonValue(e.Claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if own, ok := own.(map[string]any); ok {
		maps.Copy(claims, own)
	}
	k.caller = &call.Caller{ID: e.ID, Authenticator: authenticator, Claims: claims, Scopes: e.Scopes}
	return k, nil
}

// jsonValue is a YAML value as JSON has it.
func jsonValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, float64:
		return v, nil
	case int:
		if v >= maxExact || v <= -maxExact {
			return nil, fmt.Errorf("the integer %d is too large: write it as a string", v)
		}
		return float64(v), nil
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			var err error
			if list[i], err = jsonValue(e); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, e := range v {
			var err error
			if m[name], err = jsonValue(e); err != nil {
				return nil, err
			}
		}
		return m, nil
	default:
		return nil, fmt.Errorf("%v is no value of JSON: write it as a string", v)
	}
}
