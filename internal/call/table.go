package call

import (
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Table holds the RPCs as served. It is immutable: a reload makes a new one. A
// Table is itself a connection, for callers inside the process: they pass the
// same chains as everybody else.
type Table struct {
	methods map[string]*Method
	refused *Method
	own     map[string]*Method
	holds   holds
}

var _ grpc.ClientConnInterface = (*Table)(nil)

// NewTable returns a table of methods. What matches none of them is answered
// through refused, so that refusals are observed like calls. own are RPCs that the
// gateway answers itself, such as reflection; they are no part of what it serves.
func NewTable(methods []*Method, refused *Method, own ...*Method) *Table {
	t := &Table{methods: make(map[string]*Method, len(methods)), refused: refused, own: make(map[string]*Method, len(own))}
	for _, m := range methods {
		t.methods[m.Name] = m
	}
	for _, m := range own {
		t.own[m.Name] = m
	}
	return t
}

// Method returns the RPC of that full name, or nil.
func (t *Table) Method(name string) *Method { return t.methods[name] }

// Methods returns all RPCs, sorted by name.
func (t *Table) Methods() []*Method {
	return slices.SortedFunc(maps.Values(t.methods), func(a, b *Method) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Unknown is the refusal of a method that the table does not have. The text is
// grpc-go's manner, which clients' tooling recognises.
func Unknown(name string) *Error {
	return Refuse(Client, codes.Unimplemented, "unknown method %q: it is not served here", name)
}

// Refuse answers a request that reached no method with err, through the chain
// of those who observe. It returns err.
func (t *Table) Refuse(ctx context.Context, err error) error {
	return t.refused.Conn.Invoke(ctx, "", &Refusal{Err: err}, nil)
}

// Observe tells the observers that a call of one of the gateway's own RPCs begins.
// [Call.Finish] tells them of its end.
func (t *Table) Observe(ctx context.Context, name string) {
	if m := t.own[name]; m != nil {
		_ = m.Conn.Invoke(ctx, name, new(Refusal), nil) // observers refuse nothing
	}
}

// Refusal stands in the request's place when a call is refused at the door.
type Refusal struct{ Err error }

// Refuser is the connection behind the chain of what is refused: it has no
// upstream and returns the refusal.
type Refuser struct{}

var _ grpc.ClientConnInterface = Refuser{}

// Invoke returns the refusal that args carries.
func (Refuser) Invoke(_ context.Context, method string, args, _ any, _ ...grpc.CallOption) error {
	if r, ok := args.(*Refusal); ok {
		return r.Err
	}
	return Unknown(method)
}

// NewStream refuses.
func (Refuser) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, Unknown(method)
}
