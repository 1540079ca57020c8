package workload_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

func TestCasesAreAsLargeAsTheySay(t *testing.T) {
	sizes := map[string]struct{ request, response int }{
		"response-1k":  {0, 1_000},
		"response-8k":  {0, 8_500},
		"response-85k": {0, 85_000},
		"request-85k":  {85_000, 325},
		"routes-1000":  {0, 1_000},
		"grpc":         {0, 1_000},
		"grpc-http":    {0, 1_000},
	}
	for _, c := range workload.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			x, err := c.Exchange()
			if err != nil {
				t.Fatal(err)
			}
			want, ok := sizes[c.Name]
			if !ok {
				t.Fatal("the case is not in this test")
			}
			near(t, "request", len(x.HTTP.Body), want.request)
			near(t, "response", len(x.JSON), want.response)
		})
	}
}

func near(t *testing.T, what string, got, want int) {
	t.Helper()
	if got < want*85/100 || got > want*115/100 {
		t.Errorf("%s has %d bytes of JSON, want about %d", what, got, want)
	}
}

func TestExchangeIsTheSameEveryTime(t *testing.T) {
	for _, c := range workload.Cases() {
		a, err := c.Exchange()
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Exchange()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.JSON, b.JSON) || !bytes.Equal(a.HTTP.Body, b.HTTP.Body) {
			t.Errorf("%s differs from one time to the next", c.Name)
		}
	}
}

func TestJSONMeansTheResponse(t *testing.T) {
	for _, c := range workload.Cases() {
		x, err := c.Exchange()
		if err != nil {
			t.Fatal(err)
		}
		got := x.Response.ProtoReflect().New().Interface()
		if err := protojson.Unmarshal(x.JSON, got); err != nil || !proto.Equal(got, x.Response) {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	answers, err := workload.NewAnswers()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range workload.Cases() {
		x, err := c.Exchange()
		if err != nil {
			t.Fatal(err)
		}
		request, err := workload.Wire(x.Request)
		if err != nil {
			t.Fatal(err)
		}
		wire, ok := answers.Find(x.RPC, func() []byte { return request })
		got := x.Response.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(wire, got); !ok || err != nil || !proto.Equal(got, x.Response) {
			t.Errorf("%s: found %v, %v", c.Name, ok, err)
		}
	}
	for _, request := range []string{"", "\x10\x07", "\xff", "\x0a\xff"} {
		if _, ok := answers.Find("/shop.catalog.v1.CatalogService/ListProducts", func() []byte { return []byte(request) }); ok {
			t.Errorf("request %q has an answer", request)
		}
	}
	if _, ok := answers.Find("/shop.catalog.v1.CatalogService/GetShelf", nil); ok {
		t.Error("an RPC of no case has an answer")
	}
}

func TestImageHoldsEveryRoute(t *testing.T) {
	c, err := workload.Find("routes-1000")
	if err != nil {
		t.Fatal(err)
	}
	image, err := c.Image()
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(image, &set); err != nil {
		t.Fatal(err)
	}
	if _, err := protodesc.NewFiles(&set); err != nil {
		t.Fatal(err)
	}
	bound := map[string]bool{}
	for _, f := range set.GetFile() {
		for _, s := range f.GetService() {
			for _, m := range s.GetMethod() {
				rule := proto.GetExtension(m.GetOptions(), annotations.E_Http).(*annotations.HttpRule)
				bound[rule.GetGet()+rule.GetPost()+rule.GetPatch()+rule.GetDelete()] = true
			}
		}
	}
	idle := c.Idle()
	if len(idle) != 1000 {
		t.Errorf("%d idle routes, want 1000", len(idle))
	}
	distinct := map[workload.Route]bool{}
	for _, r := range idle {
		distinct[r] = true
		if !bound[r.Template] {
			t.Errorf("%s is not in the image", r.Template)
		}
	}
	if len(distinct) != 1000 || !bound["/v1/products"] {
		t.Errorf("%d distinct routes, want 1000 and /v1/products", len(distinct))
	}
}

func TestFindNamesWhatThereIs(t *testing.T) {
	_, err := workload.Find("response-2k")
	if err == nil || !strings.Contains(err.Error(), "response-8k") {
		t.Errorf("got %v, want an error that lists the cases", err)
	}
}
