package reflection

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// pruner cuts files down to methods and what these reach. Of two descriptors of one
// name, as two upstreams may have them, the first one counts.
type pruner struct {
	files    map[string]*prunedFile // by path
	known    map[protoreflect.FullName]protoreflect.Descriptor
	messages map[protoreflect.FullName]*prunedMessage
	todo     []protoreflect.MessageDescriptor // whose fields have yet to be followed
}

// parts are what may stand in a file and, but for services, in a message.
type parts struct {
	messages   []*prunedMessage
	enums      []protoreflect.EnumDescriptor
	extensions []protoreflect.ExtensionDescriptor
}

type prunedFile struct {
	desc protoreflect.FileDescriptor
	parts
	services map[protoreflect.FullName][]protoreflect.MethodDescriptor
}

// prunedMessage is a message that is reached, or one that only holds such.
type prunedMessage struct {
	desc    protoreflect.MessageDescriptor
	reached bool
	parts
}

func newPruner() *pruner {
	return &pruner{
		files: map[string]*prunedFile{}, known: map[protoreflect.FullName]protoreflect.Descriptor{},
		messages: map[protoreflect.FullName]*prunedMessage{},
	}
}

// methods takes methods and the messages that they reach.
func (p *pruner) methods(list []protoreflect.MethodDescriptor) {
	for _, m := range list {
		service := m.Parent().FullName()
		if p.known[service] == nil {
			p.known[service] = m.Parent()
		}
		if p.known[m.FullName()] == nil {
			p.known[m.FullName()] = m
			file := p.file(p.known[service].ParentFile())
			file.services[service] = append(file.services[service], m)
		}
		p.message(m.Input())
		p.message(m.Output())
	}
	p.follow()
}

// extend takes those extensions that extend what is reached, and what they reach.
func (p *pruner) extend(extensions []protoreflect.ExtensionDescriptor) {
	for before := -1; before != len(p.known); p.follow() { // an extension may reach a message that another extends
		before = len(p.known)
		for _, x := range extensions {
			if p.reached(x.ContainingMessage()) {
				p.extension(x)
			}
		}
	}
}

func (p *pruner) file(desc protoreflect.FileDescriptor) *prunedFile {
	f := p.files[desc.Path()]
	if f == nil {
		f = &prunedFile{desc: desc, services: map[protoreflect.FullName][]protoreflect.MethodDescriptor{}}
		p.files[desc.Path()] = f
	}
	return f
}

func (p *pruner) reached(md protoreflect.MessageDescriptor) bool {
	m := p.messages[md.FullName()]
	return m != nil && m.reached
}

// message takes a message, with those around it as empty shells.
func (p *pruner) message(md protoreflect.MessageDescriptor) {
	if m := p.shell(md); !m.reached {
		m.desc, m.reached = md, true
		p.known[md.FullName()] = md
		p.todo = append(p.todo, md)
	}
}

func (p *pruner) shell(md protoreflect.MessageDescriptor) *prunedMessage {
	m := p.messages[md.FullName()]
	if m == nil {
		m = &prunedMessage{desc: md}
		p.messages[md.FullName()] = m
		p.known[md.FullName()] = md
		around := p.around(md)
		around.messages = append(around.messages, m)
	}
	return m
}

// around is where a descriptor stands: in a message or in its file.
func (p *pruner) around(d protoreflect.Descriptor) *parts {
	if parent, ok := d.Parent().(protoreflect.MessageDescriptor); ok {
		return &p.shell(parent).parts
	}
	return &p.file(d.ParentFile()).parts
}

func (p *pruner) enum(ed protoreflect.EnumDescriptor) {
	if p.known[ed.FullName()] == nil {
		p.known[ed.FullName()] = ed
		around := p.around(ed)
		around.enums = append(around.enums, ed)
	}
}

func (p *pruner) extension(x protoreflect.ExtensionDescriptor) {
	if p.known[x.FullName()] == nil {
		p.known[x.FullName()] = x
		around := p.around(x)
		around.extensions = append(around.extensions, x)
		p.field(x)
	}
}

func (p *pruner) field(fd protoreflect.FieldDescriptor) {
	if md := fd.Message(); md != nil && !md.IsPlaceholder() {
		p.message(md)
	}
	if ed := fd.Enum(); ed != nil && !ed.IsPlaceholder() {
		p.enum(ed)
	}
}

func (p *pruner) follow() {
	for len(p.todo) > 0 {
		last := len(p.todo) - 1
		md := p.todo[last]
		p.todo = p.todo[:last]
		for i := range md.Fields().Len() {
			p.field(md.Fields().Get(i))
		}
	}
}

