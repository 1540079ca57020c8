// Package reflection answers gRPC server reflection: it shows RPCs and what these
// reach, and nothing else. Comments are left out, and so are options that
// descriptor.proto does not define.
//
// grpc-go's own server shows whole files, and encodes them for each question.
package reflection

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

// Versions are the names of the RPC, whose messages are the same on the wire.
var Versions = [...]string{
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}

const (
	// maxQuestions bounds those of one stream.
	maxQuestions = 10_000
	// maxQuestionBytes bounds one of them: names are short.
	maxQuestionBytes = 8 << 10
)

// Contract is what is shown. It is immutable.
type Contract struct {
	services []string
	files    *protoregistry.Files
	encoded  map[string][]byte // by path
	numbers  map[protoreflect.FullName]map[int32]protoreflect.ExtensionDescriptor
}

// Upstream is what one upstream has exposed.
type Upstream struct {
	Name    string
	Methods []protoreflect.MethodDescriptor
	// Extensions may extend what the methods reach.
	Extensions []protoreflect.ExtensionDescriptor
}

// New shows what upstreams have exposed, and the messages beside. Where upstreams
// differ about a message, the first one has it. One whose contract contradicts those
// before it is left out.
func New(upstreams []Upstream, beside []protoreflect.MessageDescriptor) (_ *Contract, leftOut []string, err error) {
	c, err := newContract(upstreams, beside)
	if err == nil {
		return c, nil, nil
	}
	var fit []Upstream
	for _, u := range upstreams {
		if _, err := newContract(append(slices.Clip(fit), u), beside); err != nil {
			leftOut = append(leftOut, u.Name)
			continue
		}
		fit = append(fit, u)
	}
	c, err = newContract(fit, beside)
	return c, leftOut, err
}

func newContract(upstreams []Upstream, beside []protoreflect.MessageDescriptor) (*Contract, error) {
	p := newPruner()
	for _, u := range upstreams {
		p.methods(u.Methods)
	}
	for _, md := range beside {
		p.message(md)
	}
	p.follow()
	for _, u := range upstreams {
		p.extend(u.Extensions)
	}
	set, err := p.set()
	if err != nil {
		return nil, err
	}
	c := &Contract{encoded: make(map[string][]byte, len(set.GetFile())), numbers: map[protoreflect.FullName]map[int32]protoreflect.ExtensionDescriptor{}}
	if c.files, err = link(set); err != nil {
		return nil, err
	}
	for _, f := range set.GetFile() {
		if c.encoded[f.GetName()], err = (proto.MarshalOptions{Deterministic: true, AllowPartial: true}).Marshal(f); err != nil {
			return nil, err
		}
	}
	for _, d := range p.known {
		switch d := d.(type) {
		case protoreflect.ServiceDescriptor:
			c.services = append(c.services, string(d.FullName()))
		case protoreflect.ExtensionDescriptor:
			of := d.ContainingMessage().FullName()
			if c.numbers[of] == nil {
				c.numbers[of] = map[int32]protoreflect.ExtensionDescriptor{}
			}
			c.numbers[of][int32(d.Number())] = d
		}
	}
	slices.Sort(c.services)
	return c, nil
}

// Services are the names of the services.
func (c *Contract) Services() []string { return c.services }

// Serve answers the questions of one stream by the contract in force at each.
func Serve(stream grpc.ServerStream, now func() (*Contract, error), asked func()) error {
	sent := map[string]bool{}
	for n := 0; ; n++ {
		question := new(reflectionv1.ServerReflectionRequest)
		switch err := stream.RecvMsg(question); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n == maxQuestions:
			return call.Refuse(call.Client, codes.ResourceExhausted, "a stream of reflection has at most %d questions: open another", maxQuestions)
		case proto.Size(question) > maxQuestionBytes:
			return call.Refuse(call.Client, codes.InvalidArgument, "a question of reflection has at most %d bytes", maxQuestionBytes)
		}
		asked()
		c, err := now()
		if err != nil {
			return err
		}
		answer := c.answer(question, sent)
		answer.ValidHost, answer.OriginalRequest = question.GetHost(), question
		if err := stream.SendMsg(answer); err != nil {
			return err
		}
	}
}

