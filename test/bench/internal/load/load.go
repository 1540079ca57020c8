// Package load sends one request over and over and takes the time. Over HTTP/1.1 it
// writes prepared bytes to plain connections and parses no more of an answer than it
// needs, because it shares its processors with what it measures; over gRPC it is
// grpc-go's client with messages that are bytes.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/stat"
)

// Request is what is sent. Path includes the query. A Body is JSON.
type Request struct {
	Method, Path string
	Body         []byte
	Token        string // a bearer token; empty for none
}

// Answer is what every response must be.
type Answer struct {
	Status int
	Length int // of the body, in bytes, without its framing
}

// Result is one measurement.
type Result struct {
	Requests  int
	Elapsed   time.Duration
	latencies []time.Duration // ascending
}

// PerSecond is the number of requests answered in a second.
func (r Result) PerSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }

// Quantile is the latency that the share q of all requests did not exceed.
func (r Result) Quantile(q float64) time.Duration { return stat.Quantile(r.latencies, q) }

// Client holds open connections to one address. Its methods must not be called
// at the same time.
type Client struct {
	callers []caller
	close   func()
}

// caller sends one request at a time and waits for the answer.
type caller interface {
	// begin is called before a measurement, whose last answer must come before ctx's
	// deadline.
	begin(ctx context.Context) error
	call(ctx context.Context) error
}

// grace is how long answers may still take when the time of a measurement is
// over. One that takes longer is an error.
const grace = 10 * time.Second

// Dial opens n connections to addr, on which each request must be answered as
// want says.
func Dial(ctx context.Context, addr string, n int, req Request, want Answer) (*Client, error) {
	var conns []*conn
	c := &Client{close: func() {
		for _, one := range conns {
			_ = one.Close()
		}
	}}
	request := encode(addr, req)
	var d net.Dialer
	for range n {
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("connect the load generator: %w", err)
		}
		one := newConn(nc, request, want)
		conns, c.callers = append(conns, one), append(c.callers, one)
	}
	return c, nil
}

// Close closes the connections.
func (c *Client) Close() { c.close() }

// encode writes the request as it goes over the wire.
func encode(host string, r Request) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n", r.Method, r.Path, host)
	if r.Token != "" {
		b.WriteString("Authorization: Bearer " + r.Token + "\r\n")
	}
	if len(r.Body) > 0 {
		b.WriteString("Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(r.Body)) + "\r\n")
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), r.Body...)
}

// Closed sends on every connection, each time as soon as the answer before is
// there, for the time d. Latency is measured from the moment of sending, so a
// server that stalls is asked less: the rate is the result, the latencies are
// those under a full queue.
func (c *Client) Closed(ctx context.Context, d time.Duration) (Result, error) {
	return c.run(ctx, d, func(start time.Time) func() (time.Time, bool) {
		return func() (time.Time, bool) {
			now := time.Now()
			return now, now.Sub(start) < d
		}
	})
}

// Open sends at a constant rate, in requests per second, for the time d.
// Latency is measured from the moment at which the request was due, whether or
// not a connection was free then: a stall is felt by all who came during it.
func (c *Client) Open(ctx context.Context, rate float64, d time.Duration) (Result, error) {
	if rate <= 0 {
		return Result{}, fmt.Errorf("rate %v: want more than 0 requests per second", rate)
	}
	var ticket atomic.Int64
	return c.run(ctx, d, func(start time.Time) func() (time.Time, bool) {
		return func() (time.Time, bool) {
			after := time.Duration(float64(ticket.Add(1)-1) / rate * float64(time.Second))
			if after >= d {
				return time.Time{}, false
			}
			due := start.Add(after)
			wait(ctx, time.Until(due))
			return due, true
		}
	})
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// run lets each connection send whenever next says so. What next returns is the
// moment from which the latency counts, and whether there is one more.
func (c *Client) run(ctx context.Context, d time.Duration, begin func(time.Time) func() (time.Time, bool)) (Result, error) {
	perCaller := make([][]time.Duration, len(c.callers))
	errs := make([]error, len(c.callers))
	start := time.Now()
	next := begin(start)
	ctx, cancel := context.WithDeadline(ctx, start.Add(d+grace))
	defer cancel()
	var all sync.WaitGroup
	for i, one := range c.callers {
		all.Go(func() { perCaller[i], errs[i] = repeat(ctx, one, next) })
	}
	all.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return Result{}, err
	}
	latencies := slices.Concat(perCaller...)
	slices.Sort(latencies)
	return Result{Requests: len(latencies), Elapsed: elapsed, latencies: latencies}, nil
}

func repeat(ctx context.Context, one caller, next func() (time.Time, bool)) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, 1<<14)
	if err := one.begin(ctx); err != nil {
		return nil, err
	}
	for {
		from, more := next()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !more {
			return latencies, nil
		}
		if err := one.call(ctx); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(from))
	}
}