// set writes all files, each behind its imports.
func (p *pruner) set() (*descriptorpb.FileDescriptorSet, error) {
	files := make(map[string]*descriptorpb.FileDescriptorProto, len(p.files))
	for path, f := range p.files {
		files[path] = p.write(f)
	}
	set := new(descriptorpb.FileDescriptorSet)
	state := map[string]int{} // 1: begun, 2: done
	var add func(path string) error
	add = func(path string) error {
		switch state[path] {
		case 1:
			return fmt.Errorf("%s imports itself, by way of others", path)
		case 2:
			return nil
		}
		state[path] = 1
		for _, dep := range files[path].GetDependency() {
			if err := add(dep); err != nil {
				return err
			}
		}
		state[path] = 2
		set.File = append(set.File, files[path])
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := add(path); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (p *pruner) write(f *prunedFile) *descriptorpb.FileDescriptorProto {
	whole := protodesc.ToFileDescriptorProto(f.desc)
	out := &descriptorpb.FileDescriptorProto{
		Name: whole.Name, Package: whole.Package, Syntax: whole.Syntax, Edition: whole.Edition, Options: whole.GetOptions(),
	}
	for _, m := range byIndex(f.messages) {
		out.MessageType = append(out.MessageType, m.write())
	}
	out.EnumType, out.Extension = f.write()
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		methods := f.services[name]
		all := protodesc.ToServiceDescriptorProto(p.known[name].(protoreflect.ServiceDescriptor)) //nolint:forcetypeassert // prune puts it there
		service := &descriptorpb.ServiceDescriptorProto{Name: all.Name, Options: all.GetOptions()}
		slices.SortFunc(methods, func(a, b protoreflect.MethodDescriptor) int { return cmp.Compare(a.Index(), b.Index()) })
		for _, m := range methods {
			service.Method = append(service.Method, protodesc.ToMethodDescriptorProto(m))
		}
		out.Service = append(out.Service, service)
	}
	withoutExtensions(out.ProtoReflect())
	out.Dependency = p.imports(out)
	return out
}

// write writes what is no message and no service.
func (ps *parts) write() (enums []*descriptorpb.EnumDescriptorProto, extensions []*descriptorpb.FieldDescriptorProto) {
	slices.SortFunc(ps.enums, func(a, b protoreflect.EnumDescriptor) int { return cmp.Compare(a.Index(), b.Index()) })
	for _, e := range ps.enums {
		enums = append(enums, protodesc.ToEnumDescriptorProto(e))
	}
	slices.SortFunc(ps.extensions, func(a, b protoreflect.ExtensionDescriptor) int { return cmp.Compare(a.Index(), b.Index()) })
	for _, x := range ps.extensions {
		extensions = append(extensions, protodesc.ToFieldDescriptorProto(x))
	}
	return enums, extensions
}

func byIndex(list []*prunedMessage) []*prunedMessage {
	slices.SortFunc(list, func(a, b *prunedMessage) int {
		return cmp.Or(cmp.Compare(a.desc.Index(), b.desc.Index()), cmp.Compare(a.desc.FullName(), b.desc.FullName()))
	})
	return list
}

func (m *prunedMessage) write() *descriptorpb.DescriptorProto {
	out := &descriptorpb.DescriptorProto{Name: new(string(m.desc.Name()))}
	if m.reached {
		out = protodesc.ToDescriptorProto(m.desc)
		out.NestedType = nil
		for _, r := range out.GetExtensionRange() {
			r.Options = nil // they may name extensions that are not shown
		}
	}
	for _, nested := range byIndex(m.messages) {
		out.NestedType = append(out.NestedType, nested.write())
	}
	out.EnumType, out.Extension = m.parts.write()
	return out
}

// withoutExtensions takes away options that are not descriptor.proto's own: they
// belong to others than clients, such as the gateway's policies.
func withoutExtensions(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		m.SetUnknown(nil)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsExtension(), fd.Name() == "uninterpreted_option":
			m.Clear(fd)
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				withoutExtensions(v.List().Get(i).Message())
			}
		default:
			withoutExtensions(v.Message())
		}
		return true
	})
}

// imports are the files of all that a file names.
func (p *pruner) imports(file *descriptorpb.FileDescriptorProto) []string {
	paths := map[string]bool{}
	use := func(name string) {
		if d := p.known[protoreflect.FullName(strings.TrimPrefix(name, "."))]; d != nil && d.ParentFile().Path() != file.GetName() {
			paths[d.ParentFile().Path()] = true
		}
	}
	fields := func(list []*descriptorpb.FieldDescriptorProto) {
		for _, f := range list {
			use(f.GetTypeName())
			use(f.GetExtendee())
		}
	}
	var message func(*descriptorpb.DescriptorProto)
	message = func(m *descriptorpb.DescriptorProto) {
		fields(m.GetField())
		fields(m.GetExtension())
		for _, nested := range m.GetNestedType() {
			message(nested)
		}
	}
	for _, m := range file.GetMessageType() {
		message(m)
	}
	fields(file.GetExtension())
	for _, s := range file.GetService() {
		for _, m := range s.GetMethod() {
			use(m.GetInputType())
			use(m.GetOutputType())
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// link proves that the files stand on their own, but for what the contract itself
// lacks.
func link(set *descriptorpb.FileDescriptorSet) (*protoregistry.Files, error) {
	return protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
}
