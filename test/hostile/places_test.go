package hostile_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const (
	promisePlaces = "A client that keeps its request back holds no place that others need"
	promiseFaults = "Nothing that a client sends has a breaker refuse others"
)

func placeAttacks() (all []hostile.Attack) {
	for _, door := range []string{hostile.Native, hostile.GRPC, hostile.Connect, hostile.REST2, hostile.REST1} {
		all = append(all, hostile.Attack{
			Name: "ten calls without a message, at a cap of five", Door: door, Promise: promisePlaces, Innocent: mostInnocents, Env: tight,
			Policies: map[string]string{"Get": "auth: {public: true}, concurrency: {limit: 5}"},
			Play:     func(t *hostile.Target) error { return keepBack(t, door, "Get", 1, 10) },
		}, hostile.Attack{
			Name: "a call without a message, and a timeout of 1 s", Door: door, Promise: promisePlaces,
			Policies: map[string]string{"Get": "auth: {public: true}, timeout: 1s"},
			Play:     func(t *hostile.Target) error { return endsLate(t, door) },
		})
		if door != hostile.Native && door != hostile.REST2 {
			continue
		}
		all = append(all, hostile.Attack{
			Name: "two connections with a hundred calls of another RPC each, without a message, under load shedding", Door: door, Promise: promisePlaces,
			Innocent: mostInnocents, Env: tight, Config: "shedding: {enabled: true, max_limit: 20}",
			Play: func(t *hostile.Target) error { return keepBack(t, door, "Update", 2, 100) },
		})
	}
	return append(all, hostile.Attack{
		Name: "calls that the backend never answers, under load shedding", Door: hostile.Native, Promise: promisePlaces,
		Policies: map[string]string{"Update": "auth: {public: true}, timeout: 0s"}, Config: "shedding: {enabled: true, max_limit: 20}",
		Play: hangAll,
	}, hostile.Attack{
		Name: "a hundred calls without a message while a breaker finds out whether the backend is back", Door: hostile.Native, Promise: promiseFaults,
		Policies: map[string]string{"Get": "auth: {public: true}, breaker: {kind: three-state, window: 10m, open_time: 500ms}"},
		Play:     holdProbes,
	}, brokenRequests(hostile.Native), brokenRequests(hostile.GRPC), brokenRequests(hostile.Connect), thirtyBroken())
}

// keepBack opens calls that send headers and nothing else, and returns when the
// gateway has them.
func keepBack(t *hostile.Target, door, rpc string, connections, each int) error {
	for range connections {
		if err := openSilent(t, door, rpc, each); err != nil {
			return err
		}
	}
	return eventually(t, "the gateway has all calls", func() (bool, error) {
		n, err := callsOf(t, rpc)
		return n >= connections*each, err
	})
}

// callsOf is how many calls of an RPC have come, those among them that run.
func callsOf(t *hostile.Target, rpc string) (n int, err error) {
	text, err := fetch(t, "http://"+t.Admin+"/metrics")
	method := fmt.Sprintf("method=%q", "/"+hostile.Service+"/"+rpc)
	for row := range strings.Lines(text) {
		if strings.HasPrefix(row, "gatehouse_calls_") && strings.Contains(row, method) {
			var more int
			_, scan := fmt.Sscanf(row[strings.LastIndexByte(row, ' '):], "%d", &more)
			n, err = n+more, errors.Join(err, scan)
		}
	}
	return n, err
}

