package hostile_test

import (
	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const promiseConnection = "One client connection holds at most 16 MiB"

// holding is the bound of memory for a client that the gateway holds so many bytes
// for: Go lets the heap grow by as much again until it collects, and the process
// takes some for itself, for stacks and the buffers of transports.
func holding(bytes int64) int64 { return 2*bytes + 16*hostile.MiB }

func memoryAttacks() []hostile.Attack {
	return []hostile.Attack{
		unread(hostile.Native), unread(hostile.GRPC),
	}
}

// unread has a hundred calls answered on a connection whose window is closed.
func unread(door string) hostile.Attack {
	return hostile.Attack{
		Known: "answers that nobody takes are not bounded yet",
		Name:  "100 unary answers of 3.9 MB that nobody reads", Door: door, Promise: promiseConnection,
		Memory: holding(16 * hostile.MiB), Innocent: 0.9,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
			if err != nil {
				return err
			}
			message := hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: 3_900_000}}.Wire())
			return each(100, func(int) error {
				_, err := conn.Call(hostile.GRPCHeader("Get"), message)
				return err
			})
		},
	}
}
