// Package publicapi makes the contract of a large public API, such as that of a cloud:
// hundreds of products with their resources, nested messages, types that packages
// share, enums, oneofs, maps, comments, deep imports, long-running operations and the
// annotations of google.api. Equal options make equal contracts.
package publicapi

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Options say how large the API is.
type Options struct {
	Seed     uint64
	RPCs     int
	Bindings int // from RPCs to twice as many
	Files    int // at least eight for each product
	Comments bool
}

// Large is as large as public APIs get.
func Large() Options {
	return Options{Seed: 1, RPCs: 10_600, Bindings: 12_400, Files: 7_000, Comments: true}
}

// rpcsOfProduct is how many RPCs a product has.
const rpcsOfProduct = 15

// maker makes the files one by one, each behind its imports.
type maker struct {
	Options
	rand     *rand.Rand
	texts    *rand.Rand // of comments, which are not to change the rest
	set      *descriptorpb.FileDescriptorSet
	where    map[string]string // type -> path of its file
	shared   pool              // what every product may use
	rpcs     int
	bindings int
}

// pool are the types that fields may have.
type pool struct{ messages, enums []string }

// Make makes the contract.
func Make(o Options) *descriptorpb.FileDescriptorSet {
	m := &maker{Options: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), texts: rand.New(rand.NewPCG(o.Seed, 1)),
		set: new(descriptorpb.FileDescriptorSet), where: map[string]string{}}
	for _, file := range []protoreflect.FileDescriptor{
		annotations.File_google_api_annotations_proto, annotations.File_google_api_client_proto,
		annotations.File_google_api_field_behavior_proto, annotations.File_google_api_resource_proto,
		anypb.File_google_protobuf_any_proto, durationpb.File_google_protobuf_duration_proto,
		emptypb.File_google_protobuf_empty_proto, fieldmaskpb.File_google_protobuf_field_mask_proto,
		structpb.File_google_protobuf_struct_proto, timestamppb.File_google_protobuf_timestamp_proto,
		wrapperspb.File_google_protobuf_wrappers_proto,
	} {
		m.known(file)
	}
	m.operations()
	m.common()
	products := (o.RPCs + rpcsOfProduct - 1) / rpcsOfProduct
	for i := range products {
		m.product(i, (o.Files-len(m.set.GetFile()))/(products-i))
	}
	return m.set
}

// known adds a file that Go code has, behind its imports.
func (m *maker) known(file protoreflect.FileDescriptor) {
	for _, f := range m.set.GetFile() {
		if f.GetName() == file.Path() {
			return
		}
	}
	for i := range file.Imports().Len() {
		m.known(file.Imports().Get(i))
	}
	m.set.File = append(m.set.File, protodesc.ToFileDescriptorProto(file))
	for i := range file.Messages().Len() {
		m.where["."+string(file.Messages().Get(i).FullName())] = file.Path()
	}
}

// operations adds what long-running RPCs return, and the option that says what of.
func (m *maker) operations() {
	f := m.file("acme/longrunning/operations.proto", "acme.longrunning")
	status := f.message("Status")
	status.field("code", descriptorpb.FieldDescriptorProto_TYPE_INT32, "")
	status.field("message", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	status.repeated("details", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Any")
	op := f.message("Operation")
	op.field("name", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	op.field("metadata", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Any")
	op.field("done", descriptorpb.FieldDescriptorProto_TYPE_BOOL, "")
	op.oneof("result", func() {
		op.field("error", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, status.name)
		op.field("response", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.Any")
	})
	info := f.message("OperationInfo")
	info.field("response_type", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	info.field("metadata_type", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	f.use(".google.protobuf.MethodOptions")
	f.Extension = append(f.Extension, &descriptorpb.FieldDescriptorProto{
		Name: new("operation_info"), JsonName: new("operationInfo"), Number: new(int32(operationInfo)), Extendee: new(".google.protobuf.MethodOptions"),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: &info.name,
	})
}

// operationInfo is the number of the option of that name.
const operationInfo = 1049

// common adds types that all products share.
func (m *maker) common() {
	for i := range 24 {
		f := m.file(fmt.Sprintf("acme/type/%s.proto", word(i)), "acme.type")
		m.shared.enums = append(m.shared.enums, f.enum(title(word(i))+"Kind"))
		msg := f.message(title(word(i)))
		msg.fill(6, m.shared)
		m.shared.messages = append(m.shared.messages, msg.name)
	}
	for _, name := range []string{"Timestamp", "Timestamp", "Duration", "Struct", "Any", "Int64Value", "StringValue"} {
		m.shared.messages = append(m.shared.messages, ".google.protobuf."+name)
	}
}

// product adds a product: files that its services share, each of which may use those
// before it, and two services.
func (m *maker) product(i, files int) {
	name := word(i%len(words)) + word(i/len(words)+7)
	folder, pkg := "acme/"+name+"/v1/", "acme."+name+".v1"
	types := m.shared
	resources := make([]string, 0, 3)
	for j := range max(files-2, 4) {
		f := m.file(fmt.Sprintf("%s%s_%d.proto", folder, word(i+j), j), pkg)
		types.enums = append(slices.Clip(types.enums), f.enum(fmt.Sprintf("%s%dKind", title(word(i+j)), j)))
		for k := range 3 {
			msg := f.message(fmt.Sprintf("%s%s%d", title(word(i+j)), title(word(i+j+k+1)), j))
			if k == 0 && len(resources) < cap(resources) {
				msg.resource(name)
				resources = append(resources, msg.name)
			}
			inner := msg.nested("Settings")
			inner.fill(4, types)
			msg.field("settings", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, inner.name)
			msg.fill(7, types)
			types.messages = append(slices.Clip(types.messages), msg.name)
		}
	}
	for j, methods := range [][]methodKind{{get, list, create, update, remove, get, list, create}, {update, remove, get, list, run, watch, batch}} {
		f := m.file(fmt.Sprintf("%s%s_service_%d.proto", folder, name, j), pkg)
		s := &service{file: f, product: name, types: types, ServiceDescriptorProto: &descriptorpb.ServiceDescriptorProto{
			Name: new(fmt.Sprintf("%sService%d", title(name), j)), Options: new(descriptorpb.ServiceOptions),
		}}
		proto.SetExtension(s.Options, annotations.E_DefaultHost, name+".acme.example")
		f.Service = append(f.Service, s.ServiceDescriptorProto)
		f.note(6, 0)
		f.imports("google/api/annotations.proto")
		f.imports("google/api/client.proto")
		for k, kind := range methods {
			if m.rpcs == m.RPCs {
				break
			}
			s.method(kind, resources[(j*8+k)/5])
		}
	}
}

// methodKind is what an RPC does.
type methodKind int

const (
	get methodKind = iota
	list
	create
	update
	remove
	run   // begins a long-running operation
	watch // streams
	batch
)

// service is a service that is being made.
type service struct {
	*file
	*descriptorpb.ServiceDescriptorProto
	product string
	types   pool
}

// method adds an RPC on a resource, with its request and, where it has one of its own,
// its response.
func (s *service) method(kind methodKind, resource string) {
	thing := resource[lastDot(resource)+1:]
	verb := [...]string{"Get", "List", "Create", "Update", "Delete", "Run", "Watch", "BatchGet"}[kind]
	name := fmt.Sprintf("%s%s", verb, thing)
	request, response := s.message(name+"Request"), resource
	at := "/v1/{name=projects/*/locations/*/" + s.product + thing + "/*}"
	all := "/v1/{parent=projects/*/locations/*}/" + s.product + thing
	field := "name"
	if kind == list || kind == create || kind == batch {
		field = "parent"
	}
	if kind != update {
		request.field(field, descriptorpb.FieldDescriptorProto_TYPE_STRING, "").required()
	}
	rule := new(annotations.HttpRule)
	switch kind {
	case get:
		rule.Pattern = &annotations.HttpRule_Get{Get: at}
	case list, batch:
		rule.Pattern = &annotations.HttpRule_Get{Get: all + map[methodKind]string{batch: ":batchGet"}[kind]}
		request.field("page_size", descriptorpb.FieldDescriptorProto_TYPE_INT32, "")
		request.field("page_token", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
		answer := s.message(name + "Response")
		answer.repeated("items", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, resource)
		answer.field("next_page_token", descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
		response = answer.name
	case create:
		rule.Pattern, rule.Body, response = &annotations.HttpRule_Post{Post: all}, "item", operation
		request.field("item", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, resource).required()
	case update:
		rule.Pattern, rule.Body = &annotations.HttpRule_Patch{Patch: "/v1/{item.name=projects/*/locations/*/" + s.product + thing + "/*}"}, "item"
		request.field("item", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, resource).required()
		request.field("update_mask", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, ".google.protobuf.FieldMask")
	case remove:
		rule.Pattern, response = &annotations.HttpRule_Delete{Delete: at}, ".google.protobuf.Empty"
	case run:
		rule.Pattern, rule.Body, response = &annotations.HttpRule_Post{Post: at + ":run"}, "*", operation
	case watch:
		rule.Pattern = &annotations.HttpRule_Get{Get: at + ":watch"}
	}
	request.fill(3, s.types)
	s.add(name, request.name, response, rule, kind == watch)
}

// operation is what an RPC returns that takes long.
const operation = ".acme.longrunning.Operation"

// add adds the RPC with its options.
func (s *service) add(name, request, response string, rule *annotations.HttpRule, streams bool) {
	m := s.m
	m.rpcs++
	m.bindings++
	if (m.rpcs*(m.Bindings-m.RPCs))/m.RPCs > m.bindings-m.rpcs {
		m.bindings++
		other := proto.CloneOf(rule)
		switch p := other.GetPattern().(type) {
		case *annotations.HttpRule_Get:
			p.Get = organizations(p.Get)
		case *annotations.HttpRule_Post:
			p.Post = organizations(p.Post)
		case *annotations.HttpRule_Patch:
			p.Patch = organizations(p.Patch)
		case *annotations.HttpRule_Delete:
			p.Delete = organizations(p.Delete)
		}
		rule.AdditionalBindings = append(rule.AdditionalBindings, other)
	}
	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, annotations.E_Http, rule)
	proto.SetExtension(options, annotations.E_MethodSignature, []string{"name"})
	s.use(response)
	if response == operation {
		info := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "Thing")
		info = protowire.AppendString(protowire.AppendTag(info, 2, protowire.BytesType), "OperationMetadata")
		options.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, operationInfo, protowire.BytesType), info))
	}
	s.Method = append(s.Method, &descriptorpb.MethodDescriptorProto{
		Name: &name, InputType: &request, OutputType: &response, Options: options, ServerStreaming: new(streams),
	})
	s.note(6, 0, 2, int32(len(s.GetMethod())-1))
}
