package hostile_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const promiseCPU = "No body costs more than ten times what a benign one of its size costs"

func cpuAttacks() []hostile.Attack {
	return []hostile.Attack{
		dear("a body of subnormal numbers", listOf("numbers", "1e-320", bodySize)),
		connected("a body of subnormal numbers", listOf("numbers", "1e-320", bodySize)),
		dear("a body of numbers with long mantissas", listOf("numbers", "22250738585072011360574097967091319759348e-348", bodySize)),
		dear("a body of nested values", listOf("struct\":{\"a", strings.Repeat("[", 90)+strings.Repeat("]", 90), bodySize)),
		dear("the name of a type of a quarter million parts", []byte(`{"any":{"@type":"`+strings.Repeat("a.", hostile.MiB/4)+`a"}}`)),
		matched("a regular expression over one long string", `!request.payload.matches("(a|aa)+b$")`, []byte(`{"payload":"`+strings.Repeat("a", bodySize)+`"}`)),
		matched("a regular expression for each of a million items", `request.items.exists(i, i.word.matches("(a|b)+c"))`, listOf("items", `{}`, bodySize)),
		matched("a regular expression of a counted repetition over one long string", `!request.payload.matches("(a{1,500}){1,2}b")`, []byte(`{"payload":"`+strings.Repeat("a", bodySize)+`"}`)),
		hidden(),
		tokens(),
		late(),
		left(),
	}
}

// tokens sends tokens that nobody signed, full of numbers.
func tokens() hostile.Attack {
	const calls, size = 40, 11_500
	get := func(claims string) func(*hostile.Target) error {
		part := base64.RawURLEncoding.EncodeToString
		token := part([]byte(`{"alg":"ES256","kid":"a"}`)) + "." + part([]byte(claims)) + "." + part(make([]byte, 64))
		return func(t *hostile.Target) error {
			conn, err := t.Dial(hostile.REST2, hostile.H2{})
			if err != nil {
				return err
			}
			return each(calls, func(int) error {
				s, err := conn.Open(hostile.RESTHeader("POST", "/v1/things", "authorization", "Bearer "+token), true)
				if err != nil {
					return err
				}
				_, err = s.Wait()
				return err
			})
		}
	}
	claims := func(item string) string {
		return `{"iss":"https://other.example.com","list":[` + strings.Repeat(item+",", size/(len(item)+1)) + item + `]}`
	}
	return hostile.Attack{
		Name: "40 tokens of subnormal numbers that nobody signed", Door: hostile.REST2, Promise: promiseCPU, CPU: 10,
		Policies: looksInto(`caller.id != "eve"`), Config: someIssuer,
		Benign: get(claims(`3.14159`)), Play: get(claims(`1e-320`)),
	}
}

// hidden sends the long name of a type natively, where nobody but a condition looks at
// it.
func hidden() hostile.Attack {
	const value, words = 15, 18
	call := func(message []byte) func(*hostile.Target) error {
		return func(t *hostile.Target) error {
			conn, err := t.Dial(hostile.Native, hostile.H2{})
			if err != nil {
				return err
			}
			s, err := conn.Call(hostile.GRPCHeader("Once"), hostile.Framed(message))
			if err != nil {
				return err
			}
			_, err = s.Wait()
			return err
		}
	}
	name := strings.Repeat("a.", hostile.MiB/2) + "a"
	return hostile.Attack{
		Name: "the name of a type of half a million parts, which a condition looks into", Door: hostile.Native, Promise: promiseCPU, CPU: 10,
		Policies: looksInto(`dyn(request.any) == 7`), Config: someIssuer,
		Benign: call(hostile.Repeat(words, []byte("a word or two"), len(name)/15)),
		Play:   call(hostile.Repeat(value, protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name), 1)),
	}
}

