package transcode

import (
	"errors"
	"slices"
	"sync/atomic"

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
	Checked

	compiler *Compiler
	in, out  protoreflect.MessageDescriptor
	made     atomic.Pointer[bindingPlan]
}

// Interface guard.
var _ call.View = (*Binding)(nil)

// bindingPlan is a binding as it is compiled when it is first used: most of the
// bindings of a large contract never are.
type bindingPlan struct {
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

// boundVar is a path variable with the field it binds.
type boundVar struct {
	name string
	// chain leads from the request message to the one that has the leaf.
	chain []*inField
	leaf  *inField
}

// Bind makes a binding for the request message in and the response message out. Its
// error joins one for each part of it that is wrong, which it names.
func (c *Compiler) Bind(in, out protoreflect.MessageDescriptor, rule *contract.Binding) (*Binding, error) {
	checked, err := c.Check(in, out, rule)
	if err != nil {
		return nil, err
	}
	return c.View(checked, in, out), nil
}

// Checked is a rule that fits its messages.
type Checked struct {
	rule               *contract.Binding
	rawBody, rawAnswer bool
}

// Check is the first half of Bind, [Compiler.View] the second. It keeps nothing of
// the descriptors, which may be others of the same messages.
func (c *Compiler) Check(in, out protoreflect.MessageDescriptor, rule *contract.Binding) (Checked, error) {
	scratch := &Compiler{opts: c.opts} // makes only what the rule names, and is let go
	b, err := scratch.bind(in, out, rule)
	if err != nil {
		return Checked{}, err
	}
	return Checked{rule, b.body.raw, b.response.raw}, nil
}

// View makes the binding of a rule that was checked.
func (c *Compiler) View(rule Checked, in, out protoreflect.MessageDescriptor) *Binding {
	return &Binding{compiler: c, in: in, out: out, Checked: rule}
}

// bind compiles what the rule names.
func (c *Compiler) bind(in, out protoreflect.MessageDescriptor, rule *contract.Binding) (*bindingPlan, error) {
	b := &bindingPlan{opts: &c.opts, rt: &c.in, plan: c.in.message(in)}
	var errs []error
	for slot, v := range rule.Template.Variables() {
		errs = append(errs, b.bindVariable(slot, v))
	}
	errs = append(errs, b.bindBody(rule.Body))
	if rule.Verb == "PATCH" {
		b.bindMask()
	}
	errs = append(errs, b.bindResponse(c, out, rule.ResponseBody))
	return b, errors.Join(errs...)
}

// plan returns the binding compiled. Two calls at once may both compile it.
func (b *Binding) plan() (*bindingPlan, error) {
	if p := b.made.Load(); p != nil {
		return p, nil
	}
	p, err := b.compiler.bind(b.in, b.out, b.rule)
	if err != nil {
		return nil, err // Bind would have said so
	}
	p.required = b.compiler.in.requires(b.in)
	if !p.response.raw {
		if p.response.enc, err = b.compiler.Encoder(b.out); err != nil {
			return nil, err
		}
	}
	b.made.Store(p)
	return p, nil
}

// RawBody reports whether a request's body goes as it is into a
// google.api.HttpBody.
func (b *Binding) RawBody() bool { return b.rawBody }

// RawAnswer reports whether a client gets the bytes in a google.api.HttpBody as
// they are.
func (b *Binding) RawAnswer() bool { return b.rawAnswer }

// AppendRequest appends the request message's wire bytes to dst. Its errors are
// all [*InputError], or that of in.Until. In steady state it allocates nothing but by growing dst.
func (b *Binding) AppendRequest(dst []byte, in *call.Input) ([]byte, error) {
	p, err := b.plan()
	if err != nil {
		return dst, err
	}
	s := p.rt.start(slices.Grow(dst, len(in.Body)), nil, in.Until)
	defer p.rt.end(s)
	if !p.request(s, in) {
		return dst, s.failure()
	}
	return s.dst, nil
}

// AppendResponse appends what an HTTP client gets for a response message. Its
// errors are the backend's mistakes, or that of until. In steady state it allocates
// nothing but by growing dst.
func (b *Binding) AppendResponse(dst, wire []byte, until call.Lifetime) (out []byte, contentType string, raw bool, err error) {
	p, err := b.plan()
	if err != nil {
		return dst, "", false, err
	}
	return p.response.append(p.rt, dst, wire, until)
}

// request writes the message in the order that lets the path win.
func (b *bindingPlan) request(s *inState, in *call.Input) bool {
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
