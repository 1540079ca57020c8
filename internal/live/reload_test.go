package live_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	inventoryv1 "github.com/gatehouse-dev/gatehouse/gen/shop/inventory/v1"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	"github.com/gatehouse-dev/gatehouse/internal/compile"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// folder is where the files of a gateway that runs are.
type folder struct {
	*gatewaytest.Gateway
	t      *testing.T
	path   string
	hangup chan os.Signal
}

const liveConfig = `listeners: {http: {address: "127.0.0.1:0"}, grpc: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
upstreams:
  - {name: shop, target: "passthrough:///BACKEND", schema: {image: shop.binpb}}
expose:
  - {select: "shop.catalog.v1.CatalogService.GetShelf", upstream: shop, policy: POLICY}
reload: {interval: 10ms, reflection_interval: 10ms}
`

const openToAll = `{auth: {public: true}, rate_limit: [{unlimited: true}]}`

// text is the configuration with some of it replaced.
func (f *folder) text(backend string, pairs ...string) string {
	return strings.NewReplacer(append([]string{"BACKEND", backend, "POLICY", openToAll}, pairs...)...).Replace(liveConfig)
}

// put writes a file whole.
func (f *folder) put(name string, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.path, name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{t: t, path: t.TempDir(), hangup: make(chan os.Signal, 1)}
	f.put("shop.binpb", contractOf(t, nil))
	return f
}

// serve starts a gateway that follows the files.
func (f *folder) serve(text string) {
	f.t.Helper()
	f.put("gatehouse.yaml", []byte(text))
	path := filepath.Join(f.path, "gatehouse.yaml")
	load := func() (*config.File, []string, error) { return config.Read(path) }
	file, _, err := load()
	if err != nil {
		f.t.Fatal(err)
	}
	f.Gateway = gatewaytest.StartOptions(f.t, live.Options{Config: file, Load: load})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Gateway.Gateway.Follow(ctx, f.hangup)
	}()
	f.t.Cleanup(func() {
		stop()
		<-done
	})
}

// contractOf is an image of the shop's contract, with a change.
func contractOf(t *testing.T, change func(*descriptorpb.FileDescriptorProto)) []byte {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		file := protodesc.ToFileDescriptorProto(fd)
		if change != nil {
			change(file)
		}
		set.File = append(set.File, file)
		return true
	})
	data, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// without takes an RPC out of the contract of the catalog.
func without(name string) func(*descriptorpb.FileDescriptorProto) {
	return func(file *descriptorpb.FileDescriptorProto) {
		for _, s := range file.GetService() {
			s.Method = slices.DeleteFunc(s.GetMethod(), func(m *descriptorpb.MethodDescriptorProto) bool { return m.GetName() == name })
		}
	}
}

func (f *folder) status() admin.Status { return f.Gateway.Gateway.Status() }

// until waits for a result of a reload, with a reason.
func (f *folder) until(result admin.Result, reason string) admin.Attempt {
	f.t.Helper()
	var last *admin.Attempt
	gatewaytest.Eventually(f.t, string(result)+" with "+reason, func() bool {
		last = f.status().Last
		return last.Result == result && strings.Contains(strings.Join(last.Errors, "\n"), reason)
	})
	return *last
}

func (f *folder) shelf(path string) gatewaytest.Answer {
	f.t.Helper()
	return gatewaytest.Do(f.t, gatewaytest.Client(f.t), f.Request(f.t, "GET", path, ""))
}

func (f *folder) admin(path string) string {
	f.t.Helper()
	r := f.Request(f.t, "GET", path, "")
	r.URL.Host = f.Admin
	a := gatewaytest.Do(f.t, gatewaytest.Client(f.t), r)
	if a.StatusCode != 200 {
		f.t.Errorf("%s: %s", path, a.Status)
	}
	return a.Text
}

