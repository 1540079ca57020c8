package live

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/reflection"
)

// ownRPC is an RPC that the gateway answers itself. It stands outside of the chains
// of policies, so it has bounds of its own.
type ownRPC struct {
	service, name string
	serve         func(grpc.ServerStream) error
}

func (r *ownRPC) method() string { return "/" + r.service + "/" + r.name }

// describe makes services of RPCs, all of which are streams to grpc-go: on the wire
// they are what their clients take them for.
func describe(rpcs []ownRPC, s *edge.Settings) []*grpc.ServiceDesc {
	var services []*grpc.ServiceDesc
	at := map[string]*grpc.ServiceDesc{}
	for _, r := range rpcs {
		desc := at[r.service]
		if desc == nil {
			desc = &grpc.ServiceDesc{ServiceName: r.service, HandlerType: (*any)(nil)}
			at[r.service] = desc
			services = append(services, desc)
		}
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: r.name, Handler: edgegrpc.Own(s, r.method(), r.serve), ServerStreams: true, ClientStreams: true,
		})
	}
	return services
}

// ownMethods are the RPCs that the gateway answers itself. Reflection has lines in the
// log as calls have; health, which balancers and probes ask without end, has none.
func ownMethods() []compile.OwnMethod {
	var list []compile.OwnMethod
	for _, name := range reflection.Versions {
		list = append(list, compile.OwnMethod{Name: name, Logged: true})
	}
	for _, r := range new(grpcHealth).rpcs() {
		list = append(list, compile.OwnMethod{Name: r.method()})
	}
	return list
}

// places bound the streams of an RPC at once: all together, and those of each
// client. They are safe for concurrent use.
type places struct {
	what         string
	most, ofEach int

	mu    sync.Mutex
	taken int
	each  map[string]int
}

func newPlaces(what string, most, ofEach int) *places {
	return &places{what: what, most: most, ofEach: ofEach, each: map[string]int{}}
}

// take takes a place for a client, to be given back.
func (p *places) take(client string) (giveBack func(), _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each[client] >= p.ofEach {
		return nil, call.Refuse(call.Client, codes.ResourceExhausted, "one client has at most %d streams of %s at once", p.ofEach, p.what)
	}
	if p.taken >= p.most {
		return nil, call.Refuse(call.Gateway, codes.ResourceExhausted, "there are at most %d streams of %s at once: try again later", p.most, p.what)
	}
	p.taken++
	p.each[client]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
		if p.each[client]--; p.each[client] == 0 {
			delete(p.each, client)
		}
	}, nil
}

// Bounds of reflection. One stream is enough for a tool.
const (
	reflectionStreams       = 32
	reflectionStreamsOfEach = 8
	// reflectionIdle ends a stream that asks nothing, or takes no answer, for so
	// long; reflectionTime ends every one.
	reflectionIdle = 30 * time.Second
	reflectionTime = 5 * time.Minute
)

// reflection answers server reflection by the table in force.
func (g *Gateway) reflection() []ownRPC {
	streams := newPlaces("reflection", reflectionStreams, reflectionStreamsOfEach)
	serve := func(ss grpc.ServerStream) error {
		giveBack, err := streams.take(call.From(ss.Context()).PeerNetwork().String())
		if err != nil {
			return err
		}
		defer giveBack()
		return attended(ss.Context(), func(asked func()) error {
			return reflection.Serve(ss, func() (*reflection.Contract, error) { return g.Table().Reflected() }, asked)
		})
	}
	return []ownRPC{
		{"grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", serve},
		{"grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", serve},
	}
}

// attended runs serve, and leaves it when nothing was asked for long: the end of the
// stream ends serve too, even where it waits for the client.
func attended(ctx context.Context, serve func(asked func()) error) error {
	idle, end := time.NewTimer(reflectionIdle), time.NewTimer(reflectionTime)
	defer idle.Stop()
	defer end.Stop()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer call.Rescue(&err)
		err = serve(func() { idle.Reset(reflectionIdle) })
	}()
	select {
	case err := <-done:
		return err
	case <-idle.C:
		return call.Refuse(call.Client, codes.DeadlineExceeded, "nothing was asked for %v", reflectionIdle)
	case <-end.C:
		return call.Refuse(call.Client, codes.DeadlineExceeded, "a stream of reflection ends after %v: open another", reflectionTime)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connectionOf is the client's end of the connection.
func connectionOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}
