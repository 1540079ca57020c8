package hostile_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-dev/gatehouse/test/hostile"
)

const (
	promiseLog   = "The log stops no call, and the failed calls of one client do not fill it"
	promiseSeen  = "What comes in is seen"
	promiseShown = "The gateway shows strangers only what it serves"
)

// diagnosticsAttacks are about what the gateway tells of itself and of its clients.
func diagnosticsAttacks() []hostile.Attack {
	return []hostile.Attack{
		sleepingReader(), goneReader(), resets(), unexposed(hostile.Native), unexposed(hostile.GRPC),
		{Name: "a page whose name points to the admin port", Door: "admin", Promise: promiseShown, Play: rebind},
		{Name: "requests that cannot be read", Door: hostile.REST1, Promise: promiseSeen, Log: "access: true", Play: garbage},
		{Name: "`OPTIONS *`", Door: hostile.REST1, Promise: promiseSeen, Log: "access: true", Play: optionsOfServer},
	}
}

// sleepingReader leaves the log unread while a thousand calls are made. That the
// gateway ends all the same is seen when it is stopped.
func sleepingReader() hostile.Attack {
	return hostile.Attack{
		Name: "1,000 calls while nobody reads the log", Door: hostile.REST2, Promise: promiseLog,
		Log: "access: true", Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			t.StopReading()
			conn, err := t.Dial(hostile.REST2, hostile.H2{})
			if err != nil {
				return err
			}
			return tryTo(t, func() error {
				return each(1000, func(int) error {
					s, err := conn.Open(hostile.RESTHeader("GET", "/v1/things/a"), true)
					if err != nil {
						return err
					}
					_, err = s.Wait()
					return err
				})
			})
		},
	}
}

// goneReader has the log's reader go away, which the gateway must outlive.
func goneReader() hostile.Attack {
	return hostile.Attack{
		Name: "calls after the log's reader has gone", Door: hostile.Native, Promise: promiseLog,
		Log: "access: true", Innocent: mostInnocents, Play: (*hostile.Target).CloseLog,
	}
}

// resets has the gateway log many calls that cost the client next to nothing.
func resets() hostile.Attack {
	const (
		calls  = 5_000             // more are sent: those above the limit of a connection are no calls
		atMost = 300 * hostile.KiB // of log: what is admitted at once, and some
	)
	return hostile.Attack{
		Name: "5,000 calls that are reset", Door: hostile.Native, Promise: promiseLog,
		Log: "access: true", Innocent: mostInnocents,
		Play: func(t *hostile.Target) error {
			conn, err := t.Dial(hostile.Native, hostile.H2{})
			if err != nil {
				return err
			}
			innocent := t.Backend.Calls("Get")
			err = eventually(t, "the calls' end", func() (bool, error) {
				err := each(500, func(int) error {
					s, err := conn.Open(hostile.GRPCHeader("Watch"), false)
					if err != nil {
						return err
					}
					return s.Reset()
				})
				if err != nil {
					return false, err
				}
				text, err := askAdmin(t.Admin, "/metrics", t.Admin)
				return countOf(text, "gatehouse_calls_total{", `status="CANCELLED"`) >= calls, err
			})
			if err != nil {
				return err
			}
			// The innocent callers' lines are not the attacker's: one of theirs is
			// shorter than this.
			const line = 700
			for range 20 { // two seconds for a log that is too long to come
				if logged := t.Logged() - int64(t.Backend.Calls("Get")-innocent)*2*line; logged > atMost {
					return fmt.Errorf("%d calls made the log longer by %d bytes, want at most %d", calls, logged, atMost)
				}
				if err := pause(t, 100*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// unexposed asks reflection for what is linked into the gateway.
func unexposed(door string) hostile.Attack {
	return hostile.Attack{
		Name: "reflection asked for what is not exposed", Door: door, Promise: promiseShown,
		Play: func(t *hostile.Target) error {
			const fileContainingSymbol, fileAnswer, refusal = 4, 4, 7
			for _, symbol := range []string{"gatehouse.config.v1.Config", "google.protobuf.FileDescriptorProto", "grpc.reflection.v1.ServerReflection"} {
				conn, err := t.Dial(door, hostile.H2{})
				if err != nil {
					return err
				}
				question := protowire.AppendString(protowire.AppendTag(nil, fileContainingSymbol, protowire.BytesType), symbol)
				header := hostile.GRPCHeader("")
				header[5] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
				s, err := conn.Call(header, hostile.Framed(question))
				if err != nil {
					return err
				}
				answer, err := s.Wait()
				if err != nil {
					return err
				}
				if len(answer.Body) < 5 {
					return fmt.Errorf("reflection answered %v", answer.Header)
				}
				if fields := fieldsOf(answer.Body[5:]); fields[fileAnswer] || !fields[refusal] {
					return fmt.Errorf("reflection shows %s", symbol)
				}
			}
			return nil
		},
	}
}

func fieldsOf(message []byte) map[protowire.Number]bool {
	fields := map[protowire.Number]bool{}
	for len(message) > 0 {
		number, _, n := protowire.ConsumeField(message)
		if n < 0 {
			break
		}
		fields[number] = true
		message = message[n:]
	}
	return fields
}

// rebind asks the admin port under a name that an attacker owns.
func rebind(t *hostile.Target) error {
	for _, path := range []string{"/config", "/metrics", "/contract"} {
		if text, err := askAdmin(t.Admin, path, "evil.example:9901"); err == nil {
			return fmt.Errorf("%s was answered: %.60s", path, text)
		}
		if _, err := askAdmin(t.Admin, path, t.Admin); err != nil {
			return err
		}
	}
	return nil
}

// garbage sends requests that the HTTP library refuses.
func garbage(t *hostile.Target) error {
	const times = 20
	for range times {
		if err := writeRequest(t, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"); err != nil {
			return err
		}
	}
	if err := eventually(t, "a line about requests that cannot be read", func() (bool, error) {
		return strings.Contains(t.Said(), `"msg":"a request could not be read"`), nil
	}); err != nil {
		return err
	}
	return eventually(t, "a count of all requests that cannot be read", func() (bool, error) {
		text, err := askAdmin(t.Admin, "/metrics", t.Admin)
		return countOf(text, "gatehouse_unreadable_requests_total{", `status="400"`) == times, err
	})
}

// optionsOfServer asks for the options of the whole server.
func optionsOfServer(t *hostile.Target) error {
	if err := writeRequest(t, "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	return eventually(t, "its line in the log", func() (bool, error) {
		return strings.Contains(t.Said(), `"binding":"OPTIONS *"`), nil
	})
}

// writeRequest sends a request and reads what comes until the connection ends.
func writeRequest(t *hostile.Target, request string) error {
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", t.HTTP)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, request)
	_, more := io.ReadAll(c)
	return errors.Join(err, more, c.Close())
}

// askAdmin asks the admin port under a name. Any status but 200 is an error.
func askAdmin(address, path, host string) (string, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	r.Host, r.Close = host, true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s is answered with %s", path, resp.Status)
	}
	return string(text), err
}

// countOf is the sum of a metric's series that have all that is wanted.
func countOf(metrics, name, label string) (sum float64) {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, name) && strings.Contains(line, label) {
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err == nil {
				sum += v
			}
		}
	}
	return sum
}

func pause(t *hostile.Target, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.Context().Done():
		return t.Context().Err()
	}
}