func TestFollowTheConfiguration(t *testing.T) {
	f := newFolder(t)
	backend := (&shopBackend{}).start(t)
	first := f.text(backend)
	f.serve(first)
	f.put("gatehouse.yaml", []byte(strings.Replace(first, "GetShelf", "ListShelves", 1)))
	gatewaytest.Eventually(t, "another table", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 404 })
	f.put("gatehouse.yaml", []byte(first))
	gatewaytest.Eventually(t, "the first table", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 200 })

	f.put("gatehouse.yaml", []byte(first[:len(first)/2])) // half written
	f.until(admin.Refused, "gatehouse.yaml:")
	if got := f.shelf("/v1/shelves/a"); got.StatusCode != 200 {
		t.Errorf("the last good one does not stay: %s", got.Status)
	}
	if v := sumOf(t, f.Gateway, "gatehouse_reload_last_result"); v != 0 {
		t.Errorf("gatehouse_reload_last_result %v, want 0", v)
	}
	if !strings.Contains(f.Log.String(), "a reload was refused") {
		t.Error("nothing was logged")
	}
	var page struct {
		Since       time.Time
		SHA256      string
		Config      string
		LastAttempt admin.Attempt `json:"last_attempt"`
	}
	if err := json.Unmarshal([]byte(f.admin("/config")), &page); err != nil {
		t.Fatal(err)
	}
	if page.LastAttempt.Result != admin.Refused || len(page.LastAttempt.Errors) == 0 || page.LastAttempt.Trigger != compile.ByFile ||
		!strings.Contains(page.Config, "GetShelf") || len(page.SHA256) != 64 || page.Since.IsZero() {
		t.Errorf("/config says %+v", page)
	}
	f.put("gatehouse.yaml", []byte(first+"# as before\n"))
	f.until(admin.Unchanged, "")
	if v := sumOf(t, f.Gateway, "gatehouse_reload_last_result"); v != 1 {
		t.Errorf("gatehouse_reload_last_result %v, want 1", v)
	}
}

// Kubernetes gives a new ConfigMap by swapping a link to a folder.
func TestFollowASwappedLink(t *testing.T) {
	f := newFolder(t)
	backend := (&shopBackend{}).start(t)
	image, err := os.ReadFile(filepath.Join(f.path, "shop.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(f.path, name), 0o700); err != nil {
			t.Fatal(err)
		}
		f.put(name+"/gatehouse.yaml", []byte(text))
		f.put(name+"/shop.binpb", image)
		link := filepath.Join(f.path, "..data")
		if err := os.Symlink(name, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	text := f.text(backend)
	version("..1", text)
	outer := *f
	f.path = filepath.Join(f.path, "..data")
	f.serve(text)
	f.path = outer.path
	version("..2", strings.Replace(text, "GetShelf", "ListShelves", 1))
	gatewaytest.Eventually(t, "the other version", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 404 })
}

// What the configuration substitutes is a part of it, also when it was missing.
func TestFollowSubstitutions(t *testing.T) {
	f := newFolder(t)
	f.put("target", []byte("passthrough:///"+(&shopBackend{fail: func(int64) error { return down }}).start(t)+"\n"))
	text := strings.Replace(f.text(""), `"passthrough:///"`, `"${file:target}"`, 1)
	f.serve(text)
	if got := f.shelf("/v1/shelves/a"); got.StatusCode != 503 {
		t.Fatalf("got %s", got.Status)
	}
	if strings.Contains(f.admin("/config"), "passthrough:///") {
		t.Error("/config shows what was substituted")
	}
	if err := os.Remove(filepath.Join(f.path, "target")); err != nil {
		t.Fatal(err)
	}
	f.until(admin.Refused, "target")
	f.put("target", []byte("passthrough:///"+(&shopBackend{}).start(t)+"\n"))
	gatewaytest.Eventually(t, "the other backend", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 200 })
}

func TestBreakingContracts(t *testing.T) {
	f := newFolder(t)
	text := strings.Replace(f.text((&shopBackend{}).start(t)), "CatalogService.GetShelf", "*", 1)
	f.serve(text)
	f.put("shop.binpb", contractOf(t, without("GetShelf")))
	last := f.until(admin.Refused, "RPC_NO_DELETE")
	if len(last.Errors) != 1 || !strings.Contains(last.Errors[0], "gatehouse.yaml:3:") || !strings.Contains(last.Errors[0], "upstreams[0].schema") ||
		!strings.Contains(last.Errors[0], "shop.catalog.v1.CatalogService.GetShelf") || !strings.Contains(last.Errors[0], "reload.allow_breaking") {
		t.Errorf("refused with %q", last.Errors)
	}
	if got := f.shelf("/v1/shelves/a"); got.StatusCode != 200 {
		t.Errorf("the last good contract does not stay: %s", got.Status)
	}
	f.put("gatehouse.yaml", []byte(strings.Replace(text, "reload: {", "reload: {allow_breaking: true, ", 1)))
	gatewaytest.Eventually(t, "what is allowed", func() bool { return f.shelf("/v1/shelves/a").StatusCode != 200 })
	// It is the operator's word that counts for what is not exposed any more.
	f.put("shop.binpb", contractOf(t, nil))
	gatewaytest.Eventually(t, "the whole contract", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 200 })
	f.put("gatehouse.yaml", []byte(strings.Replace(f.text("127.0.0.1:1"), "GetShelf", "ListShelves", 1)))
	gatewaytest.Eventually(t, "less is exposed", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 404 })
}