// dear sends a body that is made to cost much.
func dear(name string, body []byte) hostile.Attack {
	return hostile.Attack{
		Name: name, Door: hostile.REST1, Promise: promiseCPU, CPU: 10,
		Benign: post(listOf("numbers", "3.14159", len(body))), Play: post(body),
	}
}

// connected is dear at the RPC's own path.
func connected(name string, body []byte) hostile.Attack {
	call := func(body []byte) func(*hostile.Target) error {
		return func(t *hostile.Target) error {
			_, err := sendTo(t, "/"+hostile.Service+"/Once", body)
			return err
		}
	}
	a := dear(name, body)
	a.Door, a.Benign, a.Play = "Connect over HTTP/1", call(listOf("numbers", "3.14159", len(body))), call(body)
	return a
}

// matched has a condition look at a body that is made to cost much.
func matched(name, condition string, body []byte) hostile.Attack {
	a := dear(name, body)
	a.Policies, a.Config = looksInto(condition), someIssuer
	return a
}

// late sends a body that takes longer than its call may, with a mistake at its end
// that nobody should come to.
func late() hostile.Attack {
	body := append(listOf("struct\":{\"a", strings.Repeat("[", 90)+strings.Repeat("]", 90), bodySize), 'x')
	return hostile.Attack{
		Name: "a body that takes longer than its call may", Door: hostile.REST1, Promise: "The work on a body ends with its call",
		Policy: "auth: {public: true}, timeout: 20ms",
		Play: func(t *hostile.Target) error {
			status, err := sendREST(t, body)
			if err == nil && status != http.StatusGatewayTimeout && status != http.StatusRequestTimeout {
				return fmt.Errorf("answered %d, want 504: the body was read to its end", status)
			}
			return err
		},
	}
}

// left sends a body of slow numbers and goes. There is a mistake at the body's end that
// nobody should come to.
func left() hostile.Attack {
	numbers := func(item string) []byte {
		return append(listOf("numbers", item, bodySize), 'x')
	}
	ended := func(t *hostile.Target, label string) (bool, error) {
		text, err := askAdmin(t.Admin, "/metrics", t.Admin)
		return countOf(text, "gatehouse_calls_total{", label) > 0, err
	}
	return hostile.Attack{
		Name: "a body of subnormal numbers whose client has gone", Door: hostile.REST1, Promise: "The work on a body ends with its call", CPU: 10,
		Benign: post(numbers("3.14159")),
		Play: func(t *hostile.Target) error {
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", t.HTTP)
			if err != nil {
				return err
			}
			body := numbers("1e-320")
			if err := errors.Join(hostile.Request(c, "POST", "/v1/things", body, "Content-Type: application/json"), c.Close()); err != nil {
				return err
			}
			return eventually(t, "the call's end", func() (bool, error) {
				read, err := ended(t, `status="INVALID_ARGUMENT"`)
				if err == nil && read {
					err = errors.New("the body was read to its end")
				}
				left, more := ended(t, `status="CANCELLED"`)
				return left, errors.Join(err, more)
			})
		},
	}
}

// bodySize is just below the largest body taken.
const bodySize = 4<<20 - 1<<10

// listOf is a JSON object with one member, a list of the item again and again, of
// about so many bytes. A member may open objects, as in `a":{"b`.
func listOf(member, item string, size int) []byte {
	n := max(size/(len(item)+1), 1)
	return fmt.Appendf(nil, `{"%s":[%s%s]}%s`, member, strings.Repeat(item+",", n-1), item, strings.Repeat("}", strings.Count(member, "{")))
}

// post sends a body to Once and reads the answer, whatever it is.
func post(body []byte) func(*hostile.Target) error {
	return func(t *hostile.Target) error {
		_, err := sendREST(t, body)
		return err
	}
}

// sendREST sends a body to Once, over a connection of its own, and returns the status.
func sendREST(t *hostile.Target, body []byte) (int, error) { return sendTo(t, "/v1/things", body) }

func sendTo(t *hostile.Target, path string, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+t.HTTP+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := web.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}
