package arena

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/contender"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/proc"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/raw"
	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

const (
	startWithin = 20 * time.Second      // until a program must serve
	askEvery    = 10 * time.Millisecond // whether it does
)

// running is a contender that was started.
type running struct {
	process *proc.Process
	addr    string // of the listener to call
	grpc    bool   // it is called by gRPC
}

// start runs a contender.
func (a *arena) start(ctx context.Context, name string, c workload.Case) (*running, error) {
	a.started++
	addrs, err := proc.FreeAddresses(ctx, 3)
	if err != nil {
		return nil, err
	}
	s := contender.Settings{Listen: addrs[0], Backend: a.backend.addr, Case: c, KeySet: a.token.KeySet}
	program, args := a.self, role(name, s)
	if contender.IsGatehouse(name) {
		config := a.file(name, ".yaml")
		if err := contender.WriteConfig(config, name, s, addrs[1], addrs[2]); err != nil {
			return nil, err
		}
		program, args = a.Gatehouse, []string{"serve", "--config", config}
	}
	r := &running{addr: s.Listen, grpc: c.Door != workload.REST}
	if contender.IsGatehouse(name) && c.Door == workload.GRPC {
		r.addr = addrs[1]
	}
	r.process, err = proc.Start(name, a.file(name, ".log"), program, args...)
	return r, err
}

// ready waits until the contender answers the request of the case.
func (r *running) ready(ctx context.Context, x workload.Exchange) error {
	err := r.process.Await(ctx, startWithin, askEvery, func(ctx context.Context) error {
		_, err := r.ask(ctx, x)
		return err
	})
	if err != nil {
		return r.process.Errorf("did not start to serve: %w", err)
	}
	return nil
}

// client takes answers as they are.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
}

// ask sends the case's request once and returns the answer: JSON, or the bytes of the
// message.
func (r *running) ask(ctx context.Context, x workload.Exchange) ([]byte, error) {
	if r.grpc {
		return invoke(ctx, r.addr, x)
	}
	status, got, err := send(ctx, r.addr, x)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s %s is answered with %d %s: %.300s", x.HTTP.Method, x.HTTP.Path, status, http.StatusText(status), got)
	}
	return got, err
}

// invoke calls the case's RPC once and returns the bytes of the answer.
func invoke(ctx context.Context, addr string, x workload.Exchange) ([]byte, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+x.HTTP.Token)
	var answer raw.Frame
	if err := conn.Invoke(ctx, x.RPC, raw.New(x.Wire), &answer, grpc.ForceCodecV2(raw.Codec{})); err != nil {
		return nil, err
	}
	defer answer.Free()
	return answer.Bytes(), nil
}

// send sends the case's request once and returns the answer's status and body.
func send(ctx context.Context, addr string, x workload.Exchange) (status int, got []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, x.HTTP.Method, "http://"+addr+x.HTTP.Path, body(x.HTTP.Body))
	if err != nil {
		return 0, nil, err
	}
	if len(x.HTTP.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if x.HTTP.Token != "" {
		req.Header.Set("Authorization", "Bearer "+x.HTTP.Token)
	}
	resp, err := client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err = io.ReadAll(resp.Body)
	return resp.StatusCode, got, err
}

// backend is the program behind the contenders.
type backend struct {
	process *proc.Process
	addr    string
	control *grpc.ClientConn
}

func (a *arena) startBackend(ctx context.Context) (*backend, error) {
	addrs, err := proc.FreeAddresses(ctx, 1)
	if err != nil {
		return nil, err
	}
	b := &backend{addr: addrs[0]}
	b.control, err = grpc.NewClient("passthrough:///"+b.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw.Codec{})))
	if err != nil {
		return nil, fmt.Errorf("connect to the backend: %w", err)
	}
	first := a.Cases[0] // any will do: it answers all of them
	b.process, err = proc.Start(contender.BackendRole, a.file(contender.BackendRole, ".log"), a.self,
		role(contender.BackendRole, contender.Settings{Listen: b.addr, Case: first})...)
	if err != nil {
		return nil, errors.Join(err, b.control.Close())
	}
	err = b.process.Await(ctx, startWithin, askEvery, func(ctx context.Context) error { return b.call(ctx, contender.LastArm, new(raw.Frame)) })
	if err != nil {
		err = b.process.Errorf("did not start to serve: %w", err)
		b.stop()
		return nil, err
	}
	return b, nil
}

// call asks the backend itself.
func (b *backend) call(ctx context.Context, rpc string, answer *raw.Frame) error {
	return b.control.Invoke(ctx, rpc, raw.New(nil), answer, grpc.WaitForReady(true))
}

func (b *backend) stop() {
	_ = b.control.Close()
	b.process.Stop()
}
