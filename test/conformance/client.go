package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// parallel is how many calls of the suite are under way at once.
const parallel = 8

// RunClient is a client under test, as the runner knows it: it reads the runner's
// calls, makes each through a gateway, and answers how it ended, until the runner
// has no more or ctx ends. Each server of the runner has a gateway of its own.
func (a *Adapter) RunClient(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	c := &client{adapter: a, servers: map[string]*server{}, out: out}
	defer func() { err = errors.Join(err, c.close()) }()
	slots := make(chan struct{}, parallel)
	var calls sync.WaitGroup
	defer calls.Wait()
	asked := readCalls(ctx, in)
	for {
		var next asking
		select {
		case next = <-asked:
		case <-ctx.Done():
			return nil
		}
		if next.err == io.EOF {
			return nil
		}
		if next.err != nil {
			return next.err
		}
		cc, err := c.connection(ctx, next.call)
		if err != nil {
			return err
		}
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			c.answer(next.call.Do(ctx, cc))
		})
	}
}

// asking is a call that the runner asks for, or why there is none.
type asking struct {
	call *Call
	err  error
}

// readCalls reads the runner's calls until there is an error. Reading cannot be
// cancelled, and so has a goroutine of its own.
func readCalls(ctx context.Context, in io.Reader) <-chan asking {
	asked := make(chan asking)
	go func() {
		for r := bufio.NewReader(in); ; {
			call, err := ReadCall(r)
			select {
			case asked <- asking{call, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return asked
}

// client makes the runner's calls.
type client struct {
	adapter *Adapter
	servers map[string]*server // by address

	mu  sync.Mutex
	out io.Writer
	err error // of writing to out
}

// server is a server of the runner, with the gateway in front of it.
type server struct {
	cc   *grpc.ClientConn
	stop func() error // ends the gateway
}

// connection is the one to the gateway in front of the server that is to be called.
func (c *client) connection(ctx context.Context, call *Call) (*grpc.ClientConn, error) {
	if c.adapter.Gatehouse != "" && len(call.Headers[expectCompression]) > 0 {
		// Compression is between neighbours: the gateway sends on without it what
		// came compressed.
		call.Headers.Set(expectCompression, compressionIdentity)
	}
	address := net.JoinHostPort(call.Host, strconv.FormatUint(call.Port, 10))
	if s := c.servers[address]; s != nil {
		return s.cc, nil
	}
	s := &server{stop: func() error { return nil }}
	target := address
	if c.adapter.Gatehouse != "" {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		gateway, resp, err := c.adapter.startGateway(ctx, &Request{}, address)
		if err != nil {
			cancel()
			return nil, err
		}
		s.stop = func() error { cancel(); return gateway.end() }
		target = hostPort(resp)
	}
	c.servers[address] = s
	var err error
	s.cc, err = grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})),
		grpc.WithStatsHandler(witness{}), grpc.WithDisableRetry())
	return s.cc, err
}

// answer tells the runner how a call ended.
func (c *client) answer(r *Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := r.WriteTo(c.out); err != nil && c.err == nil {
		c.err = fmt.Errorf("answer the runner: %w", err)
	}
}

func (c *client) close() error {
	err := c.err
	for _, s := range c.servers {
		if s.cc != nil {
			err = errors.Join(err, s.cc.Close())
		}
		err = errors.Join(err, s.stop())
	}
	return err
}
