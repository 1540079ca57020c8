package transcode

import (
	"errors"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// Binding shows the messages of one HTTP binding to HTTP clients. It is
// immutable and safe for concurrent use.
//
// A request message is its body, then its query, then its path, which is
// written last. What one sets the others cannot: a body or a query that sets a
// field bound by the path, or another member of its oneof, is refused, unless it
// repeats the very value of the path, as a resource that was read before does
// with its name. JSON null, and the default of a field without presence, set
// nothing.
//
// Values in path and query have their JSON form without the quotes. A
// FieldMask there may have names in snake_case too, or be "*"; an enum's number
// may stand for its name.
type Binding struct {
	opts     *Options
	rt       *inRuntime
	plan     *inPlan
	vars     []boundVar
	guard    *guard // of the request message, nil if nothing is guarded
	body     bodyRule
	mask     *inField // the FieldMask to fill from the body, or nil
	required bool     // whether required fields must be looked for at the end
	response responseRule
}

// Interface guard.
var _ call.View = (*Binding)(nil)

// boundVar is a path variable with the field it binds.
type boundVar struct {
	name string
	// chain leads from the request message to the one that has the leaf.
	chain []*inField
	leaf  *inField
}

// Bind compiles a binding for the request message in and the response message
// out. Its error joins one for each part of it that is wrong, which it names.
func (c *Compiler) Bind(in, out protoreflect.MessageDescriptor, from *contract.Binding) (*Binding, error) {
	b := &Binding{opts: &c.opts, rt: &c.in, plan: c.in.message(in)}
	b.required = b.plan.reachesRequired(map[*inPlan]bool{})
	var errs []error
	for slot, v := range from.Template.Variables() {
		errs = append(errs, b.bindVariable(slot, v))
	}
	errs = append(errs, b.bindBody(from.Body))
	if from.Verb == "PATCH" {
		b.bindMask()
	}
	errs = append(errs, b.bindResponse(c, out, from.ResponseBody))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b, nil
}

// AppendRequest appends the request message's wire bytes to dst. Its errors are
// all [*InputError], or that of in.Until. In steady state it allocates nothing but by growing dst.
func (b *Binding) AppendRequest(dst []byte, in *call.Input) ([]byte, error) {
	s := b.rt.start(slices.Grow(dst, len(in.Body)), nil, in.Until)
	defer b.rt.end(s)
	if !b.request(s, in) {
		return dst, s.failure()
	}
	return s.dst, nil
}

// request writes the message in the order that lets the path win.
func (b *Binding) request(s *inState, in *call.Input) bool {
	if in.Continues && b.body.raw {
		return b.rawBody(s, in)
	}
	start := len(s.dst)
	if b.required {
		s.partial = 1
	}
	if !b.readPath(s, in.Vars) || !b.readBody(s, in) || !b.readQuery(s, in) {
		return false
	}
	if b.mask != nil && len(s.mask.wire) > 0 && !s.query.masked {
		s.putTag(b.mask.tag)
		s.putBytes(s.mask.wire)
	}
	b.writePath(s)
	return !b.required || b.complete(s, s.dst[start:])
}
