package live

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
	edgegrpc "github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/reflection"
)

// ownRPC is an RPC that the gateway answers itself. Its calls pass no chain of policies,
// so it has limits of its own.
type ownRPC struct {
	service, name string
	serve         func(grpc.ServerStream) error
}

func (r *ownRPC) method() string { return "/" + r.service + "/" + r.name }

// describe returns the services of RPCs. All RPCs are streams to grpc-go, which look on
// the wire as the unary RPCs that some of them are.
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

// streamLimit bounds the streams of an RPC at once: all together, and those of each
// client. It is safe for concurrent use.
type streamLimit struct {
	what         string
	most, ofEach int

	mu   sync.Mutex
	all  int
	each map[string]int
}

func newStreamLimit(what string, most, ofEach int) *streamLimit {
	return &streamLimit{what: what, most: most, ofEach: ofEach, each: map[string]int{}}
}

// acquire admits a stream of a client until it is released.
func (l *streamLimit) acquire(client string) (release func(), _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.each[client] >= l.ofEach {
		return nil, call.Refuse(call.Client, codes.ResourceExhausted, "one client has at most %d streams of %s at once", l.ofEach, l.what)
	}
	if l.all >= l.most {
		return nil, call.Refuse(call.Gateway, codes.ResourceExhausted, "there are at most %d streams of %s at once: try again later", l.most, l.what)
	}
	l.all++
	l.each[client]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.each[client]--; l.each[client] == 0 {
			delete(l.each, client)
		}
	}, nil
}

// connectionOf is the client's end of the connection.
func connectionOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}
