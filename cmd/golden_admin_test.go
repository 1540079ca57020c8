package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/admin"
	configpkg "github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// serve serves the configuration, with an interceptor of one's own.
func (s *setting) serve(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	conf, err := configpkg.Load(s.file)
	if err != nil {
		t.Fatal(err)
	}
	own := interceptors.Interceptor{Name: "own", Unary: func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return invoke(ctx, method, req, reply, nil, opts...)
	}}
	return gatewaytest.StartOptions(t, live.Options{Config: conf, Custom: []interceptors.Interceptor{own}})
}

// TestGoldenServed: the chain of each RPC, the pages of the admin listener, and the
// services that reflection lists.
func TestGoldenServed(t *testing.T) {
	t.Parallel()
	for _, s := range []*setting{demo(t), rich(t)} {
		t.Run(s.name, func(t *testing.T) {
			g := s.serve(t)
			golden(t, s.name+"-chains.golden", chains(t, g))
			golden(t, s.name+"-admin.golden", s.normalized(pages(t, g)))
			golden(t, s.name+"-reflection.golden", reflected(t, g.GRPC))
		})
	}
}

// chains lists, for each RPC, the links in front of its upstream, the outermost first.
// An RPC with routes also has, for each route, the links behind the choice; its own
// chain is that of the calls that no route takes.
func chains(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	var all strings.Builder
	byName := func(a, b *contract.Method) int { return strings.Compare(a.Name, b.Name) }
	for _, m := range slices.SortedFunc(slices.Values(g.Gateway.Table().Declared()), byName) {
		e, err := admin.ExplainRPC(g.Gateway.Table(), m.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s\n    %s\n", e.RPC, strings.Join(e.Chain, " > "))
		for i, u := range e.Upstreams {
			if u.Chain != nil {
				fmt.Fprintf(&all, "  routes[%d] to %s\n    %s\n", i, u.Upstream, strings.Join(u.Chain, " > "))
			}
		}
	}
	return all.String()
}

// pages is what each page of the admin listener shows.
func pages(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	client, all := gatewaytest.Client(t), new(strings.Builder)
	for _, page := range []struct {
		path  string
		shown func(t *testing.T, text string) string
	}{
		{"/livez", verbatim}, {"/readyz", readiness}, {"/routes", lines}, {"/breakers", lines}, {"/config", served},
		{"/contract", files}, {"/openapi.json", outline}, {"/metrics", series}, {"/status", verbatim},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.Admin+page.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer := gatewaytest.Do(t, client, r)
		fmt.Fprintf(all, "GET %s: %d %s\n%s\n", page.path, answer.StatusCode, answer.Header.Get("Content-Type"), page.shown(t, answer.Text))
	}
	return all.String()
}

// verbatim shows a page as it is.
func verbatim(_ *testing.T, text string) string { return text }

// lines shows a list, one element a line.
func lines(t *testing.T, text string) string {
	t.Helper()
	var list []json.RawMessage
	parse(t, text, &list)
	var all bytes.Buffer
	for _, one := range list {
		if err := json.Compact(&all, one); err != nil {
			t.Fatal(err)
		}
		all.WriteByte('\n')
	}
	return all.String()
}

// outline shows what an OpenAPI document is about; TestGoldenOpenAPI shows all of it.
func outline(t *testing.T, text string) string {
	t.Helper()
	var doc struct {
		OpenAPI string
		Info    struct{ Title string }
		Paths   map[string]any
	}
	parse(t, text, &doc)
	return fmt.Sprintf("openapi %s, %q, %d paths\n", doc.OpenAPI, doc.Info.Title, len(doc.Paths))
}

// readiness is what of /readyz does not depend on how far connections have come.
func readiness(t *testing.T, text string) string {
	t.Helper()
	var page struct {
		Upstreams []struct {
			Upstream string
			Needed   bool
		}
	}
	parse(t, text, &page)
	var all strings.Builder
	for _, u := range page.Upstreams {
		fmt.Fprintf(&all, "%s needed=%v\n", u.Upstream, u.Needed)
	}
	return all.String()
}

// served shows /config, one field a line, but for what check --print has: the
// configuration as a whole, and the policies of each RPC.
func served(t *testing.T, text string) string {
	t.Helper()
	page := map[string]any{}
	parse(t, text, &page)
	fields := 0
	for _, policy := range page["policies"].(map[string]any) {
		fields += len(policy.(map[string]any))
	}
	page["policies"] = fmt.Sprintf("%d fields of %d RPCs", fields, len(page["policies"].(map[string]any)))
	delete(page, "config")
	var list []string
	var add func(path string, v any)
	add = func(path string, v any) {
		group, ok := v.(map[string]any)
		if !ok {
			list = append(list, fmt.Sprintf("%s: %v", strings.TrimSpace(path), v))
		}
		for key, one := range group {
			add(path+" "+key, one)
		}
	}
	add("", page)
	slices.Sort(list)
	return strings.Join(list, "\n") + "\n"
}

// files are the files of an image, in its order, each with what is declared in it.
func files(t *testing.T, text string) string {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal([]byte(text), set); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range set.GetFile() {
		fmt.Fprintf(&all, "%s: %d services, %d messages, %d enums\n", f.GetName(), len(f.GetService()), len(f.GetMessageType()), len(f.GetEnumType()))
	}
	return all.String()
}

// series are the gateway's own metrics with their labels, without values and buckets.
func series(_ *testing.T, text string) string {
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		name := line[:strings.LastIndexByte(line, ' ')]
		if strings.HasPrefix(name, "gatehouse_") && !strings.Contains(name, `,le="`) {
			names[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n") + "\n"
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// reflected lists the services that reflection shows.
func reflected(t *testing.T, address string) string {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(gatewaytest.Dial(t, address, nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, service := range answer.GetListServicesResponse().GetService() {
		fmt.Fprintln(&all, service.GetName())
	}
	return all.String()
}
