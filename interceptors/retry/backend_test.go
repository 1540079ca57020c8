package retry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/breaker"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
	"github.com/gatehouse-dev/gatehouse/test/policytest"
)

// replica is one server of a backend, over a connection in memory.
type replica struct {
	listener *bufconn.Listener

	mu       sync.Mutex
	behave   func(n int, s grpc.ServerStream) error // with the n-th attempt
	attempts int
	previous []string // grpc-previous-rpc-attempts of each
	times    []time.Time
}

// serve is a grpc-go server that does with each attempt what behave says.
func serve(behave func(n int, s grpc.ServerStream) error) *replica {
	return &replica{listener: bufconn.Listen(1 << 16), behave: behave}
}

func (r *replica) handle(_ any, s grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	r.mu.Lock()
	n := r.attempts
	r.attempts++
	r.previous = append(r.previous, strings.Join(md["grpc-previous-rpc-attempts"], ","))
	r.times = append(r.times, time.Now())
	behave := r.behave
	r.mu.Unlock()
	var req call.Message
	if err := s.RecvMsg(&req); err != nil {
		return err
	}
	defer req.Free()
	if string(req.Data.Materialize()) != request {
		return fmt.Errorf("got %q", req.Data.Materialize())
	}
	return behave(n, s)
}

func (r *replica) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts
}

func (r *replica) becomes(behave func(n int, s grpc.ServerStream) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behave = behave
}

const request = "request"

func replies(s grpc.ServerStream) error {
	return s.SendMsg(&call.Message{Data: calltest.Bytes("fine")})
}

func well(_ int, s grpc.ServerStream) error { return replies(s) }

func dead(int, grpc.ServerStream) error { return down.err }

// often fails the given share of attempts, the same ones each time.
func often(share float64) func(int, grpc.ServerStream) error {
	random := rand.New(rand.NewPCG(7, 11))
	var mu sync.Mutex
	return func(_ int, s grpc.ServerStream) error {
		mu.Lock()
		fails := random.Float64() < share
		mu.Unlock()
		if fails {
			return down.err
		}
		return replies(s)
	}
}

// raw serves connections byte by byte.
func raw(r *replica, answer func(*frames)) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := &frames{Framer: http2.NewFramer(c, c), conn: c}
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.PingFrame:
				if !frame.IsAck() {
					_ = f.WritePing(true, frame.Data)
				}
			case *http2.DataFrame:
				if frame.StreamEnded() {
					r.mu.Lock()
					r.attempts++
					r.mu.Unlock()
					f.stream = frame.StreamID
					answer(f)
				}
			}
		}
	}
}

// frames writes to one stream.
type frames struct {
	*http2.Framer
	conn   net.Conn
	stream uint32
}

func (f *frames) headers(pairs ...string) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: block.Bytes(), EndHeaders: true})
}

// rig is a backend with the policies before it, as they stand in the chain.
type rig struct {
	conn     grpc.ClientConnInterface
	breakers *breaker.Breakers
}

// policies of a rig; nil for none.
type policies struct {
	retry   string
	budget  string
	breaker *policyv1.Breaker
	stream  bool
}

// build connects to the replicas by turns. All of it ends with the test: close
// must be called in the bubble.
func build(t *testing.T, p policies, replicas ...*replica) (_ *rig, closeAll func()) {
	t.Helper()
	cc, stop := dial(t, replicas)
	r, _ := newRetries(t, half)
	m := safe(t, p.retry)
	m.Budget, m.ServerStreams = budget(t, p.budget), p.stream
	retries := policytest.Build(t, r, m)
	random := rand.New(rand.NewPCG(1, 2))
	breakers, err := breaker.New(prometheus.NewRegistry(), random.Float64)
	if err != nil {
		t.Fatal(err)
	}
	m.Policy = &policyv1.Policy{Breaker: p.breaker}
	spares := policytest.Build(t, breakers, m)
	return &rig{interceptors.Chain(upstream.NewConn("shop", cc), retries, spares), breakers}, stop
}

func dial(t *testing.T, replicas []*replica) (*grpc.ClientConn, func()) {
	t.Helper()
	var servers []interface{ Stop() }
	var addresses []resolver.Address
	byName := map[string]*replica{}
	for i, r := range replicas {
		name := fmt.Sprintf("replica-%d", i)
		byName[name] = r
		addresses = append(addresses, resolver.Address{Addr: name})
		if r.behave == nil {
			continue // it serves by itself
		}
		s := grpc.NewServer(grpc.WaitForHandlers(true), grpc.ForceServerCodecV2(call.Codec{}), grpc.UnknownServiceHandler(r.handle))
		servers = append(servers, s)
		go func() { _ = s.Serve(r.listener) }()
	}
	target := manual.NewBuilderWithScheme("replicas")
	target.InitialState(resolver.State{Addresses: addresses})
	cc, err := grpc.NewClient("replicas:///shop", grpc.WithResolvers(target),
		grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
			return byName[name].listener.DialContext(ctx)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(call.Codec{})), upstream.Observed())
	if err != nil {
		t.Fatal(err)
	}
	return cc, func() {
		_ = cc.Close()
		for _, s := range servers {
			s.Stop()
		}
		for _, r := range replicas {
			_ = r.listener.Close()
		}
	}
}

// serveRaw is serve for a server that is no server of grpc-go's.
func serveRaw(wg *sync.WaitGroup, answer func(*frames)) *replica {
	r := &replica{listener: bufconn.Listen(1 << 16)}
	wg.Go(func() {
		for {
			c, err := r.listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { raw(r, answer)(c) })
		}
	})
	return r
}

// call makes one from a client's half, as an edge does.
func (r *rig) call(ctx context.Context, stream bool) (string, error) {
	m := &call.Method{Name: method, Conn: r.conn, Stream: grpc.StreamDesc{ServerStreams: stream}}
	client := &calltest.ServerStream{Ctx: call.With(ctx, new(call.Call)), Requests: []string{request}}
	err := call.Forward(m, client)
	return strings.Join(client.Got, ","), err
}
