package hostile_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

// waitingAttacks are clients whose answers wait, since they have not taken others.
func waitingAttacks() (all []hostile.Attack) {
	for _, door := range []string{hostile.Native, hostile.GRPC, hostile.REST2} {
		all = append(all, hostile.Attack{
			Name: "ten calls whose answers wait for others to be read, at a cap of five", Door: door, Promise: promisePlaces,
			Innocent: mostInnocents, Policies: map[string]string{"Get": "auth: {public: true}, concurrency: {limit: 5}"},
			Play: func(t *hostile.Target) error { return letWait(t, door, "gatehouse", "Get", 10) },
		}, hostile.Attack{
			Name: "eighty calls of another RPC whose answers wait for others to be read, under load shedding", Door: door, Promise: promisePlaces,
			Innocent: mostInnocents, Config: "shedding: {enabled: true, max_limit: 20}",
			Play: func(t *hostile.Target) error { return letWait(t, door, "gatehouse", "Update", 80) },
		}, hostile.Attack{
			Name: "a call whose answer waits for others to be read, while a stranger asks for the same", Door: door, Promise: promisePlaces,
			Policies: map[string]string{"Get": `auth: {public: true}, cache: {ttl: 1h, vary: ""}`},
			Play: func(t *hostile.Target) error {
				if err := letWait(t, door, t.HTTP, "Get", 1); err != nil {
					return err
				}
				return within(t, "the stranger's answer", func() error {
					answer, err := ask(t, "127.0.0.1", http.MethodGet, "/v1/things/same", nil, func(*http.Request) {})
					if err == nil && answer.status != http.StatusOK {
						return fmt.Errorf("the stranger got %d: %s", answer.status, answer.body)
					}
					return err
				})
			},
		})
	}
	return append(all, hostile.Attack{
		Name: "calls whose answers wait for others to be read, at a breaker and a limit of 1 s for each attempt", Door: hostile.Native, Promise: promiseFaults,
		Policies: map[string]string{"Get": "auth: {public: true}, breaker: {}, retry: {attempts: 2, attempt_timeout: 1s}"},
		Play: func(t *hostile.Target) error {
			if err := waitAgain(t); err != nil {
				return err
			}
			switch refused, err := metric(t, "gatehouse_breaker_refusals_total{"); {
			case err != nil:
				return err
			case refused > 0:
				return fmt.Errorf("the breaker refused %v calls", refused)
			}
			return nil
		},
	})
}

// waitAgain makes calls whose answers have to wait, as often as they end.
func waitAgain(t *hostile.Target) error {
	return allAtOnce(4, func(int) error {
		conn, err := fill(t, hostile.Native, "gatehouse")
		if err != nil {
			return err
		}
		return each(3, func(int) error {
			streams := make([]*hostile.Stream, 80)
			for i := range streams {
				if streams[i], err = conn.Call(hostile.GRPCHeader("Get"), hostile.Framed(hostile.Thing{Name: "same"}.Wire())); err != nil {
					return err
				}
				if err := conn.Release(streams[i], hostile.KiB); err != nil { // some answers may come after all
					return err
				}
			}
			for _, s := range streams {
				if _, err := s.Wait(); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// letWait makes n calls whose answers have to wait.
func letWait(t *hostile.Target, door, host, rpc string, n int) error {
	conn, err := fill(t, door, host)
	if err != nil {
		return err
	}
	before := t.Backend.Calls(rpc)
	if err := each(n, func(int) error { return callTo(conn, door, host, rpc, hostile.Thing{Name: "same"}) }); err != nil {
		return err
	}
	return reached(t, rpc, before+n)
}

// fill opens a connection and fills its memory with answers that nobody reads.
func fill(t *hostile.Target, door, host string) (*hostile.Conn, error) {
	conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
	if err != nil {
		return nil, err
	}
	held, err := heldBytes(t)
	if err != nil {
		return nil, err
	}
	for range 10 {
		if err := callTo(conn, door, host, "Once", hostile.Thing{Name: "large", Orders: hostile.Orders{Size: answerSize}}); err != nil {
			return nil, err
		}
	}
	return conn, eventually(t, "the gateway holds what the connection may have", func() (bool, error) {
		now, err := heldBytes(t)
		return now > held+connectionLimit-answerSize, err
	})
}

// callTo makes a call by a door and does not wait for its answer.
func callTo(conn *hostile.Conn, door, host, rpc string, thing hostile.Thing) error {
	header, body := hostile.GRPCHeader(rpc), hostile.Framed(thing.Wire())
	if door == hostile.REST2 {
		verb := map[string]string{"Get": http.MethodGet, "Update": http.MethodPatch, "Once": http.MethodPost}[rpc]
		path := "/v1/things/" + thing.Name
		if rpc == "Once" {
			path = "/v1/things"
		} else {
			thing.Name = ""
		}
		header, body = hostile.RESTHeader(verb, path, "content-type", "application/json"), thing.JSON()
		if rpc == "Get" {
			body = nil
		}
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == ":authority" {
			header[i+1] = host
		}
	}
	return send(conn, header, body)
}

// heldBytes is how much the gateway holds for clients, as it says itself.
func heldBytes(t *hostile.Target) (float64, error) { return metric(t, "gatehouse_memory_held_bytes ") }

// metric is the sum of all values of a metric whose line begins so.
func metric(t *hostile.Target, begin string) (sum float64, err error) {
	text, err := fetch(t, "http://"+t.Admin+"/metrics")
	for row := range strings.Lines(text) {
		if strings.HasPrefix(row, begin) {
			n, bad := strconv.ParseFloat(strings.TrimSpace(row[strings.LastIndexByte(row, ' '):]), 64)
			sum, err = sum+n, errors.Join(err, bad)
		}
	}
	return sum, err
}
