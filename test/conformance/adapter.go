package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
)

// Listeners of the gateway.
const (
	DoorGRPC = "grpc" // the listener for native gRPC
	DoorHTTP = "http" // the listener for all protocols, over h2c or TLS
)

// Adapter is a server under test, as the runner knows it.
type Adapter struct {
	// Backend is the program of a server of the suite that speaks gRPC.
	Backend string
	// Gatehouse is the gateway's program; "" puts nothing between the runner
	// and the backend, which tells the suite's own findings from the gateway's.
	Gatehouse string
	// Image is a file with the suite's contract; see [WriteImage].
	Image string
	// Door is the listener of the gateway that is tested.
	Door string
}

// Run reads the runner's request, starts what it asks for, answers where it
// listens, and ends it all when ctx ends. The runner closes its side of in as
// soon as it has asked, so that is no reason to end.
func (a *Adapter) Run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := ReadRequest(in)
	if err != nil {
		cancel()
		return err
	}
	backend, resp, err := a.startBackend(ctx, req)
	if err != nil {
		cancel()
		return err
	}
	defer func() { cancel(); <-backend.done }()
	if a.Gatehouse == "" {
		return a.serve(ctx, resp, out, backend, backend)
	}
	gatewayCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	gateway, resp, err := a.startGateway(gatewayCtx, req, hostPort(resp))
	if err != nil {
		return err
	}
	// The gateway goes first: it drains while the backend still answers.
	defer func() { stop(); err = errors.Join(err, gateway.end()) }()
	return a.serve(ctx, resp, out, backend, gateway.process)
}

// serve answers the runner and waits for the end, which may only be ctx's.
func (a *Adapter) serve(ctx context.Context, resp *Response, out io.Writer, backend, gateway *process) error {
	if _, err := resp.WriteTo(out); err != nil {
		return fmt.Errorf("answer the runner: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-backend.done:
	case <-gateway.done:
	}
	select {
	case <-ctx.Done(): // all end at once
		return nil
	default:
	}
	select {
	case <-backend.done:
		return backend.failed()
	default:
		return gateway.failed()
	}
}

// What the gateway speaks to a backend, as values of the suite's enums.
const (
	protocolGRPC = 2
	httpVersion2 = 2
)

// startBackend starts the suite's server, in clear text and for gRPC behind a
// gateway: TLS and the protocol that is tested are then the gateway's to speak.
func (a *Adapter) startBackend(ctx context.Context, req *Request) (*process, *Response, error) {
	asked := *req
	if a.Gatehouse != "" {
		asked.UseTLS, asked.ClientCA, asked.Cert, asked.Key = false, nil, nil, nil
		asked.Protocol, asked.HTTPVersion = protocolGRPC, httpVersion2
	}
	var question bytes.Buffer
	if _, err := asked.WriteTo(&question); err != nil {
		return nil, nil, err
	}
	answer, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer answer.Close()
	cmd := exec.CommandContext(ctx, a.Backend)
	cmd.Stdin, cmd.Stdout = &question, stdout
	p, err := start(cmd, new(output))
	_ = stdout.Close() // the backend's alone, so that its end is the answer's end
	if err != nil {
		return nil, nil, err
	}
	resp, err := ReadResponse(answer)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %v", a.Backend, err, p.output)
	}
	return p, resp, nil
}

func hostPort(r *Response) string {
	host := r.Host
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.FormatUint(r.Port, 10))
}
