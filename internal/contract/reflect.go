package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec of reflection, whatever the connection's own
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// What a server may make of us by its answers.
const (
	reflectTimeout  = 15 * time.Second // for all of it, if ctx allows as much
	maxReflectBytes = 64 << 20         // of all descriptors
	maxReflectFiles = 20_000
	maxReplyBytes   = 32 << 20
)

// The two versions have the same messages, bar their names.
const (
	reflectV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectV1Alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// Reflect asks a server for its contract by gRPC server reflection: v1, or
// v1alpha where the server does not know that. The reflection services
// themselves are left out of the answer. It takes 15 seconds at most, and 64
// MiB of descriptors. Errors name the service or file that is wrong.
func Reflect(ctx context.Context, conn grpc.ClientConnInterface) (*Set, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reflectTimeout, fmt.Errorf("no answer within %v", reflectTimeout))
	defer cancel()
	s, err := reflect(ctx, conn, reflectV1)
	if status.Code(err) == codes.Unimplemented {
		s, err = reflect(ctx, conn, reflectV1Alpha)
	}
	switch {
	case err == nil:
		return s, nil
	case status.Code(err) == codes.Unimplemented:
		return nil, errors.New("server reflection: the server does not offer it: register it there, or give an image")
	case ctx.Err() != nil:
		return nil, late(ctx, err)
	default:
		return nil, fmt.Errorf("server reflection: %w", err)
	}
}

// late says why there was no answer in time. grpc-go knows more than the
// context where no connection came about.
func late(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("server reflection: %w", context.Cause(ctx))
	}
	text := status.Convert(err).Message()
	if _, why, ok := strings.Cut(text, "rror while dialing: "); ok {
		return fmt.Errorf("server reflection: no connection in time: %s", strings.TrimSuffix(why, "\""))
	}
	return fmt.Errorf("server reflection: no answer in time: %s", text)
}

func reflect(ctx context.Context, conn grpc.ClientConnInterface, method string) (*Set, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream, however this ends
	defer cancel()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, desc, method, grpc.ForceCodecV2(encoding.GetCodecV2("proto")),
		grpc.MaxCallRecvMsgSize(maxReplyBytes), grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	r := &reflector{stream: stream, seen: map[string]bool{}}
	if err := r.services(); err != nil {
		return nil, err
	}
	if err := r.imports(); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return link(r.files, protoregistry.GlobalTypes, "the server knows no such file")
}

// reflector gathers files over one stream, one question at a time.
type reflector struct {
	stream grpc.ClientStream
	files  [][]byte
	seen   map[string]bool // by file name
	bytes  int
}

func (r *reflector) ask(question *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	if err := r.stream.SendMsg(question); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	answer := new(reflectionv1.ServerReflectionResponse)
	err := r.stream.RecvMsg(answer) // tells also why a send failed with EOF
	if errors.Is(err, io.EOF) {
		err = errors.New("the server ended the stream without an answer")
	}
	return answer, err
}

// services asks for all services and the files that define them.
func (r *reflector) services() error {
	answer, err := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if err != nil {
		return err
	}
	if e := answer.GetErrorResponse(); e != nil {
		return fmt.Errorf("listing the services: %s", refusal(e))
	}
	list := answer.GetListServicesResponse()
	if list == nil {
		return errors.New("listing the services: the answer is to another question")
	}
	for _, service := range list.GetService() {
		if strings.HasPrefix(service.GetName(), "grpc.reflection.") {
			continue
		}
		if err := r.service(service.GetName()); err != nil {
			return fmt.Errorf("service %q: %w", service.GetName(), err)
		}
	}
	return nil
}

func (r *reflector) service(name string) error {
	answer, err := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
	})
	if err != nil {
		return err
	}
	if e := answer.GetErrorResponse(); e != nil {
		return fmt.Errorf("the server lists it and does not describe it: %s", refusal(e))
	}
	return r.keep(answer.GetFileDescriptorResponse())
}

// imports asks for what the files import, and those in turn. Servers may send
// it unasked.
func (r *reflector) imports() error {
	for i := 0; i < len(r.files); i++ { //nolint:intrange // the list grows while it is read
		for _, name := range importsOf(r.files[i]) {
			if r.seen[name] {
				continue
			}
			if err := r.file(name); err != nil {
				return fmt.Errorf("file %q: %w", name, err)
			}
			r.seen[name] = true
		}
	}
	return nil
}

func (r *reflector) file(name string) error {
	if _, err := protoregistry.GlobalFiles.FindFileByPath(name); err == nil && strings.HasPrefix(name, "google/protobuf/") {
		return nil // the same everywhere
	}
	answer, err := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: name},
	})
	if err != nil {
		return err
	}
	if answer.GetErrorResponse() != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		return nil // linking tells whether anything needs it
	}
	return r.keep(answer.GetFileDescriptorResponse())
}

func (r *reflector) keep(answer *reflectionv1.FileDescriptorResponse) error {
	if len(answer.GetFileDescriptorProto()) == 0 {
		return errors.New("the answer holds no file")
	}
	for _, wire := range answer.GetFileDescriptorProto() {
		r.bytes += len(wire)
		if r.bytes > maxReflectBytes || len(r.files) >= maxReflectFiles {
			return fmt.Errorf("the contract is larger than %d MiB or %d files: give an image", maxReflectBytes>>20, maxReflectFiles)
		}
		if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(wire, new(descriptorpb.FileDescriptorProto)); err != nil {
			return errors.New("the answer is not a FileDescriptorProto")
		}
		// The server may know a file by its name that it gives no more than a
		// placeholder of with others.
		if name, bare := headOf(wire); !r.seen[name] && !bare {
			r.seen[name] = true
			r.files = append(r.files, wire)
		}
	}
	return nil
}

func refusal(e *reflectionv1.ErrorResponse) string {
	if e.GetErrorMessage() == "" {
		return codes.Code(e.GetErrorCode()).String()
	}
	return e.GetErrorMessage()
}
