package contract_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	catalogv1 "github.com/gatehouse-dev/gatehouse/gen/shop/catalog/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server with what register adds, and connects to it.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func shop(s *grpc.Server) {
	catalogv1.RegisterCatalogServiceServer(s, catalogv1.UnimplementedCatalogServiceServer{})
	healthv1.RegisterHealthServer(s, health.NewServer())
}

func TestReflect(t *testing.T) {
	tests := map[string]func(*grpc.Server){
		"v1 and v1alpha": func(s *grpc.Server) { reflection.Register(s) },
		"v1":             func(s *grpc.Server) { reflection.RegisterV1(s) },
		"v1alpha": func(s *grpc.Server) {
			reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(reflection.ServerOptions{Services: s}))
		},
	}
	for name, register := range tests {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, func(s *grpc.Server) { shop(s); register(s) })
			set, err := contract.Reflect(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			var services []string
			for name := range set.Services() {
				services = append(services, string(name))
			}
			if got, want := strings.Join(services, " "), "grpc.health.v1.Health shop.catalog.v1.CatalogService"; got != want {
				t.Errorf("services %q, want %q", got, want)
			}
			rule, err := httpRule(set.Method(getProduct))
			if err != nil || rule.GetGet() != "/v1/{name=products/*}" {
				t.Errorf("rule %v, error %v", rule, err)
			}
		})
	}
}

// fake answers questions by what they ask for: "" for the list of services.
type fake struct {
	reflectionv1.UnimplementedServerReflectionServer
	answer func(question string) *reflectionv1.ServerReflectionResponse
}

func (f fake) ServerReflectionInfo(stream reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	for {
		in, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client has left
		}
		out := f.answer(in.GetFileContainingSymbol() + in.GetFileByFilename())
		if out == nil {
			return nil
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func listing(names ...string) *reflectionv1.ServerReflectionResponse {
	list := new(reflectionv1.ListServiceResponse)
	for _, n := range names {
		list.Service = append(list.Service, &reflectionv1.ServiceResponse{Name: n})
	}
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}}
}

func files(wire ...[]byte) *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{
		FileDescriptorResponse: &reflectionv1.FileDescriptorResponse{FileDescriptorProto: wire},
	}}
}

func refuse(text string) *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{
		ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: int32(codes.NotFound), ErrorMessage: text},
	}}
}

func TestReflectErrors(t *testing.T) {
	till := file("till.proto", `{"package": "till", "syntax": "proto3", "dependency": ["money.proto"], "service": [
		{"name": "Till", "method": [{"name": "Pay", "inputType": ".till.Money", "outputType": ".till.Money"}]}]}`)
	tests := []struct {
		name   string
		answer func(string) *reflectionv1.ServerReflectionResponse
		want   []string
	}{
		{"no list", func(string) *reflectionv1.ServerReflectionResponse { return refuse("not today") }, []string{"listing the services", "not today"}},
		{"wrong answer", func(string) *reflectionv1.ServerReflectionResponse { return files([]byte{1}) }, []string{"another question"}},
		{"hangs up", func(string) *reflectionv1.ServerReflectionResponse { return nil }, []string{"without an answer"}},
		{"unknown service", func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "" {
				return listing("till.Till")
			}
			return refuse("what till?")
		}, []string{`"till.Till"`, "what till?"}},
		{"no file", func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "" {
				return listing("till.Till")
			}
			return files()
		}, []string{`"till.Till"`, "no file"}},
		{"garbage", func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "" {
				return listing("till.Till")
			}
			return files([]byte("\xff\xff"))
		}, []string{`"till.Till"`, "not a FileDescriptorProto"}},
		{"missing import", func(q string) *reflectionv1.ServerReflectionResponse {
			switch q {
			case "":
				return listing("till.Till")
			case "till.Till":
				return files(binary(t, till))
			default:
				return refuse("no such file")
			}
		}, []string{`"till.proto"`, "till.Till.Pay", "till.Money", `"money.proto" is missing`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := serve(t, func(s *grpc.Server) {
				reflectionv1.RegisterServerReflectionServer(s, fake{answer: test.answer})
			})
			_, err := contract.Reflect(t.Context(), conn)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(test.want, "server reflection") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// A server that sends imports with the files, or does not know the files of
// options under the name they are imported by, is common.
func TestReflectLenient(t *testing.T) {
	till := file("till.proto", `{"package": "till", "syntax": "proto3", "dependency": ["money.proto", "gogoproto/gogo.proto"], "service": [
		{"name": "Till", "method": [{"name": "Pay", "inputType": ".till.Money", "outputType": ".till.Money"}]}]}`)
	money := file("money.proto", `{"package": "till", "syntax": "proto3", "messageType": [{"name": "Money"}]}`)
	conn := serve(t, func(s *grpc.Server) {
		reflectionv1.RegisterServerReflectionServer(s, fake{answer: func(q string) *reflectionv1.ServerReflectionResponse {
			switch q {
			case "":
				return listing("till.Till", "grpc.reflection.v1.ServerReflection")
			case "till.Till":
				return files(binary(t, till), binary(t, money))
			default:
				return refuse("no such file")
			}
		}})
	})
	set, err := contract.Reflect(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if set.Method("till.Till.Pay") == nil {
		t.Error("no till.Till.Pay")
	}
}

func TestReflectTooLarge(t *testing.T) {
	huge := &descriptorpb.FileDescriptorProto{Dependency: []string{"next.proto"}, Options: &descriptorpb.FileOptions{JavaPackage: new(strings.Repeat("x", 24<<20))}}
	n := 0
	conn := serve(t, func(s *grpc.Server) {
		reflectionv1.RegisterServerReflectionServer(s, fake{answer: func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "" {
				return listing("a.A")
			}
			n++
			f := proto.CloneOf(huge)
			f.Name = new(strings.Repeat("n", n) + ".proto")
			f.Dependency = []string{strings.Repeat("n", n+1) + ".proto"}
			return files(binary(t, f))
		}})
	})
	if _, err := contract.Reflect(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("error %v", err)
	}
}

// A placeholder for an import that a server knows by name only is as good as "not
// found": alone, beside other files, and with the file itself to be had by name.
func TestReflectPlaceholder(t *testing.T) {
	till := file("till.proto", `{"package": "till", "syntax": "proto3", "dependency": ["money.proto", "gogoproto/gogo.proto", "google/api/annotations.proto"],
		"service": [{"name": "Till", "method": [{"name": "Pay", "inputType": ".till.Money", "outputType": ".till.Money"}]}]}`)
	money := file("money.proto", `{"package": "till", "syntax": "proto3", "messageType": [{"name": "Money"}]}`)
	unknown := func(name string) []byte {
		return binary(t, &descriptorpb.FileDescriptorProto{Name: new(name), Syntax: new("<unknown:0>")})
	}
	bare := func(name string) []byte { return binary(t, &descriptorpb.FileDescriptorProto{Name: new(name)}) }
	tests := map[string]func(string) *reflectionv1.ServerReflectionResponse{
		"by name": func(q string) *reflectionv1.ServerReflectionResponse {
			switch q {
			case "till.Till":
				return files(binary(t, till))
			case "money.proto":
				return files(binary(t, money))
			default:
				return files(unknown(q))
			}
		},
		"without a syntax": func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "till.Till" {
				return files(binary(t, till), binary(t, money))
			}
			return files(bare(q))
		},
		"nothing at all": func(q string) *reflectionv1.ServerReflectionResponse {
			if q == "till.Till" {
				return files(binary(t, till), binary(t, money))
			}
			return files()
		},
		"with the others": func(q string) *reflectionv1.ServerReflectionResponse {
			switch q {
			case "till.Till":
				return files(binary(t, till), unknown("money.proto"), unknown("gogoproto/gogo.proto"), unknown("google/api/annotations.proto"))
			case "money.proto":
				return files(binary(t, money))
			default:
				return refuse("no such file")
			}
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, func(s *grpc.Server) {
				reflectionv1.RegisterServerReflectionServer(s, fake{answer: func(q string) *reflectionv1.ServerReflectionResponse {
					if q == "" {
						return listing("till.Till")
					}
					return answer(q)
				}})
			})
			set, err := contract.Reflect(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			if set.Method("till.Till.Pay") == nil {
				t.Error("the RPC is not there")
			}
			if f, err := set.Files.FindFileByPath("google/api/annotations.proto"); err != nil || f.Extensions().Len() == 0 {
				t.Errorf("the binary's own file does not take the placeholder's place: %v", err)
			}
		})
	}
}

func TestReflectNotOffered(t *testing.T) {
	conn := serve(t, shop)
	if _, err := contract.Reflect(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "does not offer it") {
		t.Errorf("error %v", err)
	}
}

func TestReflectCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	conn := serve(t, func(s *grpc.Server) {
		reflectionv1.RegisterServerReflectionServer(s, silent{cancel: cancel})
	})
	if _, err := contract.Reflect(ctx, conn); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("error %v", err)
	}
}

// An upstream that is not there is told from one that does not answer.
func TestReflectUnreachable(t *testing.T) {
	conn, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errors.New("no route at all") }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := contract.Reflect(ctx, conn); err == nil || !strings.Contains(err.Error(), "server reflection: no connection in time: no route at all") {
		t.Errorf("error %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// silent never answers; the question has the client give up.
type silent struct {
	reflectionv1.UnimplementedServerReflectionServer
	cancel context.CancelCauseFunc
}

func (s silent) ServerReflectionInfo(stream reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	s.cancel(errors.New("enough"))
	<-stream.Context().Done()
	return status.FromContextError(stream.Context().Err()).Err()
}
