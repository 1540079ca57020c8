package openapi

import (
	"regexp"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// fieldOptions is what the options of a field say of it.
type fieldOptions struct {
	required, outputOnly, inputOnly, immutable, identifier bool

	rules *validate.FieldRules
}

// note says in words what no keyword says.
func (o *fieldOptions) note() string {
	switch {
	case o.identifier:
		return "Names the resource; it cannot be changed."
	case o.immutable:
		return "It cannot be changed later."
	default:
		return ""
	}
}

// known resolves the extensions that are read here. It is filled once and then read
// only.
var known = func() *protoregistry.Types {
	types := new(protoregistry.Types)
	for _, xt := range []protoreflect.ExtensionType{
		annotations.E_FieldBehavior, annotations.E_Resource, annotations.E_ResourceDefinition,
		validate.E_Field, validate.E_Message, validate.E_Oneof,
	} {
		if types.RegisterExtension(xt) != nil {
			return nil // never: no two have one name
		}
	}
	return types
}()

// reread returns the options of a descriptor with the extensions above as the types
// that are linked in, or nil where there are none. Contracts from elsewhere carry
// options as whatever their maker knew them as.
func reread(d protoreflect.Descriptor) proto.Message {
	options := d.Options()
	if options == nil || !options.ProtoReflect().IsValid() {
		return nil
	}
	wire, err := proto.MarshalOptions{AllowPartial: true}.Marshal(options)
	if err != nil || len(wire) == 0 {
		return nil
	}
	fresh := options.ProtoReflect().New().Interface()
	if (proto.UnmarshalOptions{AllowPartial: true, Resolver: known}).Unmarshal(wire, fresh) != nil {
		return nil
	}
	return fresh
}

// extension is the value of an extension, or the zero value.
func extension[T any](options proto.Message, xt protoreflect.ExtensionType) T {
	var zero T
	if options == nil || !proto.HasExtension(options, xt) {
		return zero
	}
	value, _ := proto.GetExtension(options, xt).(T)
	return value
}

// optionsOf reads the options of a field once.
func (b *builder) optionsOf(fd protoreflect.FieldDescriptor) *fieldOptions {
	if o, ok := b.options[fd]; ok {
		return o
	}
	o := new(fieldOptions)
	b.options[fd] = o
	options := reread(fd)
	if options == nil {
		return o
	}
	for _, behavior := range extension[[]annotations.FieldBehavior](options, annotations.E_FieldBehavior) {
		switch behavior {
		case annotations.FieldBehavior_REQUIRED:
			o.required = true
		case annotations.FieldBehavior_OUTPUT_ONLY:
			o.outputOnly = true
		case annotations.FieldBehavior_INPUT_ONLY:
			o.inputOnly = true
		case annotations.FieldBehavior_IMMUTABLE:
			o.immutable = true
		case annotations.FieldBehavior_IDENTIFIER:
			o.identifier = true
		}
	}
	o.rules = extension[*validate.FieldRules](options, validate.E_Field)
	if o.rules.GetIgnore() == validate.Ignore_IGNORE_ALWAYS {
		o.rules = nil
	}
	o.required = o.required || o.rules.GetRequired() || o.rules != nil && !fd.HasPresence() && refusesZero(o.rules)
	return o
}

func isRequiredOneof(oneof protoreflect.OneofDescriptor) bool {
	return extension[*validate.OneofRules](reread(oneof), validate.E_Oneof).GetRequired()
}

// isDeprecated reports whether a descriptor, or the file that it stands in, is marked
// deprecated.
func isDeprecated(d protoreflect.Descriptor) bool {
	switch o := d.Options().(type) {
	case *descriptorpb.FieldOptions:
		return o.GetDeprecated()
	case *descriptorpb.MessageOptions:
		return o.GetDeprecated()
	case *descriptorpb.EnumOptions:
		return o.GetDeprecated()
	case *descriptorpb.EnumValueOptions:
		return o.GetDeprecated()
	case *descriptorpb.MethodOptions:
		service, _ := d.Parent().Options().(*descriptorpb.ServiceOptions)
		file, _ := d.ParentFile().Options().(*descriptorpb.FileOptions)
		return o.GetDeprecated() || service.GetDeprecated() || file.GetDeprecated()
	default:
		return false
	}
}

// resources finds the names of the parts of resource names, by the form of the name:
// "shelves/*" has "shelf".
type resources map[string][]string

// of names the variables of a template, as many of them as some pattern begins with.
func (r resources) of(template string) []string {
	for {
		if names := r[template]; names != nil {
			return names
		}
		slash := strings.LastIndexByte(template, '/')
		if slash < 0 {
			return nil
		}
		template = template[:slash]
	}
}

// withImports adds to files all that they import.
func withImports(files []protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	var all []protoreflect.FileDescriptor
	seen := map[string]bool{}
	var visit func(file protoreflect.FileDescriptor)
	visit = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		all = append(all, file)
		for i := range file.Imports().Len() {
			visit(file.Imports().Get(i).FileDescriptor)
		}
	}
	for _, file := range files {
		visit(file)
	}
	return all
}

// readResources reads the patterns of all resources that files declare. A whole pattern
// counts before the beginning of another.
func readResources(files []protoreflect.FileDescriptor) resources {
	r := resources{}
	var prefixes []func()
	read := func(resource *annotations.ResourceDescriptor) {
		for _, pattern := range resource.GetPattern() {
			r.add(pattern, true)
			prefixes = append(prefixes, func() { r.add(pattern, false) })
		}
	}
	var messages func(list protoreflect.MessageDescriptors)
	messages = func(list protoreflect.MessageDescriptors) {
		for i := range list.Len() {
			read(extension[*annotations.ResourceDescriptor](reread(list.Get(i)), annotations.E_Resource))
			messages(list.Get(i).Messages())
		}
	}
	for _, file := range files {
		for _, resource := range extension[[]*annotations.ResourceDescriptor](reread(file), annotations.E_ResourceDefinition) {
			read(resource)
		}
		messages(file.Messages())
	}
	for _, add := range prefixes {
		add()
	}
	return r
}

// notInNames is what a parameter's name cannot have: "{user}~{device}" has two names in
// one segment.
var notInNames = regexp.MustCompile(`\W+`)

// add enters a pattern, or the beginnings of it that end in a variable.
func (r resources) add(pattern string, whole bool) {
	segments := strings.Split(pattern, "/")
	var form, names []string
	for i, segment := range segments {
		inner, isVariable := strings.CutPrefix(segment, "{")
		if !isVariable {
			form = append(form, segment)
			continue
		}
		name, wildcard, _ := strings.Cut(strings.TrimSuffix(inner, "}"), "=")
		if wildcard == "" {
			wildcard = "*"
		}
		form, names = append(form, wildcard), append(names, notInNames.ReplaceAllString(name, "_"))
		if last := i == len(segments)-1; last != whole {
			continue
		}
		key := strings.Join(form, "/")
		if _, taken := r[key]; !taken {
			r[key] = append([]string(nil), names...)
		}
	}
	if whole && len(segments) > 0 && !strings.HasPrefix(segments[len(segments)-1], "{") { // a singleton: products/{product}/price
		key := strings.Join(form, "/")
		if _, taken := r[key]; !taken {
			r[key] = names
		}
	}
}