// reload by hand works whatever the watch does.
func TestReloadBySignal(t *testing.T) {
	f := newFolder(t)
	text := strings.Replace(f.text((&shopBackend{}).start(t)), "reload: {", "reload: {disabled: true, ", 1)
	f.serve(text)
	f.put("gatehouse.yaml", []byte(strings.Replace(text, "GetShelf", "ListShelves", 1)))
	f.hangup <- syscall.SIGHUP
	gatewaytest.Eventually(t, "another table", func() bool { return f.shelf("/v1/shelves/a").StatusCode == 404 })
	if s := f.status(); s.Trigger != compile.BySignal || s.Last.Result != admin.Taken {
		t.Errorf("got %+v", s.Last)
	}
	f.hangup <- syscall.SIGHUP
	f.until(admin.Unchanged, "")
}

// endless is a backend whose stream never ends, and which says who it is.
func endless(t *testing.T, began chan<- string, ended chan<- struct{}) string {
	t.Helper()
	return gatewaytest.Backend(t, gatewaytest.Script{
		"/shop.catalog.v1.CatalogService/GetShelf": gatewaytest.Unary(func(_ context.Context, in *catalogv1.GetShelfRequest) (*catalogv1.Shelf, error) {
			return &catalogv1.Shelf{Name: in.GetName()}, nil
		}),
		"/shop.inventory.v1.InventoryService/WatchStock": gatewaytest.ServerStreaming(
			func(ctx context.Context, in *inventoryv1.WatchStockRequest, send func(*inventoryv1.WatchStockResponse) error) error {
				if err := send(&inventoryv1.WatchStockResponse{Name: in.GetName()}); err != nil {
					return err
				}
				began <- in.GetName()
				<-ctx.Done()
				ended <- struct{}{}
				return ctx.Err()
			}),
	})
}

// changed has the gateway serve by a changed configuration.
func changed(t *testing.T, g *gatewaytest.Gateway, change func(*configv1.Config)) error {
	t.Helper()
	next, err := g.Gateway.Table().File.With(change)
	if err != nil {
		t.Fatal(err)
	}
	return g.Gateway.Rebuild(t.Context(), next)
}

// A stream goes on with the upstream that it began with, whose connection ends
// behind it; who comes later gets the new one.
func TestUpstreamsChangeUnderCalls(t *testing.T) {
	began, ended := make(chan string, 9), make(chan struct{}, 9)
	g := gatewaytest.Start(t, gatewaytest.Config(endless(t, began, ended)))
	for _, dial := range []func() grpc.ClientConnInterface{
		func() grpc.ClientConnInterface { return gatewaytest.Dial(t, g.GRPC, nil) },
		func() grpc.ClientConnInterface { return gatewaytest.Dial(t, g.HTTP, nil) },
		func() grpc.ClientConnInterface { return g.Gateway.Conn() },
	} {
		ctx, leave := context.WithCancel(t.Context())
		cc := dial()
		stream, err := inventoryv1.NewInventoryServiceClient(cc).WatchStock(ctx, &inventoryv1.WatchStockRequest{Name: "warehouses/a/stock/b"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		gatewaytest.Receive(t, began, "the stream")
		next := endless(t, began, ended)
		if err := changed(t, g, func(c *configv1.Config) { c.Upstreams[0].Target = "passthrough:///" + next }); err != nil {
			t.Fatal(err)
		}
		if got := g.Gateway.Status().Draining; got != 1 {
			t.Errorf("%d tables drain, want 1", got)
		}
		if _, err := catalogv1.NewCatalogServiceClient(cc).GetShelf(t.Context(), &catalogv1.GetShelfRequest{Name: "shelves/a"}); err != nil {
			t.Errorf("a call by the new table: %v", err)
		}
		select {
		case <-ended:
			t.Error("the stream was ended by the change")
		default:
		}
		leave()
		gatewaytest.Receive(t, ended, "the end of the stream")
		gatewaytest.Eventually(t, "the end of the old table", func() bool { return g.Gateway.Status().Draining == 0 })
	}
}

// A stream that never ends does not hold an upstream that is gone for good.
func TestCallsOnGoneUpstreamsAreBounded(t *testing.T) {
	began, ended := make(chan string, 1), make(chan struct{}, 1)
	g := gatewaytest.Start(t, gatewaytest.Config(endless(t, began, ended), func(c *configv1.Config) {
		c.Reload = &configv1.Reload{DrainTimeout: durationpb.New(10 * time.Millisecond)}
	}))
	stream, err := inventoryv1.NewInventoryServiceClient(gatewaytest.Dial(t, g.GRPC, nil)).WatchStock(t.Context(), &inventoryv1.WatchStockRequest{Name: "warehouses/a/stock/b"})
	if err != nil {
		t.Fatal(err)
	}
	gatewaytest.Receive(t, began, "the stream")
	// A table that has the same upstream leaves it alone.
	if err := changed(t, g, func(c *configv1.Config) { c.Expose[0].Policy.Timeout = durationpb.New(time.Hour) }); err != nil {
		t.Fatal(err)
	}
	next := (&shopBackend{}).start(t)
	if err := changed(t, g, func(c *configv1.Config) { c.Upstreams[0].Target = "passthrough:///" + next }); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("ended with %v, want UNAVAILABLE", err)
	}
	gatewaytest.Eventually(t, "the end of all old tables", func() bool { return g.Gateway.Status().Draining == 0 })
}

// What is refused leaves nothing of what it would have needed.
func TestRefusedReloadsLeaveNothing(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Config((&shopBackend{}).start(t), func(c *configv1.Config) {
		c.Expose[0].Policy.Retry = &policyv1.Retry{Safe: new(true)}
		c.Expose[0].Policy.Breaker = &policyv1.Breaker{}
	}))
	series := func() int { return strings.Count(get(t, g, "/metrics"), `method="`) }
	before, breakers, goroutines := series(), len(g.Gateway.Breakers()), settled(t, 1<<30)
	for range 20 {
		err := changed(t, g, func(c *configv1.Config) {
			c.Upstreams = append(c.Upstreams, &configv1.Upstream{Name: "more", Target: "passthrough:///127.0.0.1:1", Schema: c.GetUpstreams()[0].GetSchema()})
			c.Expose[0].Policy.Breaker.MinimumCalls = proto.Uint32(77)
			c.Expose = append(c.Expose, &configv1.Exposure{Select: "grpc.*", Upstream: "more"})
		})
		if err == nil {
			t.Fatal("taken")
		}
	}
	if after := settled(t, goroutines); after > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, after)
	}
	if after := series(); after != before {
		t.Errorf("%d series before, %d after", before, after)
	}
	if after := len(g.Gateway.Breakers()); after != breakers {
		t.Errorf("%d breakers before, %d after", breakers, after)
	}
}

