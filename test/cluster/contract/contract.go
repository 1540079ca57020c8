// Package contract is what clients and backends of the cluster say to each
// other: the contract in cluster.proto, compiled when it is needed, and its
// messages as Go structs.
package contract

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "google.golang.org/genproto/googleapis/api/annotations" // so that it is linked in for imports
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const name = "cluster.proto"

//go:embed cluster.proto
var source string

// Ask is the request of every RPC.
type Ask struct {
	Nonce   string `json:"nonce,omitempty"`
	Payload string `json:"payload,omitempty"`
	Count   int32  `json:"count,omitempty"`
}

// Answer is the answer of every RPC.
type Answer struct {
	Nonce     string `json:"nonce,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Execution string `json:"execution,omitempty"`
	Number    int32  `json:"number,omitempty"`
}

// Digest tells a request to an RPC, "/cluster.v1.Alpha/Read", from any other.
func (a Ask) Digest(method string) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %q %d", method, a.Nonce, a.Payload, a.Count) // never fails
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Contract is cluster.proto, compiled. It is immutable.
type Contract struct {
	file        protoreflect.FileDescriptor
	ask, answer protoreflect.MessageDescriptor
}

// Load compiles the contract.
func Load() (*Contract, error) {
	c := protocompile.Compiler{Resolver: protocompile.CompositeResolver{
		&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(map[string]string{name: source})},
		protocompile.ResolverFunc(linked),
	}}
	files, err := c.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	messages := files[0].Messages()
	return &Contract{file: files[0], ask: messages.ByName("Ask"), answer: messages.ByName("Answer")}, nil
}

// linked finds an import among the contracts that Go modules link in.
func linked(path string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: file}, nil
}

// Image is the contract as a gateway reads it, behind what it imports.
func (c *Contract) Image() ([]byte, error) {
	set := new(descriptorpb.FileDescriptorSet)
	collect(c.file, set, map[string]bool{})
	return proto.Marshal(set)
}

func collect(file protoreflect.FileDescriptor, set *descriptorpb.FileDescriptorSet, seen map[string]bool) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		collect(file.Imports().Get(i).FileDescriptor, set, seen)
	}
	if file.Path() == name {
		set.File = append(set.File, protoutil.ProtoFromFileDescriptor(file))
		return
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
}

// NewAsk is an empty request, to be read into.
func (c *Contract) NewAsk() proto.Message { return dynamicpb.NewMessage(c.ask) }

// NewAnswer is an empty answer, to be read into.
func (c *Contract) NewAnswer() proto.Message { return dynamicpb.NewMessage(c.answer) }

// Asking is the request as a message, which has the same bytes each time: those of
// a dynamic message are in no order, and one Idempotency-Key is for the same bytes.
func (c *Contract) Asking(a Ask) (proto.Message, error) {
	m, err := write(c.NewAsk(), a)
	if err != nil {
		return nil, err
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	same := new(emptypb.Empty)
	same.ProtoReflect().SetUnknown(data)
	return same, err
}

// Answering is the answer as a message.
func (c *Contract) Answering(a Answer) (proto.Message, error) { return write(c.NewAnswer(), a) }

func write(m proto.Message, from any) (proto.Message, error) {
	data, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	return m, protojson.Unmarshal(data, m)
}

// Read reads a message into an [Ask] or an [Answer].
func Read(m proto.Message, into any) error {
	data, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// RPC is the last part of a method's name.
func RPC(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }
