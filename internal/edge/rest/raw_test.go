package rest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// rawContract is a contract of streams of google.api.HttpBody, alone and within
// another message.
func rawContract() *descriptorpb.FileDescriptorSet {
	field := func(name string, number int32, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()}
		if of != "" {
			f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), &of
		}
		return f
	}
	method := func(name, in, out string, up, down bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: &in, OutputType: &out, ClientStreaming: &up, ServerStreaming: &down}
	}
	const body, m, piece = ".google.api.HttpBody", ".t.v1.M", ".t.v1.Piece"
	own := &descriptorpb.FileDescriptorProto{
		Name: new("t/v1/t.proto"), Package: new("t.v1"), Syntax: new("proto3"), Dependency: []string{"google/api/httpbody.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: new("M"), Field: []*descriptorpb.FieldDescriptorProto{field("id", 1, "")}},
			{Name: new("Piece"), Field: []*descriptorpb.FieldDescriptorProto{field("id", 1, ""), field("content", 2, body), field("note", 3, "")}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Up", body, m, true, false), method("Put", piece, m, true, false), method("Save", piece, m, false, false),
			method("Down", m, body, false, true), method("Fetch", m, piece, false, true), method("Bidi", m, m, true, true),
		}}},
	}
	return &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(anypb.File_google_protobuf_any_proto), protodesc.ToFileDescriptorProto(httpbody.File_google_api_httpbody_proto), own,
	}}
}

// pieceType is t.v1.Piece.
func pieceType(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	files, err := protodesc.NewFiles(rawContract())
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName("t.v1.Piece")
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MessageDescriptor)
}

// startRaw serves rawContract.
func startRaw(t *testing.T, script gatewaytest.Script, changes ...gatewaytest.Change) *gatewaytest.Gateway {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.binpb")
	if err := os.WriteFile(image, edgetest.Wire(t, rawContract()), 0o600); err != nil {
		t.Fatal(err)
	}
	return gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, script), append([]gatewaytest.Change{func(c *configv1.Config) {
		c.Upstreams[0].Schema = &configv1.Schema{Source: &configv1.Schema_Image{Image: image}}
		c.Expose[0].Select = "t.v1.*"
		c.Expose[0].Http = []*annotations.HttpRule{
			{Selector: "t.v1.S.Up", Pattern: &annotations.HttpRule_Post{Post: "/up"}, Body: "*"},
			{Selector: "t.v1.S.Put", Pattern: &annotations.HttpRule_Post{Post: "/files/{id}"}, Body: "content"},
			{Selector: "t.v1.S.Save", Pattern: &annotations.HttpRule_Put{Put: "/files/{id}"}, Body: "content"},
			{Selector: "t.v1.S.Down", Pattern: &annotations.HttpRule_Get{Get: "/down"}},
			{Selector: "t.v1.S.Fetch", Pattern: &annotations.HttpRule_Get{Get: "/fetch"}, ResponseBody: "content"},
			{Selector: "t.v1.S.Bidi", Pattern: &annotations.HttpRule_Post{Post: "/bidi"}, Body: "*"},
		}
	}}, changes...)...))
}

func asGRPCGateway(c *configv1.Config) {
	c.Json = &configv1.Json{Profile: configv1.Json_PROFILE_GRPC_GATEWAY}
}

// received tells what a stream of uploads brought, once it is over.
func received[M proto.Message](to chan<- []M, newMessage func() M) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error {
		var all []M
		for {
			m := newMessage()
			err := ss.RecvMsg(m)
			if err == io.EOF {
				to <- all
				return ss.SendMsg(&catalogv1.GetProductRequest{})
			}
			if err != nil {
				return err
			}
			all = append(all, m)
		}
	}
}

// TestRawUpload: bytes arrive as they were sent, in messages of at most 64 KiB.
func TestRawUpload(t *testing.T) {
	t.Parallel()
	got := make(chan []*httpbody.HttpBody, 1)
	script := gatewaytest.Script{"/t.v1.S/Up": received(got, func() *httpbody.HttpBody { return new(httpbody.HttpBody) })}
	for profile, change := range map[string]gatewaytest.Change{"default": func(*configv1.Config) {}, "grpc-gateway": asGRPCGateway} {
		g := startRaw(t, script, change)
		t.Run(profile, func(t *testing.T) {
			edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
				for _, body := range []string{
					"hello\n\n", " a  b ", "\n \n", "{", "}", `{"contentType": "text/plain"}` + "\n{}", "\x00\xff\n", "", strings.Repeat("0123456789abcde\n", 6<<16),
				} {
					for _, media := range []string{"application/octet-stream", "application/x-ndjson", ""} {
						for _, chunked := range []bool{false, true} {
							r := g.Request(t, "POST", "/up", body, "Content-Type: "+media)
							if media == "" {
								r.Header.Del("Content-Type")
							}
							if chunked {
								r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
							}
							if answer := gatewaytest.Do(t, client, r); answer.StatusCode != 200 {
								t.Fatalf("%.20q of %q: got %d %s", body, media, answer.StatusCode, answer.Text)
							}
							checkPieces(t, gatewaytest.Receive(t, got, "the upload"), body, media)
						}
					}
				}
			})
		})
	}
}

func checkPieces(t *testing.T, pieces []*httpbody.HttpBody, body, media string) {
	t.Helper()
	var whole strings.Builder
	for i, m := range pieces {
		whole.Write(m.GetData())
		want := ""
		if i == 0 {
			want = media
		}
		if m.GetContentType() != want || proto.Size(m) > 64<<10 || len(m.GetData()) == 0 && len(pieces) > 1 {
			t.Errorf("%.20q: message %d of %d: type %q, %d bytes", body, i, len(pieces), m.GetContentType(), proto.Size(m))
		}
	}
	if whole.String() != body || len(pieces) == 0 {
		t.Errorf("%.20q of %q: %d bytes in %d messages came as %.40q", body, media, len(body), len(pieces), whole.String())
	}
}

// TestRawUploadAsItComes: a piece goes on before the next one is there; path and
// query stand beside the first.
func TestRawUploadAsItComes(t *testing.T) {
	t.Parallel()
	piece := pieceType(t)
	got := make(chan string, 1)
	script := gatewaytest.Script{"/t.v1.S/Put": func(_ any, ss grpc.ServerStream) error {
		for {
			m := dynamicpb.NewMessage(piece)
			if err := ss.RecvMsg(m); err == io.EOF {
				return ss.SendMsg(&catalogv1.GetProductRequest{})
			} else if err != nil {
				return err
			}
			content := new(httpbody.HttpBody)
			b, _ := proto.Marshal(m.Get(piece.Fields().ByName("content")).Message().Interface())
			_ = proto.Unmarshal(b, content)
			got <- strings.Join([]string{
				m.Get(piece.Fields().ByName("id")).String(), m.Get(piece.Fields().ByName("note")).String(), content.GetContentType(), string(content.GetData()),
			}, "|")
		}
	}}
	g := startRaw(t, script)
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		body, up := io.Pipe()
		r := g.Request(t, "POST", "/files/f1?note=n", "", "Content-Type: text/csv")
		r.Body = body
		done := make(chan int, 1)
		go func() {
			resp, err := client.Do(r)
			if err != nil {
				done <- 0
				return
			}
			_ = resp.Body.Close()
			done <- resp.StatusCode
		}()
		for i, text := range []string{"a;b\n", "{\n", "\n"} {
			_, _ = io.WriteString(up, text)
			want := "|||" + text
			if i == 0 {
				want = "f1|n|text/csv|" + text
			}
			if m := gatewaytest.Receive(t, got, "a message"); m != want {
				t.Errorf("message %d is %q, want %q", i, m, want)
			}
		}
		_ = up.Close()
		if code := gatewaytest.Receive(t, done, "the answer"); code != 200 {
			t.Errorf("HTTP %d", code)
		}
		r = g.Request(t, "POST", "/files/f2", "", "Content-Type: text/csv")
		if answer := gatewaytest.Do(t, client, r); answer.StatusCode != 200 {
			t.Errorf("an empty file: HTTP %d %s", answer.StatusCode, answer.Text)
		}
		if m := gatewaytest.Receive(t, got, "the message of an empty file"); m != "f2||text/csv|" {
			t.Errorf("the message of an empty file is %q", m)
		}
	})
}

// TestEmptyRawBody: an empty file that is one message keeps its type.
func TestEmptyRawBody(t *testing.T) {
	t.Parallel()
	piece := pieceType(t)
	got := make(chan string, 1)
	g := startRaw(t, gatewaytest.Script{"/t.v1.S/Save": func(_ any, ss grpc.ServerStream) error {
		m := dynamicpb.NewMessage(piece)
		if err := ss.RecvMsg(m); err != nil {
			return err
		}
		got <- m.Get(piece.Fields().ByName("content")).Message().Interface().(*dynamicpb.Message).String()
		return ss.SendMsg(&catalogv1.GetProductRequest{})
	}})
	gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "PUT", "/files/f1", "", "Content-Type: text/csv"))
	if m := gatewaytest.Receive(t, got, "the message"); !strings.Contains(m, "text/csv") {
		t.Errorf("the backend got %q", m)
	}
}

// downloads is a backend that sends a piece and then ends with err.
func downloads(t *testing.T, err error) gatewaytest.Script {
	t.Helper()
	first := &httpbody.HttpBody{ContentType: "text/csv", Data: []byte("a;b\n")}
	return gatewaytest.Script{
		"/t.v1.S/Down": func(_ any, ss grpc.ServerStream) error {
			if serr := ss.SendMsg(first); serr != nil {
				return serr
			}
			return err
		},
		"/t.v1.S/Fetch": func(_ any, ss grpc.ServerStream) error {
			m := dynamicpb.NewMessage(pieceType(t))
			_ = proto.Unmarshal(append([]byte{2<<3 | 2, byte(proto.Size(first))}, edgetest.Wire(t, first)...), m)
			if serr := ss.SendMsg(m); serr != nil {
				return serr
			}
			return err
		},
	}
}

