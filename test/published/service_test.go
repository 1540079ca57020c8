package published_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A keeper is a service that keeps its contract: it refuses a request without what is
// REQUIRED (AIP-203) or against a rule that JSON Schema has a keyword for, and answers
// every other one with a message in which fields of all kinds are set. So whatever else
// is refused, the gateway refuses.
type keeper struct {
	files *protoregistry.Files
	rules rules
	calls atomic.Int64
}

// keep serves a contract from a loopback port until the test ends and returns its
// address.
func keep(t *testing.T, image string) string {
	t.Helper()
	k := &keeper{files: filesOf(t, image), rules: newRules(t)}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(k.serve))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// filesOf reads a compressed image.
func filesOf(t *testing.T, image string) *protoregistry.Files {
	t.Helper()
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// faultHeader is the metadata by which a test has a call fail: a status code's number.
const faultHeader = "x-test-fault"

func (k *keeper) serve(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	desc, err := k.files.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")))
	if err != nil {
		return status.Error(codes.Unimplemented, err.Error())
	}
	method, isMethod := desc.(protoreflect.MethodDescriptor)
	if !isMethod {
		return status.Errorf(codes.Unimplemented, "%s is no RPC", name)
	}
	if err := fault(stream.Context()); err != nil {
		return err
	}
	if err := k.receive(method, stream); err != nil {
		return err
	}
	answers := 1
	if method.IsStreamingServer() {
		answers = 3
	}
	for range answers {
		out := dynamicpb.NewMessage(method.Output())
		fill(out, int(k.calls.Add(1)), 0)
		if err := stream.SendMsg(out); err != nil {
			return err
		}
	}
	return nil
}

// receive reads the requests of a call and refuses those that break the contract.
func (k *keeper) receive(method protoreflect.MethodDescriptor, stream grpc.ServerStream) error {
	for {
		in := dynamicpb.NewMessage(method.Input())
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) && method.IsStreamingClient() {
			return nil
		} else if err != nil {
			return err
		}
		if err := k.rules.check(in); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if !method.IsStreamingClient() {
			return nil
		}
	}
}

func fault(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get(faultHeader); len(values) > 0 {
		code, err := strconv.Atoi(values[0])
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		return status.Error(codes.Code(code), "out of order, as you wished")
	}
	return nil
}