func get(t *testing.T, g *gatewaytest.Gateway, path string) string {
	t.Helper()
	r := g.Request(t, "GET", path, "")
	r.URL.Host = g.Admin
	return gatewaytest.Do(t, gatewaytest.Client(t), r).Text
}

// Every part of the configuration can change live, or is refused by name.
func TestEveryPartIsLiveOrTakesARestart(t *testing.T) {
	a := config.Default()
	a.Upstreams = []*configv1.Upstream{{Name: "shop", Target: "x:1", Schema: &configv1.Schema{Source: &configv1.Schema_Linked{Linked: true}}}}
	a.Expose = []*configv1.Exposure{{Select: "*", Upstream: "shop"}}
	old, err := config.New(a)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*configv1.Config){
		"listeners.http.address": func(c *configv1.Config) { c.Listeners.Http.Address = "127.0.0.1:1" },
		"limits.max_headers":     func(c *configv1.Config) { c.Limits.MaxHeaders = proto.Uint32(7) },
		"drain.timeout":          func(c *configv1.Config) { c.Drain.Timeout = durationpb.New(time.Second) },
		"log.level":              func(c *configv1.Config) { c.Log.Level = configv1.Log_LEVEL_WARN },
		"redis.addresses[0]":     func(c *configv1.Config) { c.Redis = &configv1.Redis{Addresses: []string{"127.0.0.1:1"}} },
		"shedding.enabled":       func(c *configv1.Config) { c.Shedding.Enabled = true },
		"answers.max_bytes":      func(c *configv1.Config) { c.Answers.MaxBytes = proto.Int64(1 << 20) },
		"tracing.service_name":   func(c *configv1.Config) { c.Tracing.ServiceName = "x" },
	} {
		next, err := old.With(change)
		if err != nil {
			t.Fatal(err)
		}
		if got := live.RestartFields(old, next); !slices.Contains(got, name) {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, change := range map[string]func(*configv1.Config){
		"upstreams":        func(c *configv1.Config) { c.Upstreams[0].Target = "y:1" },
		"expose":           func(c *configv1.Config) { c.Expose[0].Select = "a.*" },
		"json":             func(c *configv1.Config) { c.Json.ProtoNames = new(true) },
		"errors":           func(c *configv1.Config) { c.Errors.Format = configv1.Errors_FORMAT_PROBLEM },
		"cors":             func(c *configv1.Config) { c.Cors = &configv1.Cors{AllowOrigins: []string{"*"}} },
		"security_headers": func(c *configv1.Config) { c.SecurityHeaders.Disabled = true },
		"reload":           func(c *configv1.Config) { c.Reload.Disabled = true },
	} {
		next, err := old.With(change)
		if err != nil {
			t.Fatal(err)
		}
		if got := live.RestartFields(old, next); len(got) != 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