// TestBrokenDownload: nobody takes a part of a file for the whole.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	for profile, change := range map[string]gatewaytest.Change{"default": func(*configv1.Config) {}, "grpc-gateway": asGRPCGateway} {
		g := startRaw(t, downloads(t, status.Error(codes.DataLoss, "the disk is gone")), change)
		t.Run(profile, func(t *testing.T) {
			for _, path := range []string{"/down", "/fetch"} {
				edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
					before := strings.Count(g.Log.String(), "the disk is gone")
					resp, err := client.Do(g.Request(t, "GET", path, ""))
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					text, err := io.ReadAll(resp.Body)
					if err == nil || resp.StatusCode != 200 || string(text) != "a;b\n" || resp.Header.Get("Content-Type") != "text/csv" {
						t.Errorf("%s: got %d %q, then %v; want a part and an error", path, resp.StatusCode, text, err)
					}
					gatewaytest.Eventually(t, "the reason in the log", func() bool {
						return strings.Count(g.Log.String(), "the disk is gone") > before && strings.Contains(g.Log.String(), "status=DATA_LOSS")
					})
				})
				if err := oldDownload(t, g.HTTP, path); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s: over HTTP/1.0 the answer ended with %v", path, err)
				}
			}
		})
	}
}

// oldDownload reads an answer of HTTP/1.0, whose end is that of the connection.
func oldDownload(t *testing.T, address, path string) error {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(gatewaytest.Patience))
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.0\r\nHost: a\r\n\r\n")
	_, err = io.Copy(io.Discard, c)
	return err
}

// TestWholeDownload ends well, and an empty one does.
func TestWholeDownload(t *testing.T) {
	t.Parallel()
	g := startRaw(t, downloads(t, nil))
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, path := range []string{"/down", "/fetch"} {
			if got := gatewaytest.Do(t, client, g.Request(t, "GET", path, "")); got.Text != "a;b\n" || got.Header.Get("Content-Type") != "text/csv" {
				t.Errorf("%s: got %q %v", path, got.Text, got.Header)
			}
		}
	})
	g = startRaw(t, gatewaytest.Script{"/t.v1.S/Down": func(any, grpc.ServerStream) error { return nil }})
	if got := gatewaytest.Do(t, gatewaytest.Client(t), g.Request(t, "GET", "/down", "")); got.StatusCode != 200 || got.Text != "" || got.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("an empty file: got %d %q %v", got.StatusCode, got.Text, got.Header)
	}
}

// TestLimitIsForOneMessage: a stream may be longer than a body, in whatever
// framing, and a message may not, however it comes.
func TestLimitIsForOneMessage(t *testing.T) {
	t.Parallel()
	echo := gatewaytest.Duplex(func(_ context.Context, receive func() (*catalogv1.GetProductRequest, error), send func(*catalogv1.GetProductRequest) error) error {
		for {
			m, err := receive()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = send(m)
			}
			if err != nil {
				return err
			}
		}
	})
	up := make(chan []*httpbody.HttpBody, 1)
	g := startRaw(t, gatewaytest.Script{
		"/t.v1.S/Bidi": echo, "/t.v1.S/Up": received(up, func() *httpbody.HttpBody { return new(httpbody.HttpBody) }),
	}, edgetest.SmallLimits)
	line := `{"id":"` + strings.Repeat("x", 100) + `"}` + "\n"
	long := `{"id":"` + strings.Repeat("x", edgetest.SmallBody) + `"}` + "\n"
	edgetest.OverHTTP(t, func(t *testing.T, client *http.Client) {
		for _, chunked := range []bool{false, true} {
			do := func(path, body string) gatewaytest.Answer {
				r := g.Request(t, "POST", path, body)
				if chunked {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
				}
				return gatewaytest.Do(t, client, r)
			}
			if got, want := do("/bidi", strings.Repeat(line, 1000)), strings.Repeat(line, 1000); got.StatusCode != 200 || got.Text != want {
				t.Errorf("chunked %v: got %d and %d bytes, want %d", chunked, got.StatusCode, len(got.Text), len(want))
			}
			if got := do("/bidi", strings.Repeat("\n", 3*edgetest.SmallBody)+line); got.StatusCode != 200 || got.Text != line {
				t.Errorf("chunked %v, blank lines: got %d %s", chunked, got.StatusCode, got.Text)
			}
			if got := do("/bidi", long); got.StatusCode != 413 {
				t.Errorf("chunked %v, a long message: got %d %.200s", chunked, got.StatusCode, got.Text)
			}
			if got := do("/up", strings.Repeat("x", 10*edgetest.SmallBody)); got.StatusCode != 200 {
				t.Errorf("chunked %v, raw: got %d %.200s", chunked, got.StatusCode, got.Text)
				continue
			}
			n := 0
			for _, m := range gatewaytest.Receive(t, up, "the upload") {
				n += len(m.GetData())
			}
			if n != 10*edgetest.SmallBody {
				t.Errorf("chunked %v, raw: %d bytes came", chunked, n)
			}
		}
	})
}
