package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// jsonDepth is how deep headers, claims and key sets may nest.
const jsonDepth = 16

// maxExact is the largest integer up to which a float64 holds every integer.
const maxExact = 1 << 53

// parseObject reads a JSON object that can be read in one way only: valid UTF-8,
// no name twice in one object, no lone surrogates, no numbers that a float64
// would change, nothing behind it, nesting bounded. Two readers of such an object
// see the same (RFC 7493; RFC 7515, section 10.12).
func parseObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errors.New("it is not JSON")
	}
	if loneSurrogate(data) {
		return nil, errors.New("it has half of a surrogate pair")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return m, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if depth == jsonDepth {
			return nil, fmt.Errorf("it nests deeper than %d levels", jsonDepth)
		}
		if t == '{' {
			return parseMembers(d, depth+1)
		}
		return parseElements(d, depth+1)
	case json.Number:
		return parseNumber(t)
	default:
		return t, nil
	}
}

func parseMembers(d *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a name is not a string")
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("the name %q is there twice", name)
		}
		if m[name], err = parseValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

func parseElements(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

// parseNumber refuses integers that would become another: an identity must not
// be rounded to its neighbour's. It refuses numbers, too, that are longer, larger or
// smaller than a token needs: anybody may send a token, and strconv takes up to 15 µs
// for such a number.
func parseNumber(n json.Number) (any, error) {
	const longest, exponentDigits = 40, 2
	if i := strings.IndexAny(n.String(), "eE"); len(n) > longest || i >= 0 && len(strings.TrimLeft(n.String()[i+1:], "+-0")) > exponentDigits {
		return nil, fmt.Errorf("the number %.40s is out of range: it may have %d characters, and an exponent of %d digits", n, longest, exponentDigits)
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("the number %s is too large", n)
	}
	if !strings.ContainsAny(n.String(), ".eE") && math.Abs(f) >= maxExact {
		return nil, fmt.Errorf("the integer %s is too large: write it as a string", n)
	}
	return f, nil
}

// loneSurrogate finds an escaped half of a pair, which encoding/json would
// replace, so that two different strings become one. data is valid JSON.
func loneSurrogate(data []byte) bool {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++
		switch r := escapedRune(data[i-1:]); {
		case r < 0xd800 || r > 0xdfff:
		case r > 0xdbff:
			return true
		default:
			if low := escapedRune(data[i+5:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 5 // to the backslash of the second half, which is a letter on
		}
	}
	return false
}

// escapedRune is the value of the \uXXXX with which data begins, -1 for none.
func escapedRune(data []byte) rune {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range data[2:6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 {
			return -1
		}
		r = r<<4 | rune(digit)
	}
	return r
}
