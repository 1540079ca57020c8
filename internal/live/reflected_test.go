package live_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// told is a backend's contract, which can be replaced.
type told struct {
	files atomic.Pointer[protoregistry.Files]
}

func (c *told) set(t *testing.T, image []byte) {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(image, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	c.files.Store(files)
}

func (c *told) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return c.files.Load().FindFileByPath(path)
}

func (c *told) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return c.files.Load().FindDescriptorByName(name)
}

// tells serves reflection of the catalog's contract; before each answer to a
// stream of questions it calls wait.
func tells(t *testing.T, c *told, wait func(context.Context)) *configv1.Upstream {
	t.Helper()
	srv := grpc.NewServer(grpc.StreamInterceptor(func(s any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		wait(ss.Context())
		return next(s, ss)
	}))
	names := &reflected{names: []string{"shop.catalog.v1.CatalogService"}}
	reflectionv1.RegisterServerReflectionServer(srv, reflection.NewServerV1(reflection.ServerOptions{Services: names, DescriptorResolver: c}))
	l := gatewaytest.Listen(t)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return &configv1.Upstream{
		Name: strings.ReplaceAll(l.Addr().String(), ":", "-"), Target: "passthrough:///" + l.Addr().String(), Schema: &configv1.Schema{Source: &configv1.Schema_Reflection{Reflection: true}},
	}
}

// TestContractsAreReadSideBySide: backends that answer only when all have been
// asked are no obstacle.
func TestContractsAreReadSideBySide(t *testing.T) {
	const backends = 4
	var c told
	c.set(t, contractOf(t, nil))
	var asked atomic.Int32
	all := make(chan struct{})
	wait := func(ctx context.Context) {
		if asked.Add(1) == backends {
			close(all)
		}
		select {
		case <-all:
		case <-ctx.Done():
		}
	}
	gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), func(conf *configv1.Config) {
		for range backends {
			conf.Upstreams = append(conf.Upstreams, tells(t, &c, wait))
		}
	}))
}

// TestReloadsPassOneThatAsks: while a reload waits for a backend's contract another
// one goes on, and the first takes what the backend tells in the end.
func TestReloadsPassOneThatAsks(t *testing.T) {
	var c told
	c.set(t, contractOf(t, without("ListShelves")))
	var slow atomic.Bool
	asked, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	up := tells(t, &c, func(ctx context.Context) {
		if slow.Load() {
			once.Do(func() { close(asked) })
			select {
			case <-let:
			case <-ctx.Done():
			}
		}
	})
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), func(conf *configv1.Config) {
		conf.Upstreams = append(conf.Upstreams, up)
		conf.Expose[0].Select, conf.Expose[0].Upstream = "shop.catalog.v1.*", up.GetName()
	}))
	before := len(g.Gateway.Table().Methods)
	c.set(t, contractOf(t, nil))
	slow.Store(true)
	reloaded := make(chan error, 1)
	go func() {
		_, err := g.Gateway.Reload(t.Context(), compile.BySignal)
		reloaded <- err
	}()
	gatewaytest.Receive(t, asked, "the question")
	if result, err := g.Gateway.Reload(t.Context(), compile.ByFile); result != admin.Unchanged || err != nil {
		t.Errorf("a reload beside it: %v, %v", result, err)
	}
	close(let)
	if err := gatewaytest.Receive(t, reloaded, "the end of the reload"); err != nil {
		t.Error(err)
	}
	if n := len(g.Gateway.Table().Methods); n != before+1 {
		t.Errorf("%d RPCs, want %d: the contract was not waited for", n, before+1)
	}
}

// TestReloadThatAsksDialsAnew: a reload that asked a backend takes no connection
// that another reload gave up meanwhile, which will be cut off.
func TestReloadThatAsksDialsAnew(t *testing.T) {
	var c told
	c.set(t, contractOf(t, nil))
	var slow atomic.Bool
	asked, let := make(chan struct{}, 9), make(chan struct{})
	up := tells(t, &c, func(ctx context.Context) {
		if slow.Load() {
			asked <- struct{}{}
			select {
			case <-let:
			case <-ctx.Done():
			}
		}
	})
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, nil), func(conf *configv1.Config) {
		conf.Upstreams = append(conf.Upstreams, up)
		conf.Expose[0].Select, conf.Expose[0].Upstream = "shop.catalog.v1.*", up.GetName()
		conf.Reload = &configv1.Reload{DrainTimeout: durationpb.New(time.Millisecond)}
	}))
	first := g.Gateway.Table().File
	slow.Store(true)
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- g.Gateway.Rebuild(t.Context(), first) }()
	gatewaytest.Receive(t, asked, "the question")
	if err := changed(t, g, func(conf *configv1.Config) {
		conf.Upstreams, conf.Expose[0].Upstream = conf.GetUpstreams()[:1], "shop"
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked: // on a connection of its own
	case err := <-rebuilt:
		t.Fatalf("over without another question: %v", err)
	}
	close(let)
	if err := gatewaytest.Receive(t, rebuilt, "the end of the first"); err != nil {
		t.Error(err)
	}
}
