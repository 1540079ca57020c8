package aggregate

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// plan is a composition, compiled. It is immutable.
type plan struct {
	rpc     protoreflect.MethodDescriptor
	steps   []*step
	joined  []*step    // those that land somewhere, by the number of their field
	missing *wireField // of the answer; nil for none
	request protoreflect.MessageDescriptor

	requestType *view.Type // the same as expressions know it, if there are any
}

// step is one call, or one for each item.
type step struct {
	name   string
	index  int // in the plan
	method *call.Method

	needs  []int // steps whose answers it looks at
	serves []int // steps that look at its answer

	plural  bool    // there are items
	each    *source // where they are from; nil: it is one call
	item    shape   // of one
	build   []*node // of the request
	perItem *node   // of a batch: what is made of each item; it stands in build, too
	batch   *batch  // nil: a call for each item
	whole   shape   // the answer, or what there is for each item

	take *path // of the answer; nil for all of it
	into *wireField
	out  shape // what lands there, or, with items, an element of it

	failure  composev1.Step_Failure
	instead  []byte   // the default, with its tag
	elements [][]byte // the same, as the one element that an item has instead

	itemType, wholeType *view.Type // as expressions know them

	parallel, most int
	timeout        time.Duration
	scanned        bool // somebody looks into the answer
	shared         bool // another call of the same request may call the same
}

func (s *step) required() bool { return s.failure == composev1.Step_FAILURE_REQUIRED }

// batch is where a batch RPC has its items and its answers.
type batch struct {
	items, answers wireField
	most           int // items of one call
}

// source is where a value comes from: a path, or an expression.
type source struct {
	root   root
	path   path
	value  *expr.Value // nil: the path
	client bool        // the expression looks at nothing but what the client sent
}

// node is one field of a request: a value, or a message of other fields.
type node struct {
	field   wireField
	desc    protoreflect.FieldDescriptor
	from    *source
	fields  []*node
	element bool // one element of a repeated field, which a batch gathers
}
