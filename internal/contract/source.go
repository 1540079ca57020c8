package contract

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Numbers of the fields of google.protobuf.FileDescriptorSet, FileDescriptorProto,
// SourceCodeInfo and its Location.
const (
	fileInSet protowire.Number = 1

	nameOfFile       protowire.Number = 1
	dependencyOfFile protowire.Number = 3
	sourceOfFile     protowire.Number = 9
	syntaxOfFile     protowire.Number = 12

	locationInSource protowire.Number = 1

	pathOfLocation     protowire.Number = 1
	leadingOfLocation  protowire.Number = 3
	trailingOfLocation protowire.Number = 4
)

// eachField calls f for each field of a message, with its bytes as a whole and, where
// it has such, its contents. It returns false, having stopped, at what is no field.
func eachField(wire []byte, f func(number protowire.Number, field, contents []byte)) bool {
	for len(wire) > 0 {
		number, kind, tag := protowire.ConsumeTag(wire)
		if tag < 0 {
			return false
		}
		n := protowire.ConsumeFieldValue(number, kind, wire[tag:])
		if n < 0 {
			return false
		}
		var contents []byte
		if kind == protowire.BytesType {
			contents, _ = protowire.ConsumeBytes(wire[tag:])
		}
		f(number, wire[:tag+n], contents)
		wire = wire[tag+n:]
	}
	return true
}

// headOf returns the name of a file, and whether it has nothing else but its syntax.
// That is how servers answer for an import that they know by name only, as grpc-go's
// reflection did (with the syntax "<unknown:0>").
func headOf(wire []byte) (name string, bare bool) {
	bare = true
	eachField(wire, func(number protowire.Number, _, contents []byte) {
		switch number {
		case nameOfFile:
			name = string(contents)
		case syntaxOfFile:
		default:
			bare = false
		}
	})
	return name, bare
}

// importsOf lists what a file imports.
func importsOf(wire []byte) (paths []string) {
	eachField(wire, func(number protowire.Number, _, contents []byte) {
		if number == dependencyOfFile {
			paths = append(paths, string(contents))
		}
	})
	return paths
}

// parted is a file whose source info was taken out. Its memory is used again for the
// next file.
type parted struct {
	file     []byte
	comments []byte // a SourceCodeInfo that has nothing but comments
}

// part takes a file's source info out, of which only the comments are worth their
// room. A file that cannot be read stays as it is, for who reads it to say.
func (p *parted) part(wire []byte) {
	p.file, p.comments = p.file[:0], p.comments[:0]
	whole := eachField(wire, func(number protowire.Number, field, contents []byte) {
		if number != sourceOfFile {
			p.file = append(p.file, field...)
			return
		}
		eachField(contents, func(number protowire.Number, _, contents []byte) {
			if number == locationInSource {
				p.addComment(contents)
			}
		})
	})
	if !whole {
		p.file, p.comments = append(p.file[:0], wire...), p.comments[:0]
	}
}

// addComment adds a location with its path and its comments, if it has any.
func (p *parted) addComment(location []byte) {
	commented, size := false, 0
	isKept := func(number protowire.Number) bool {
		return number == pathOfLocation || number == leadingOfLocation || number == trailingOfLocation
	}
	eachField(location, func(number protowire.Number, field, _ []byte) {
		if isKept(number) {
			commented = commented || number != pathOfLocation
			size += len(field)
		}
	})
	if !commented {
		return
	}
	p.comments = protowire.AppendVarint(protowire.AppendTag(p.comments, locationInSource, protowire.BytesType), uint64(size))
	eachField(location, func(number protowire.Number, field, _ []byte) {
		if isKept(number) {
			p.comments = append(p.comments, field...)
		}
	})
}

// Comments finds the comments of descriptors. It keeps those of the files that it was
// asked about, so it is for a reader of many comments, who then lets go of it. It is
// not safe for concurrent use.
type Comments struct {
	set   *Set
	files map[string]map[string]string // by the file's path, then by the path of a declaration
}

// Comments returns what finds the comments of descriptors of the set.
func (s *Set) Comments() *Comments { return &Comments{s, map[string]map[string]string{}} }

// Leading returns the comment in front of a declaration, as the source of the contract
// has it; "" if there is none, or the contract came without its comments.
func (c *Comments) Leading(d protoreflect.Descriptor) string {
	file := d.ParentFile().Path()
	leading, known := c.files[file]
	if !known {
		leading = map[string]string{}
		eachField(c.set.comments.of(file), func(_ protowire.Number, _, location []byte) {
			var path, comment string
			eachField(location, func(number protowire.Number, _, contents []byte) {
				switch number {
				case pathOfLocation:
					path = string(contents)
				case leadingOfLocation:
					comment = string(contents)
				}
			})
			leading[path] = comment
		})
		c.files[file] = leading
	}
	return leading[string(pathOf(d))]
}

// packed are the comments of files, which take twice the room of the files themselves
// and are seldom asked for.
type packed struct {
	bytes  []byte            // compressed, one after the other
	at     map[string][2]int // begin and end of each, by the file's path
	writer *flate.Writer     // while they are added
}

func (p *packed) add(file string, comments []byte) {
	begin, buffer := len(p.bytes), bytes.NewBuffer(p.bytes)
	if p.writer == nil {
		p.writer, _ = flate.NewWriter(nil, flate.BestSpeed) // there is such a level
	}
	p.writer.Reset(buffer)
	_, _ = p.writer.Write(comments) // a buffer takes all
	_ = p.writer.Close()
	p.bytes = buffer.Bytes()
	p.at[file] = [2]int{begin, len(p.bytes)}
}

func (p *packed) clone() packed {
	c := packed{bytes: bytes.Clone(p.bytes), at: make(map[string][2]int, len(p.at))}
	for file, at := range p.at {
		c.at[strings.Clone(file)] = at
	}
	return c
}

// of returns the comments of a file, nothing if there are none.
func (p *packed) of(file string) []byte {
	at := p.at[file]
	comments, _ := io.ReadAll(flate.NewReader(bytes.NewReader(p.bytes[at[0]:at[1]])))
	return comments
}

// pathOf is where a descriptor stands in its file, as the path of a location has it on
// the wire.
func pathOf(d protoreflect.Descriptor) []byte {
	parent := d.Parent()
	if parent == nil {
		return nil // the file itself
	}
	_, inMessage := parent.(protoreflect.MessageDescriptor)
	var list uint64
	switch d := d.(type) {
	case protoreflect.MessageDescriptor:
		list = listOf(inMessage, 3, 4)
	case protoreflect.EnumDescriptor:
		list = listOf(inMessage, 4, 5)
	case protoreflect.OneofDescriptor:
		list = 8
	case protoreflect.ServiceDescriptor:
		list = 6
	case protoreflect.FieldDescriptor:
		list = 2
		if d.IsExtension() {
			list = listOf(inMessage, 6, 7)
		}
	default: // the methods of a service, the values of an enum
		list = 2
	}
	return protowire.AppendVarint(protowire.AppendVarint(pathOf(parent), list), uint64(d.Index()))
}

func listOf(inMessage bool, ofMessage, ofFile uint64) uint64 {
	if inMessage {
		return ofMessage
	}
	return ofFile
}
