package hostile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

// uploadSize is just below the largest message taken.
const uploadSize = 4<<20 - 1<<10

// uploadAttacks are clients that send much at once.
func uploadAttacks() []hostile.Attack {
	var all []hostile.Attack
	for _, door := range []string{hostile.Native, hostile.GRPC, hostile.GRPCWeb} {
		all = append(all, gzipped(door))
	}
	for _, door := range []string{hostile.Native, hostile.GRPC, hostile.REST2} {
		all = append(all, uploads(door))
	}
	all = append(all, unfinished(hostile.Native), unfinished(hostile.GRPC), announced())
	all = append(all, stalled(hostile.REST2), stalled(hostile.REST1))
	all = append(all, withoutEnd(hostile.Native), withoutEnd(hostile.GRPC))
	all = append(all, headers(hostile.Native), headers(hostile.GRPC), headers(hostile.REST2))
	all = append(all, inPart(hostile.Native), inPart(hostile.GRPC))
	all = append(all, tinyFrames(hostile.Native), tinyFrames(hostile.GRPC))
	return append(all, tinyFrames(hostile.REST2), endless(hostile.Native), endless(hostile.GRPC))
}

// gzipped sends 90 messages of zeros, compressed a thousandfold, to a backend that
// does not answer.
func gzipped(door string) hostile.Attack {
	return hostile.Attack{
		Name: "90 calls of 4 KB that decompress to 4 MB", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			message := hostile.Gzipped(hostile.Thing{
				Name: "a", Orders: hostile.Orders{DelayMS: 60_000}, Payload: strings.Repeat("x", uploadSize),
			}.Wire())
			err = tryTo(t, func() error {
				return each(90, func(int) error {
					_, err := conn.Call(hostile.CallHeader(door, "Update", "grpc-encoding", "gzip"), message)
					return err
				})
			})
			if err != nil {
				return err
			}
			return reached(t, "Update", 90)
		},
	}
}

// announced has calls announce messages and send none of them, first large ones, then
// ever smaller ones: together more than the gateway may hold for clients.
func announced() hostile.Attack {
	return hostile.Attack{
		Name: "2,000 calls that announce 300 MB together and send 5 bytes each", Door: hostile.Native, Promise: promiseAnnounced,
		MemoryLimit: memoryLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			left := 0
			var conn *hostile.Conn
			for _, part := range []struct{ calls, perConnection, bytes int }{
				{60, 2, uploadSize}, {800, 100, 60 << 10}, {400, 100, 4 << 10}, {400, 100, 256}, {400, 100, 16},
			} {
				for i := range part.calls {
					if left == 0 || i == 0 {
						var err error
						if conn, err = t.Dial(hostile.Native, hostile.H2{}); err != nil {
							return err
						}
						left = part.perConnection
					}
					left--
					s, err := conn.Open(hostile.GRPCHeader("Update"), false)
					if err != nil {
						return err
					}
					header := binary.BigEndian.AppendUint32([]byte{0}, uint32(part.bytes))
					if err := s.Send(header, false); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// stalled has a hundred connections send all of a body but a byte: together more than
// the gateway may hold for clients.
func stalled(door string) hostile.Attack {
	body := hostile.Thing{Name: "a", Payload: strings.Repeat("x", uploadSize)}.JSON()
	send := func(t *hostile.Target) error {
		conn, err := t.Dial(door, hostile.H2{})
		if err != nil {
			return err
		}
		s, err := conn.Open(hostile.RESTHeader("POST", "/v1/things", "content-type", "application/json"), false)
		if err == nil {
			_ = s.SendInFrames(body[:len(body)-1], 8*hostile.KiB, false) // the gateway may end it
		}
		return err
	}
	if door == hostile.REST1 {
		send = func(t *hostile.Target) error {
			conn, err := t.Slow()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(conn, "POST /v1/things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
			if err == nil {
				_, _ = conn.Write(body[:len(body)-1]) // the gateway may end it
			}
			return err
		}
	}
	return hostile.Attack{
		Name: "100 requests of 4 MB that come but for a byte", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error { return each(100, func(int) error { return send(t) }) })
		},
	}
}

// withoutEnd has calls send most of a message of 4 MB, and many more ever smaller
// messages whole, but not the end of the request, which none of them may be carried
// without.
func withoutEnd(door string) hostile.Attack {
	message := func(bytes int) []byte {
		return hostile.Framed(hostile.Thing{Name: "a", Payload: strings.Repeat("x", bytes)}.Wire())
	}
	large := message(uploadSize)
	open := func(t *hostile.Target, calls int, message []byte) error {
		conn, err := t.Dial(door, hostile.H2{})
		if err != nil {
			return err
		}
		for range calls {
			if s, err := conn.Open(hostile.GRPCHeader("Update"), false); err == nil { // the gateway may end the connection
				_ = s.Send(message, false)
			}
		}
		return nil
	}
	return hostile.Attack{
		Name: "60 requests of 4 MB and 2,200 smaller ones without their end", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				if err := each(60, func(int) error { return open(t, 1, large[:len(large)-1]) }); err != nil {
					return err
				}
				for _, part := range []struct{ connections, bytes int }{
					{10, 60 * hostile.KiB}, {4, 4 * hostile.KiB}, {4, hostile.KiB}, {4, 16},
				} {
					if err := each(part.connections, func(int) error { return open(t, 100, message(part.bytes)) }); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// inPart has a thousand connections send the beginnings of eight messages each, as
// much as a transport holds before anybody reads it.
func inPart(door string) hostile.Attack {
	header := hostile.GRPCHeader("Update", "x-a", strings.Repeat("x", 3_700), "x-b", strings.Repeat("x", 3_700))
	body := append([]byte{0, 0, 0x3f, 0, 0}, bytes.Repeat([]byte{'x'}, 60_000)...)
	return hostile.Attack{
		Name: "the first 60 KB of 8,000 requests of 4 MB, eight on each connection", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				for range 1_000 {
					conn, err := t.Dial(door, hostile.H2{})
					if err != nil {
						return err
					}
					for range 8 {
						s, err := conn.Open(header, false)
						if err != nil {
							break // the gateway may end the connection
						}
						go func() { _ = s.Send(body, false) }() // ends with the connection
					}
				}
				return nil
			})
		},
	}
}

// headers has ten thousand calls send headers of 56 KB each, and nothing more.
func headers(door string) hostile.Attack {
	header := hostile.GRPCHeader("Update")
	if door == hostile.REST2 {
		header = hostile.RESTHeader("PATCH", "/v1/things/a", "content-type", "application/json")
	}
	for i := range 14 {
		header = append(header, fmt.Sprintf("x-%d", i), strings.Repeat("x", 4_000))
	}
	return hostile.Attack{
		Name: "10,000 calls of headers of 56 KB and no request", Door: door, Promise: promiseProcess,
		MemoryLimit: memoryLimit, Memory: processLimit, Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			return tryTo(t, func() error {
				for range 100 {
					conn, err := t.Dial(door, hostile.H2{})
					if err != nil {
						return err
					}
					for range 100 {
						if _, err := conn.Open(header, false); err != nil {
							break // the gateway may end the connection
						}
					}
				}
				return nil
			})
		},
	}
}

// unfinished sends a hundred health checks of 4 MiB each, all but their last bytes.
func unfinished(door string) hostile.Attack {
	return hostile.Attack{
		Name: "100 health checks of 4 MB that do not end", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			header := hostile.GRPCHeader("")
			header[slices.Index(header, ":path")+1] = "/grpc.health.v1.Health/Check"
			body := hostile.Framed(bytes.Repeat([]byte{0x0a, 0}, uploadSize/2)) // no service, very often
			return tryTo(t, func() error {
				return each(100, func(int) error {
					s, err := conn.Open(header, false)
					if err != nil {
						return err
					}
					_ = s.Send(body[:len(body)-1], false) // the gateway may end it
					return nil
				})
			})
		},
	}
}

// endless goes on sending after the one message of a unary call.
func endless(door string) hostile.Attack {
	return hostile.Attack{
		Name: "a body without end behind the request of a unary call", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			s, err := conn.Open(hostile.GRPCHeader("Update"), false)
			if err != nil {
				return err
			}
			if err := s.Send(hostile.Framed(hostile.Thing{Name: "a", Orders: hostile.Orders{DelayMS: 60_000}}.Wire()), false); err != nil {
				return err
			}
			return tryTo(t, func() error {
				more := bytes.Repeat(hostile.Framed(hostile.Thing{Name: "b"}.Wire()), 10_000)
				for s.Send(more, false) == nil { // the gateway may end it
				}
				return nil
			})
		},
	}
}

