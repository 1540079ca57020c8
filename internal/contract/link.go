package contract

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// linker makes descriptors of files that may come in any order and from any build.
//
// A file that is imported and not there is taken from the binary, as compilers
// often leave out google/protobuf and google/api. If it is not there either, it
// is missed only if something refers to what it should have defined: servers
// commonly do not know the files of options under the name they import.
type linker struct {
	given  map[string][]byte // by the file's name
	set    *Set
	files  *fileRegistry // of files that were checked, which nobody else sees
	state  map[string]progress
	order  []string // the files, each behind its imports
	advice string   // what to do about a file that is missing
}

type progress uint8

const (
	untouched progress = iota
	ordering
	ordered
	missing
)

// largeContract is how many bytes of descriptors are worth a run of the collector.
const largeContract = 4 << 20

// link makes a set of the files given, each a google.protobuf.FileDescriptorProto on
// the wire. advice ends the error about a file that is missing.
//
// resolver finds the types of options as files are read. With an empty one extensions
// stay bytes, which takes the least time and memory. With the linked ones they get an
// order, which [Set.Sum] needs: servers send them in any.
func link(given [][]byte, resolver *protoregistry.Types, advice string) (*Set, error) {
	l := &linker{
		given:  make(map[string][]byte, len(given)),
		set:    &Set{messageSets: map[protoreflect.FullName]bool{}},
		files:  newRegistry(),
		state:  make(map[string]progress, len(given)),
		advice: advice,
	}
	names := make([]string, 0, len(given))
	for _, wire := range given {
		name, err := l.add(wire)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	misplaced := l.orderAll(names) // reported behind what is wrong with the files before it
	p := prepare(l.given, l.order, resolver)
	defer p.end()
	if err := l.registerAll(p.batches); err != nil {
		return nil, err
	}
	if misplaced != nil {
		return nil, misplaced
	}
	p.running.Wait()
	l.set.comments, l.files = p.comments, nil
	if l.set.raw.size() > largeContract {
		runtime.GC() // what follows stays, and is not to stand scattered among what was made for the checks
	}
	l.set.settle()
	return l.set, nil
}

func (l *linker) add(wire []byte) (name string, _ error) {
	name, bare := headOf(wire)
	if name == "" {
		return "", errors.New("a file in it has no name")
	}
	if bare {
		return name, nil // as good as not given
	}
	if before, ok := l.given[name]; ok && !sameFile(before, wire) {
		return "", fmt.Errorf("file %q is in it twice, with different contents", name)
	}
	l.given[name] = wire
	return name, nil
}

func sameFile(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	one, other := new(descriptorpb.FileDescriptorProto), new(descriptorpb.FileDescriptorProto)
	read := proto.UnmarshalOptions{AllowPartial: true}
	return read.Unmarshal(a, one) == nil && read.Unmarshal(b, other) == nil && proto.Equal(one, other)
}

// orderAll orders the files up to the first that cannot be, and says why.
func (l *linker) orderAll(names []string) error {
	for _, name := range names {
		if err := l.visit(name); err != nil {
			return err
		}
	}
	return nil
}

// visit orders the file behind all that it imports.
func (l *linker) visit(name string) error {
	switch l.state[name] {
	case ordered, missing:
		return nil
	case ordering:
		return fmt.Errorf("file %q imports itself, directly or through others", name)
	}
	l.state[name] = ordering
	wire, ok := l.given[name]
	if !ok {
		return l.borrow(name)
	}
	for _, dependency := range importsOf(wire) {
		if err := l.visit(dependency); err != nil {
			return err
		}
	}
	l.state[name] = ordered
	l.order = append(l.order, name)
	return nil
}

// borrow takes a file that was not given from the binary.
func (l *linker) borrow(name string) error {
	l.state[name] = missing
	file, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil {
		return nil //nolint:nilerr // missed only if something refers to it
	}
	if l.given[name], err = (proto.MarshalOptions{AllowPartial: true}).Marshal(protodesc.ToFileDescriptorProto(file)); err != nil {
		return fmt.Errorf("file %q: %s", name, plain(err))
	}
	l.state[name] = untouched
	return l.visit(name)
}

// registerAll registers the files as they were ordered.
func (l *linker) registerAll(batches <-chan []prepared) error {
	for batch := range batches {
		for _, file := range batch {
			if err := l.register(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// register checks the file, and registers descriptors of it that are made when they
// are looked at.
func (l *linker) register(p prepared) error {
	if p.err != nil {
		return p.err
	}
	for _, name := range p.messageSets {
		l.set.messageSets[name] = true
	}
	checked, err := protodesc.FileOptions{AllowUnresolvable: true}.New(p.file, registryOfChecks{l.files})
	if err != nil {
		return fmt.Errorf("file %q: %s", p.name, plain(err))
	}
	if err := l.complete(checked); err != nil {
		return err
	}
	wire := p.wire
	if wire == nil {
		wire, err = wireOf(protodesc.ToFileDescriptorProto(checked))
	}
	if err == nil {
		err = l.files.add(wire, len(p.file.GetPublicDependency()) > 0)
	}
	if err != nil {
		return fmt.Errorf("file %q: %s", p.name, plain(err))
	}
	l.set.raw = append(l.set.raw, wire)
	l.set.addServices(checked)
	l.set.sharedNames = l.set.sharedNames || shareJSONNames(checked.Messages())
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
