package hostile_test

import (
	"fmt"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

// answerSize is a little less than the largest message taken.
const answerSize = 3_900_000

// unreadAttacks are clients that do not read the answers of unary calls.
func unreadAttacks() []hostile.Attack {
	all := []hostile.Attack{
		unread(hostile.Native, hostile.GRPCHeader("Get"), hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire())),
		unread(hostile.GRPC, hostile.GRPCHeader("Get"), hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire())),
		unread(hostile.REST2, hostile.RESTHeader("GET", fmt.Sprintf("/v1/things/a?orders.size=%d", answerSize)), nil),
		unread(hostile.Connect, hostile.CallHeader(hostile.Connect, "Get"), hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire()),
		unreadConnections(),
		endedStreams(hostile.Native), endedStreams(hostile.GRPC), smallAnswers(),
		manyAnswers(hostile.Native, hostile.GRPCHeader("Get"), hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire())),
		manyAnswers(hostile.GRPC, hostile.GRPCHeader("Get"), hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize}}.Wire())),
		manyAnswers(hostile.REST2, hostile.RESTHeader("GET", fmt.Sprintf("/v1/things/a?orders.size=%d", answerSize)), nil),
	}
	return all
}

// endedStreams has three hundred streams end after one large answer, on connections
// whose windows are closed.
func endedStreams(door string) hostile.Attack {
	body := hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: answerSize, Count: 1}}.Wire())
	return hostile.Attack{
		Name: "300 streams that end after an answer of 3.9 MB that nobody reads", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				for range 3 {
					conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
					if err != nil {
						return err
					}
					for range 100 {
						if send(conn, hostile.GRPCHeader("Watch"), body) != nil {
							break // the gateway may end the connection
						}
					}
				}
				return nil
			})
		},
	}
}

// manyAnswers has a large answer come for each of a thousand connections, of which nobody
// reads any.
func manyAnswers(door string, header []string, body []byte) hostile.Attack {
	return hostile.Attack{
		Name: "1,000 answers of 3.9 MB at once", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				return each(1000, func(int) error {
					conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
					if err != nil {
						return err
					}
					_ = send(conn, header, body) // the gateway may end the connection
					return nil
				})
			})
		},
	}
}

// smallAnswers has 50,000 answers of 2 KB that nobody reads, on 500 connections.
func smallAnswers() hostile.Attack {
	body := hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{Size: 1_900}}.Wire())
	return hostile.Attack{
		Name: "50,000 answers of 2 KB that nobody reads", Door: hostile.Native, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit - 50*hostile.MiB, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				return each(500, func(int) error {
					conn, err := t.Dial(hostile.Native, hostile.H2{Window: -1, Closed: true})
					if err != nil {
						return err
					}
					for range 100 {
						_ = send(conn, hostile.GRPCHeader("Get"), body) // the gateway may end the connection
					}
					return nil
				})
			})
		},
	}
}

// unread has a hundred calls answered on a connection whose window is closed.
func unread(door string, header []string, body []byte) hostile.Attack {
	return hostile.Attack{
		Name: "100 answers of 3.9 MB that nobody reads", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
			if err != nil {
				return err
			}
			err = tryTo(t, func() error {
				return each(100, func(int) error { return send(conn, header, body) })
			})
			if err != nil {
				return err
			}
			return reached(t, "Get", 100)
		},
	}
}

// unreadConnections has a hundred calls answered on as many connections.
func unreadConnections() hostile.Attack {
	return hostile.Attack{
		Name: "100 connections that do not read an answer of 3.9 MB", Door: hostile.REST1, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			err := each(100, func(int) error {
				conn, err := t.Slow()
				if err != nil {
					return err
				}
				return hostile.Request(conn, "GET", fmt.Sprintf("/v1/things/a?orders.size=%d", answerSize), nil)
			})
			if err != nil {
				return err
			}
			return reached(t, "Get", 100)
		},
	}
}

// flood is a stream without end.
type flood struct {
	what        string
	readers     int // so many that the bound is exceeded if each is given three times its due
	connections int // over HTTP/2; over HTTP/1 each reader has its own
	message     int64
	orders      hostile.Orders
	query       string // that gives the same orders
}

