package contract

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// preparer reads files ahead of the linker, which checks one after the other. What it
// does for a file depends on no other file, so the processors share the work.
type preparer struct {
	given    map[string][]byte
	resolver *protoregistry.Types // see linker
	batches  chan []prepared      // in the order of the linker
	comments packed               // of all files, once that has ended
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// prepared is a file as it was read.
type prepared struct {
	name string
	// file is without source info, and its MessageSets are ordinary messages.
	file        *descriptorpb.FileDescriptorProto
	messageSets []protoreflect.FullName
	wire        []byte // of file; nil if its references must be resolved first
	err         error  // the file cannot be read
}

// batchBytes is how many bytes of files are read before the linker gets them. It
// bounds what is read and not linked yet.
const batchBytes = 256 << 10

// prepare begins to read files in the order given.
func prepare(given map[string][]byte, order []string, resolver *protoregistry.Types) *preparer {
	ctx, stop := context.WithCancel(context.Background())
	p := &preparer{given: given, resolver: resolver, batches: make(chan []prepared, 1), stop: stop, comments: newPacked()}
	p.running.Go(func() { p.readAll(ctx, order) })
	p.running.Go(func() { p.packAll(ctx, order) })
	return p
}

// end stops reading, and waits until it has stopped.
func (p *preparer) end() {
	p.stop()
	p.running.Wait()
}

func (p *preparer) readAll(ctx context.Context, order []string) {
	defer close(p.batches)
	var batch []prepared
	var buffer []byte
	size := 0
	for i, name := range order {
		buffer = appendWithoutSource(buffer[:0], p.given[name])
		batch, size = append(batch, p.read(name, buffer)), size+len(buffer)
		if size < batchBytes && i+1 < len(order) {
			continue
		}
		select {
		case p.batches <- batch:
			batch, size = nil, 0
		case <-ctx.Done():
			return
		}
	}
}

// read reads a file, of which it keeps no bytes.
func (p *preparer) read(name string, wire []byte) prepared {
	file := new(descriptorpb.FileDescriptorProto)
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: p.resolver}).Unmarshal(wire, file); err != nil {
		return prepared{name: name, err: fmt.Errorf("file %q: %s", name, plain(err))}
	}
	one := prepared{name: name}
	one.file, one.messageSets = withoutMessageSets(file)
	if isResolved(one.file) {
		one.wire, _ = wireOf(one.file) // the linker will say so
	}
	return one
}

// wireOf returns a file as sets keep it.
func wireOf(file *descriptorpb.FileDescriptorProto) ([]byte, error) {
	return proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(file)
}

func (p *preparer) packAll(ctx context.Context, order []string) {
	for _, name := range order {
		if ctx.Err() != nil {
			return
		}
		p.comments.add(name, p.given[name])
	}
}