func (c *Contract) answer(question *reflectionv1.ServerReflectionRequest, sent map[string]bool) *reflectionv1.ServerReflectionResponse {
	switch q := question.GetMessageRequest().(type) {
	case *reflectionv1.ServerReflectionRequest_ListServices:
		list := new(reflectionv1.ListServiceResponse)
		for _, name := range c.services {
			list.Service = append(list.Service, &reflectionv1.ServiceResponse{Name: name})
		}
		return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}}
	case *reflectionv1.ServerReflectionRequest_FileByFilename:
		file, err := c.files.FindFileByPath(q.FileByFilename)
		return c.fileAnswer(file, err, sent, "file", q.FileByFilename)
	case *reflectionv1.ServerReflectionRequest_FileContainingSymbol:
		d, err := c.files.FindDescriptorByName(protoreflect.FullName(q.FileContainingSymbol))
		if err != nil {
			return notFound("symbol", q.FileContainingSymbol)
		}
		return c.fileAnswer(d.ParentFile(), nil, sent, "symbol", q.FileContainingSymbol)
	case *reflectionv1.ServerReflectionRequest_FileContainingExtension:
		of, number := q.FileContainingExtension.GetContainingType(), q.FileContainingExtension.GetExtensionNumber()
		x := c.numbers[protoreflect.FullName(of)][number]
		if x == nil {
			return notFound("extension", fmt.Sprintf("%s %d", of, number))
		}
		file, err := c.files.FindFileByPath(x.ParentFile().Path())
		return c.fileAnswer(file, err, sent, "extension", of)
	case *reflectionv1.ServerReflectionRequest_AllExtensionNumbersOfType:
		if _, err := c.files.FindDescriptorByName(protoreflect.FullName(q.AllExtensionNumbersOfType)); err != nil {
			return notFound("message", q.AllExtensionNumbersOfType)
		}
		list := &reflectionv1.ExtensionNumberResponse{BaseTypeName: q.AllExtensionNumbersOfType}
		for number := range c.numbers[protoreflect.FullName(q.AllExtensionNumbersOfType)] {
			list.ExtensionNumber = append(list.ExtensionNumber, number)
		}
		slices.SortFunc(list.GetExtensionNumber(), cmp.Compare[int32])
		return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_AllExtensionNumbersResponse{AllExtensionNumbersResponse: list}}
	default:
		return refusal(codes.InvalidArgument, "the question asks for nothing that is known here")
	}
}

// fileAnswer is a file with those of its imports that the stream has not sent yet.
func (c *Contract) fileAnswer(file protoreflect.FileDescriptor, err error, sent map[string]bool, kind, name string) *reflectionv1.ServerReflectionResponse {
	if err != nil {
		return notFound(kind, name)
	}
	answer := new(reflectionv1.FileDescriptorResponse)
	add := func(path string) {
		sent[path] = true
		answer.FileDescriptorProto = append(answer.FileDescriptorProto, c.encoded[path])
	}
	add(file.Path())
	for queue := []protoreflect.FileDescriptor{file}; len(queue) > 0; queue = queue[1:] {
		imports := queue[0].Imports()
		for i := range imports.Len() {
			if dep := imports.Get(i).FileDescriptor; !dep.IsPlaceholder() && !sent[dep.Path()] {
				add(dep.Path())
				queue = append(queue, dep)
			}
		}
	}
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{FileDescriptorResponse: answer}}
}

func notFound(kind, name string) *reflectionv1.ServerReflectionResponse {
	return refusal(codes.NotFound, fmt.Sprintf("%s %q is not shown here", kind, name))
}

func refusal(code codes.Code, text string) *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{
		ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: int32(code), ErrorMessage: text},
	}}
}