// uploads sends a hundred messages of 4 MiB at once, each a piece at a time. All must
// be answered in the end.
func uploads(door string) hostile.Attack {
	thing := hostile.Thing{Name: "a", Orders: hostile.Orders{Literal: true}, Payload: strings.Repeat("x", uploadSize)}
	header, body := hostile.GRPCHeader("Once"), hostile.Framed(thing.Wire())
	if door == hostile.REST2 {
		header, body = hostile.RESTHeader("POST", "/v1/things", "content-type", "application/json"), thing.JSON()
	}
	return hostile.Attack{
		Name: "100 uploads of 4 MB at once", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			return allAtOnce(100, func(int) error {
				s, err := conn.Call(header, body)
				if err != nil {
					return err
				}
				return succeeded(s)
			})
		},
	}
}

// succeeded wants the call to be answered without an error.
func succeeded(s *hostile.Stream) error {
	answer, err := s.Wait()
	if err != nil {
		return err
	}
	if code := answer.Header["grpc-status"]; answer.Header[":status"] != "200" || code != "" && code != "0" {
		return fmt.Errorf("answered %v %.200s", answer.Header, answer.Body)
	}
	return nil
}

// tinyFrames sends bodies in frames of one byte, on a hundred streams.
func tinyFrames(door string) hostile.Attack {
	header := hostile.GRPCHeader("Update")
	body := append([]byte{0, 0, 0x3f, 0, 0}, bytes.Repeat([]byte{'x'}, 60_000)...) // the beginning of a message of 4 MB
	if door == hostile.REST2 {
		header = hostile.RESTHeader("PATCH", "/v1/things/a", "content-type", "application/json")
	}
	return hostile.Attack{
		Name: "frames of one byte on 100 streams", Door: door, Promise: promiseConnection,
		Env: tight, Memory: holding(connectionLimit), Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(door, hostile.H2{})
			if err != nil {
				return err
			}
			return tryTo(t, func() error {
				return each(100, func(int) error {
					s, err := conn.Open(header, false)
					if err != nil {
						return err
					}
					return s.SendInFrames(body, 1, false)
				})
			})
		},
	}
}
