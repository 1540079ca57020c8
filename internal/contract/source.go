package contract

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"slices"
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
		var contents []byte
		var n int
		if kind == protowire.BytesType {
			contents, n = protowire.ConsumeBytes(wire[tag:])
		} else {
			n = protowire.ConsumeFieldValue(number, kind, wire[tag:])
		}
		if n < 0 {
			return false
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

// appendWithoutSource appends a file without its source info, of which only the comments
// are worth their room. A file that cannot be read stays as it is, for who reads it to say.
func appendWithoutSource(dst, wire []byte) []byte {
	begin := len(dst)
	whole := eachField(wire, func(number protowire.Number, field, _ []byte) {
		if number != sourceOfFile {
			dst = append(dst, field...)
		}
	})
	if !whole {
		return append(dst[:begin], wire...)
	}
	return dst
}

// appendComments appends what the source info of a file has of comments: a SourceCodeInfo
// that has nothing else.
func appendComments(dst, wire []byte) []byte {
	begin := len(dst)
	whole := eachField(wire, func(number protowire.Number, _, source []byte) {
		if number != sourceOfFile {
			return
		}
		eachField(source, func(number protowire.Number, _, location []byte) {
			if number == locationInSource {
				dst = appendComment(dst, location)
			}
		})
	})
	if !whole {
		return dst[:begin]
	}
	return dst
}

// appendComment appends a location with its path and its comments, if it has any.
func appendComment(dst, location []byte) []byte {
	begin, commented := len(dst), false
	eachField(location, func(number protowire.Number, field, _ []byte) {
		switch number {
		case pathOfLocation:
			dst = append(dst, field...)
		case leadingOfLocation, trailingOfLocation:
			dst, commented = append(dst, field...), true
		}
	})
	if !commented {
		return dst[:begin]
	}
	head := protowire.AppendTag(make([]byte, 0, 2*binary.MaxVarintLen64), locationInSource, protowire.BytesType)
	return slices.Insert(dst, begin, protowire.AppendVarint(head, uint64(len(dst)-begin))...)
}

// Comments finds the comments of descriptors. It keeps those of the files that it was
// asked about, so it is for a reader of many comments, who then lets go of it. It is
// not safe for concurrent use.
type Comments struct {
	set    *Set
	blocks map[int][]byte               // by where they begin, see packed
	files  map[string]map[string]string // by the file's path, then by the path of a declaration
}

// Comments returns what finds the comments of descriptors of the set.
func (s *Set) Comments() *Comments {
	return &Comments{set: s, blocks: map[int][]byte{}, files: map[string]map[string]string{}}
}

// Leading returns the comment in front of a declaration, as the source of the contract
// has it; "" if there is none, or the contract came without its comments.
func (c *Comments) Leading(d protoreflect.Descriptor) string {
	file := d.ParentFile().Path()
	leading, known := c.files[file]
	if !known {
		leading = map[string]string{}
		eachField(c.of(file), func(_ protowire.Number, _, location []byte) {
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

// of returns the comments of a file, nothing if there are none.
func (c *Comments) of(file string) []byte {
	at, found := c.set.comments.files[file]
	if !found {
		return nil
	}
	block, known := c.blocks[at.block]
	if !known {
		block = c.set.comments.unpack(at)
		c.blocks[at.block] = block
	}
	return block[at.begin:at.end]
}

// packed are the comments of files, which take twice the room of the files themselves
// and are seldom asked for. They are compressed in blocks of several files, which takes
// half the time and less room than each file alone.
type packed struct {
	bytes []byte // compressed blocks, one after the other
	files map[string]packedFile

	// While files are added:
	block  []byte   // is not compressed yet
	names  []string // of the files in it
	writer *flate.Writer
}

// packedFile is where the comments of a file are.
type packedFile struct {
	block, blockEnd int // compressed, in the bytes
	begin, end      int // in the block
}

// blockBytes is how many bytes a block has before it is compressed, at least.
const blockBytes = 64 << 10

func newPacked() packed {
	writer, _ := flate.NewWriter(nil, flate.BestSpeed) // there is such a level
	return packed{files: map[string]packedFile{}, writer: writer}
}

// add adds the comments of a file.
func (p *packed) add(file string, wire []byte) {
	begin := len(p.block)
	if p.block = appendComments(p.block, wire); len(p.block) == begin {
		return
	}
	p.files[file] = packedFile{begin: begin, end: len(p.block)}
	p.names = append(p.names, file)
	if len(p.block) >= blockBytes {
		p.compress()
	}
}

// compress ends a block.
func (p *packed) compress() {
	begin, buffer := len(p.bytes), bytes.NewBuffer(p.bytes)
	p.writer.Reset(buffer)
	_, _ = p.writer.Write(p.block) // a buffer takes all
	_ = p.writer.Close()
	p.bytes = buffer.Bytes()
	for _, name := range p.names {
		file := p.files[name]
		file.block, file.blockEnd = begin, len(p.bytes)
		p.files[name] = file
	}
	p.block, p.names = p.block[:0], p.names[:0]
}

// finish returns what was added, in memory of its own.
func (p *packed) finish() packed {
	if len(p.block) > 0 {
		p.compress()
	}
	own := packed{bytes: bytes.Clone(p.bytes), files: make(map[string]packedFile, len(p.files))}
	for name, file := range p.files {
		own.files[strings.Clone(name)] = file
	}
	return own
}

// unpack returns the block in which the comments of a file are.
func (p *packed) unpack(file packedFile) []byte {
	block, _ := io.ReadAll(flate.NewReader(bytes.NewReader(p.bytes[file.block:file.blockEnd])))
	return block
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