func openSilent(t *hostile.Target, door, rpc string, n int) error {
	verbs := map[string]string{"Get": http.MethodGet, "Update": http.MethodPatch}
	const path = "/v1/things/silent"
	if door == hostile.REST1 {
		for range n {
			nc, err := t.Slow()
			if err == nil {
				_, err = fmt.Fprintf(nc, "%s %s HTTP/1.1\r\nHost: gatehouse\r\nContent-Length: 9\r\n\r\n", verbs[rpc], path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	conn, err := t.Dial(door, hostile.H2{})
	if err != nil {
		return err
	}
	header := hostile.CallHeader(door, rpc)
	if door == hostile.REST2 {
		header = hostile.RESTHeader(verbs[rpc], path)
	}
	for range n {
		if _, err := conn.Open(header, false); err != nil {
			return err
		}
	}
	return nil
}

// endsLate waits for the end of a call without a message.
func endsLate(t *hostile.Target, door string) error {
	if door == hostile.REST1 {
		nc, err := t.Slow()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(nc, "GET /v1/things/silent HTTP/1.1\r\nHost: gatehouse\r\nContent-Length: 9\r\n\r\n"); err != nil {
			return err
		}
		return within(t, "the end of the call", func() error {
			head := make([]byte, len("HTTP/1.1 408"))
			if _, err := io.ReadFull(nc, head); err != nil {
				return err
			}
			return wanted(string(head), "HTTP/1.1 408")
		})
	}
	conn, err := t.Dial(door, hostile.H2{})
	if err != nil {
		return err
	}
	header, name, want := hostile.CallHeader(door, "Get"), "grpc-status", "4"
	switch door {
	case hostile.Connect:
		name, want = ":status", "504"
	case hostile.REST2:
		header, name, want = hostile.RESTHeader(http.MethodGet, "/v1/things/silent"), ":status", "408"
	}
	s, err := conn.Open(header, false)
	if err != nil {
		return err
	}
	return within(t, "the end of the call", func() error {
		answer, err := s.Wait()
		if err != nil {
			return err
		}
		return wanted(answer.Header[name], want)
	})
}

// hangAll has a backend hang, and waits until the gateway has room for other RPCs.
func hangAll(t *hostile.Target) error {
	conn, err := t.Dial(hostile.Native, hostile.H2{})
	if err != nil {
		return err
	}
	hang := hostile.Framed(hostile.Thing{Orders: hostile.Orders{DelayMS: 1 << 30}}.Wire())
	if err := eventually(t, "the gateway is full", func() (bool, error) {
		for range 50 {
			if s, err := conn.Call(hostile.GRPCHeader("Update"), hang); s == nil { // else it may have been refused before
				return false, err
			}
		}
		code, err := callGet(t, hostile.Thing{})
		return code == "14", err
	}); err != nil {
		return err
	}
	return eventually(t, "there is room for other RPCs", func() (bool, error) {
		code, err := callGet(t, hostile.Thing{})
		return code == "0", err
	})
}

// holdProbes has a breaker open by a backend that fails, keeps calls back while it
// finds out whether that is over, and waits until others are served.
func holdProbes(t *hostile.Target) error {
	for range 100 {
		if _, err := callGet(t, hostile.Thing{Orders: hostile.Orders{Code: 14}}); err != nil {
			return err
		}
	}
	for range 10 {
		if err := openSilent(t, hostile.Native, "Get", 10); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // the attacker's choice: some come when the breaker is half-open
	}
	return eventually(t, "the breaker closes", func() (bool, error) {
		code, err := callGet(t, hostile.Thing{})
		return code == "0", err
	})
}

// brokenRequests sends three requests that are no messages for each good one. The
// backend says INTERNAL of what it cannot read.
func brokenRequests(door string) hostile.Attack {
	name, good, broken := "grpc-status", "0", "3" // INVALID_ARGUMENT
	if door == hostile.Connect {
		name, good, broken = ":status", "200", "400"
	}
	return hostile.Attack{
		Name: "three requests that are no messages for each good one, at a breaker", Door: door, Promise: promiseFaults, Innocent: mostInnocents, Env: tight,
		Policies: map[string]string{"Get": "auth: {public: true}, breaker: {}"},
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			for i := range 400 {
				wire, want := []byte{0x12, 0xff}, broken
				if i%4 == 0 {
					wire, want = nil, good
				}
				s, err := conn.Call(hostile.CallHeader(door, "Get"), hostile.CallBody(door, "Get", wire))
				if err != nil {
					return err
				}
				answer, err := s.Wait()
				if err == nil {
					err = wanted(answer.Header[name], want)
				}
				if err != nil {
					return fmt.Errorf("call %d, with %x for a message: %w", i, wire, err)
				}
			}
			return nil
		},
	}
}

// thirtyBroken sends as many requests that are no messages as open a breaker of three
// states.
func thirtyBroken() hostile.Attack {
	return hostile.Attack{
		Name: "30 requests that are no messages, at a breaker of three states", Door: hostile.Native, Promise: promiseFaults,
		Policies: map[string]string{"Update": "auth: {public: true}, breaker: {kind: three-state}"},
		Play: func(t *hostile.Target) error {
			for range 30 {
				code, err := callOf(t, "Update", hostile.Thing{More: []byte{0x12, 0xff}})
				if err := errors.Join(err, wanted(code, "3")); err != nil {
					return err
				}
			}
			code, err := callOf(t, "Update", hostile.Thing{})
			return errors.Join(err, wanted(code, "0"))
		},
	}
}

// callGet calls Get over a connection of its own and returns the status code.
func callGet(t *hostile.Target, thing hostile.Thing) (code string, err error) {
	return callOf(t, "Get", thing)
}

func callOf(t *hostile.Target, rpc string, thing hostile.Thing) (code string, err error) {
	conn, err := t.Dial(hostile.Native, hostile.H2{})
	if err != nil {
		return "", err
	}
	s, err := conn.Call(hostile.GRPCHeader(rpc), hostile.Framed(thing.Wire()))
	if s == nil {
		return "", err
	}
	answer, err := s.Wait() // also where a refusal came before the message was sent
	return answer.Header["grpc-status"], err
}

// waitLimit bounds how long an attack waits for what a gateway promises.
const waitLimit = 20 * time.Second

// eventually waits until ok says so.
func eventually(t *hostile.Target, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(waitLimit)
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("it never came: %s", what)
		case <-t.Context().Done():
			return t.Context().Err()
		}
	}
}

// within waits for the end of do.
func within(t *hostile.Target, what string, do func() error) error {
	end := make(chan error, 1)
	go func() { end <- do() }()
	select {
	case err := <-end:
		return err
	case <-time.After(waitLimit):
		return fmt.Errorf("it never came: %s", what)
	case <-t.Context().Done():
		return t.Context().Err()
	}
}

func wanted(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

func fetch(t *hostile.Target, url string) (string, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}