// ownConnection has the streams come over another connection than other calls: a backend
// that sends empty messages as fast as it can has them stand before all other answers.
var ownConnection = map[string]string{"Watch": "{upstream: others}"}

// streamAttacks are clients that do not read streams. Of empty messages there are fewer,
// for a backend of grpc-go takes 20 MiB for each stream.
func streamAttacks() []hostile.Attack {
	var all []hostile.Attack
	web := []string{hostile.Connect, hostile.GRPCWeb} // which have their code in common: one each
	for i, f := range []flood{
		{"500 streams of messages of 16 KiB that nobody reads", 500, 10, 16 * hostile.KiB, hostile.Orders{Count: -1, Size: 16 * hostile.KiB}, "orders.count=-1&orders.size=16384"},
		{"100 streams of empty messages that nobody reads", 100, 10, 0, hostile.Orders{Count: -1, Literal: true}, "orders.count=-1&orders.literal=true"},
	} {
		message := hostile.Framed(hostile.Thing{Name: "a", Orders: f.orders}.Wire())
		all = append(all,
			f.attack(hostile.Native, hostile.GRPCHeader("Watch"), message),
			f.attack(hostile.GRPC, hostile.GRPCHeader("Watch"), message),
			f.attack(web[i], hostile.CallHeader(web[i], "Watch"), message),
			f.attack(hostile.REST2, hostile.RESTHeader("GET", "/v1/things/a:watch?"+f.query), nil),
			f.attackHTTP1(),
		)
	}
	return all
}

// holding is the bound for readers that the gateway holds so much for, and the message
// on its way, in two forms. It is that of [holding] with less for the process's own.
func (f flood) holding(perReader int64) int64 {
	return holding(int64(f.readers)*(perReader+2*f.message)) - 8*hostile.MiB
}

// attack opens the streams on connections whose windows are closed.
func (f flood) attack(door string, header []string, body []byte) hostile.Attack {
	return hostile.Attack{
		Name: f.what, Door: door, Promise: promiseReader,
		Env: tight, Memory: f.holding(256 * hostile.KiB), Routes: ownConnection, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			err := tryTo(t, func() error {
				return each(f.connections, func(int) error {
					conn, err := t.Dial(door, hostile.H2{Window: -1, Closed: true})
					if err != nil {
						return err
					}
					return each(f.readers/f.connections, func(int) error { return send(conn, header, body) })
				})
			})
			if err != nil {
				return err
			}
			return f.stalled(t)
		},
	}
}

// stalled waits until the backend has all streams and can send nothing more: then the
// gateway holds all that it takes. Where the system takes much of a connection, that is
// long in coming.
func (f flood) stalled(t *hostile.Target) error {
	const most, still = 6 * time.Second, time.Second
	if err := reached(t, "Watch", f.readers); err != nil {
		return err
	}
	begin, sent := time.Now(), int64(-1)
	for last := begin; time.Since(last) < still && time.Since(begin) < most; {
		if now := t.Backend.Sent(); now != sent {
			sent, last = now, time.Now()
		}
		if err := pause(t, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// send begins a call and sends its body, nil for none.
func send(conn *hostile.Conn, header []string, body []byte) error {
	if body == nil {
		_, err := conn.Open(header, true)
		return err
	}
	_, err := conn.Call(header, body)
	return err
}

// attackHTTP1 opens each stream on a connection of its own.
func (f flood) attackHTTP1() hostile.Attack {
	return hostile.Attack{
		Name: f.what, Door: hostile.REST1, Promise: promiseReader,
		Env: tight, Memory: f.holding(128 * hostile.KiB), Routes: ownConnection, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			err := each(f.readers, func(int) error {
				conn, err := t.Slow()
				if err != nil {
					return err
				}
				return hostile.Request(conn, "GET", "/v1/things/a:watch?"+f.query, nil)
			})
			if err != nil {
				return err
			}
			return f.stalled(t)
		},
	}
}
