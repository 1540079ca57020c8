package contract

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// linker makes descriptors of file descriptor messages that may come in any
// order and from any build.
//
// A file that is imported and not there is taken from the binary, as compilers
// often leave out google/protobuf and google/api. If it is not there either, it
// is missed only if something refers to what it should have defined: servers
// commonly do not know the files of options under the name they import.
type linker struct {
	given  map[string]*descriptorpb.FileDescriptorProto
	files  *protoregistry.Files
	state  map[string]progress
	advice string // what to do about a file that is missing

	messageSets map[protoreflect.FullName]bool
}

type progress uint8

const (
	untouched progress = iota
	linking
	linked
	missing
)

// link makes a set of the files given. advice ends the error about a file that
// is missing.
func link(given []*descriptorpb.FileDescriptorProto, advice string) (*Set, error) {
	l := &linker{
		given:  make(map[string]*descriptorpb.FileDescriptorProto, len(given)),
		files:  new(protoregistry.Files),
		state:  make(map[string]progress, len(given)),
		advice: advice,

		messageSets: map[protoreflect.FullName]bool{},
	}
	for _, file := range given {
		if err := l.add(file); err != nil {
			return nil, err
		}
	}
	for _, file := range given {
		if err := l.link(file.GetName()); err != nil {
			return nil, err
		}
	}
	set := newSet(l.files)
	set.messageSets = l.messageSets
	return set, nil
}

func (l *linker) add(file *descriptorpb.FileDescriptorProto) error {
	name := file.GetName()
	if name == "" {
		return errors.New("a file in it has no name")
	}
	if isPlaceholder(file) {
		return nil // as good as not given
	}
	if before, ok := l.given[name]; ok && !proto.Equal(before, file) {
		return fmt.Errorf("file %q is in it twice, with different contents", name)
	}
	l.given[name] = file
	return nil
}

// isPlaceholder reports whether a file has nothing but its name and syntax. That
// is how servers answer for an import that they know by name only, as grpc-go's
// reflection did (with the syntax "<unknown:0>").
func isPlaceholder(file *descriptorpb.FileDescriptorProto) bool {
	return proto.Equal(file, &descriptorpb.FileDescriptorProto{Name: file.Name, Syntax: file.Syntax})
}

// link registers the file and, before it, all that it imports.
func (l *linker) link(name string) error {
	switch l.state[name] {
	case linked, missing:
		return nil
	case linking:
		return fmt.Errorf("file %q imports itself, directly or through others", name)
	}
	l.state[name] = linking
	file, ok := l.given[name]
	if !ok {
		return l.borrow(name)
	}
	for _, dependency := range file.GetDependency() {
		if err := l.link(dependency); err != nil {
			return err
		}
	}
	return l.register(file)
}

// borrow takes a file that was not given from the binary.
func (l *linker) borrow(name string) error {
	l.state[name] = missing
	file, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil {
		return nil //nolint:nilerr // missed only if something refers to it
	}
	l.given[name] = protodesc.ToFileDescriptorProto(file)
	l.state[name] = untouched
	return l.link(name)
}

func (l *linker) register(file *descriptorpb.FileDescriptorProto) error {
	file, sets := withoutMessageSets(file)
	for _, name := range sets {
		l.messageSets[name] = true
	}
	made, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, l.files)
	if err != nil {
		return fmt.Errorf("file %q: %s", file.GetName(), plain(err))
	}
	if err := l.complete(made); err != nil {
		return err
	}
	if err := l.files.RegisterFile(made); err != nil {
		return fmt.Errorf("file %q: %s", file.GetName(), plain(err))
	}
	l.state[file.GetName()] = linked
	return nil
}

// complete reports what the file refers to that no file defines.
func (l *linker) complete(file protoreflect.FileDescriptor) error {
	check := func(user, used protoreflect.Descriptor) error {
		if used == nil || !used.IsPlaceholder() {
			return nil
		}
		return fmt.Errorf("file %q: %s refers to %s, which no file in it defines%s",
			file.Path(), user.FullName(), used.FullName(), l.blame(file))
	}
	if err := checkMessages(file.Messages(), check); err != nil {
		return err
	}
	if err := checkFields(file.Extensions(), check); err != nil {
		return err
	}
	for i := range file.Services().Len() {
		methods := file.Services().Get(i).Methods()
		for j := range methods.Len() {
			m := methods.Get(j)
			if err := errors.Join(check(m, m.Input()), check(m, m.Output())); err != nil {
				return err
			}
		}
	}
	return nil
}

// blame names the imports that are missing.
func (l *linker) blame(file protoreflect.FileDescriptor) string {
	var names []string
	for i := range file.Imports().Len() {
		if path := file.Imports().Get(i).Path(); l.state[path] == missing {
			names = append(names, fmt.Sprintf("%q", path))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(": its import of %s is missing; %s", strings.Join(names, ", "), l.advice)
}

type checkFunc func(user, used protoreflect.Descriptor) error

func checkMessages(messages protoreflect.MessageDescriptors, check checkFunc) error {
	for i := range messages.Len() {
		m := messages.Get(i)
		err := errors.Join(checkFields(m.Fields(), check), checkFields(m.Extensions(), check), checkMessages(m.Messages(), check))
		if err != nil {
			return err
		}
	}
	return nil
}

// fields is what a message's fields and a file's extensions have in common.
type fields interface {
	Len() int
	Get(int) protoreflect.FieldDescriptor
}

func checkFields(list fields, check checkFunc) error {
	for i := range list.Len() {
		f := list.Get(i)
		var used []protoreflect.Descriptor
		if f.IsExtension() {
			used = append(used, f.ContainingMessage())
		}
		if m := f.Message(); m != nil {
			used = append(used, m)
		}
		if e := f.Enum(); e != nil {
			used = append(used, e)
		}
		for _, u := range used {
			if err := check(f, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// plain is the text of an error of the protobuf module without its prefix,
// whose space is sometimes not one.
func plain(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}
