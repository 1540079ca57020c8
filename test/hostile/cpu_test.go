package hostile_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const promiseCPU = "No body costs more than ten times what a benign one of its size costs"

func cpuAttacks() []hostile.Attack {
	return []hostile.Attack{{
		Name: "a body of subnormal numbers", Door: hostile.REST1, Promise: promiseCPU, CPU: 10,
		Benign: post(func() []byte { return listOf("numbers", "3.14159", bodySize) }),
		Play:   post(func() []byte { return listOf("numbers", "1e-320", bodySize) }),
	}, {
		Name: "the name of a type of a quarter million parts", Door: hostile.REST1, Promise: promiseCPU, CPU: 10,
		Benign: post(func() []byte { return listOf("numbers", "3.14159", hostile.MiB/2) }),
		Play: post(func() []byte {
			return []byte(`{"any":{"@type":"` + strings.Repeat("a.", hostile.MiB/4) + `a"}}`)
		}),
	}}
}

// bodySize is just below the largest body taken.
const bodySize = 4<<20 - 1<<10

// listOf is a JSON object with one member, a list of the item again and again, of
// about so many bytes.
func listOf(member, item string, size int) []byte {
	n := size / (len(item) + 1)
	return []byte(fmt.Sprintf(`{%q:[%s%s]}`, member, strings.Repeat(item+",", n-1), item))
}

// post sends a body to Once and reads the answer, whatever it is.
func post(body func() []byte) func(*hostile.Target) error {
	return func(t *hostile.Target) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+t.HTTP+"/v1/things", bytes.NewReader(body()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := web.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
}
