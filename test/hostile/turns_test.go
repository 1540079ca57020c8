package hostile_test

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

// turnAttacks have the calls of one client wait for each other.
func turnAttacks() []hostile.Attack { return []hostile.Attack{composed(), beside()} }

// pageSteps are six calls of Get, and one that needs all of them.
func pageSteps() string {
	var steps, names []string
	for i := range 6 {
		steps = append(steps, fmt.Sprintf(`      - {name: s%d, call: %s.Get, request: {name: "request.name + '%[1]d'", orders: request.orders}}`, i, hostile.Service))
		names = append(names, fmt.Sprintf("steps.s%d.name", i))
	}
	steps = append(steps, fmt.Sprintf(`      - {name: last, call: %s.Once, request: {name: %q, orders: request.child.orders}, into: child}`, hostile.Service, strings.Join(names, " + ")))
	return strings.Join(steps, "\n")
}

// composed has large answers kept for a step that takes long. What one composed call
// holds is bounded by itself; one of a client's may hold more than the client may.
func composed() hostile.Attack {
	const onePage = 64 * hostile.MiB // and what the client may hold beside it
	last := hostile.Thing{Orders: hostile.Orders{DelayMS: 60_000}}.Wire()
	request := append(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire(), 17<<3&0x7f|2|0x80, 1, byte(len(last))) // the field child
	request = append(request, last...)
	return hostile.Attack{
		Name: "30 composed calls whose steps have answers of 3.9 MB", Door: hostile.Native, Promise: promiseConnection,
		Env: tight, Memory: holding(onePage + connectionLimit), Innocent: mostInnocents, Steps: pageSteps(),
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(hostile.Native, hostile.H2{})
			if err != nil {
				return err
			}
			if err := each(30, func(int) error { return send(conn, hostile.GRPCHeader("Page"), hostile.Framed(request)) }); err != nil {
				return err
			}
			return reached(t, "Once", 1)
		},
	}
}

// beside sends a body without a length, for which all the room is reserved, beside
// small calls that come without end. It must be answered.
func beside() hostile.Attack {
	return hostile.Attack{
		Name: "a body of unknown length beside small calls without end", Door: hostile.REST2, Promise: promiseTurns,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(hostile.REST2, hostile.H2{})
			if err != nil {
				return err
			}
			var over atomic.Bool
			defer over.Store(true)
			for i := range 40 {
				go func() { // ends with the attack
					header := hostile.RESTHeader("GET", fmt.Sprintf("/v1/things/a?orders.delayMs=%d", 100+11*i))
					for !over.Load() {
						s, err := conn.Open(header, true)
						if err != nil {
							return
						}
						if _, err := s.Wait(); err != nil {
							return
						}
					}
				}()
			}
			if err := reached(t, "Get", 100); err != nil {
				return err
			}
			thing := hostile.Thing{Name: "a", Orders: hostile.Orders{Literal: true}, Payload: strings.Repeat("x", hostile.MiB)}
			s, err := conn.Call(hostile.RESTHeader("POST", "/v1/things", "content-type", "application/json"), thing.JSON())
			if err != nil {
				return err
			}
			return succeeded(s)
		},
	}
}

const promiseTurns = "Calls of one client do not wait for each other for ever"
