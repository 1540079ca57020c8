package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Change is one change that breaks clients.
type Change struct {
	Rule string                // as buf calls it
	RPC  protoreflect.FullName // one of those that are broken
	At   protoreflect.FullName // what was changed
	Text string
}

// String tells what was changed, and the rule.
func (c Change) String() string { return fmt.Sprintf("%s: %s (%s)", c.At, c.Text, c.Rule) }

// Breaking lists the changes from old to next that break clients of old, sorted,
// whatever they speak: gRPC or JSON over HTTP. What next does not have is gone.
//
// Its rules are those of buf's category WIRE_JSON, by the same names and with the
// same verdicts, to which a test holds it; with RPC_NO_DELETE and SERVICE_NO_DELETE
// of FILE, and rules of its own about google.api.http, for which buf has none. buf
// itself is no library: its packages are private, and bring a compiler and a
// runtime for plug-ins with them.
//
// It looks only at what clients of these RPCs can see: the RPCs, and the messages and
// enums that their requests and responses reach. It ignores extensions, and the names
// and options of files.
func Breaking(old, next []*Method) []Change {
	c := &checker{seen: map[string]bool{}}
	now := map[protoreflect.FullName]*Method{}
	services := map[protoreflect.FullName]bool{}
	for _, m := range next {
		now[m.Desc.FullName()] = m
		services[m.Desc.FullName().Parent()] = true
	}
	for _, was := range slices.SortedFunc(slices.Values(old), func(a, b *Method) int {
		return cmp.Compare(a.Desc.FullName(), b.Desc.FullName())
	}) {
		c.rpc = was.Desc.FullName()
		is, ok := now[c.rpc]
		switch {
		case ok && is.Desc == was.Desc:
		case ok:
			c.method(was, is)
		case !services[c.rpc.Parent()]:
			c.report(c.rpc.Parent(), "SERVICE_NO_DELETE", "no RPC of the service is left")
		default:
			c.report(c.rpc, "RPC_NO_DELETE", "the RPC is gone")
		}
	}
	slices.SortStableFunc(c.changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Rule, b.Rule)) })
	return c.changes
}

// checker gathers changes. What several RPCs reach is told once.
type checker struct {
	rpc     protoreflect.FullName
	seen    map[string]bool
	changes []Change
}

func (c *checker) report(at protoreflect.FullName, rule, format string, args ...any) {
	change := Change{Rule: rule, RPC: c.rpc, At: at, Text: fmt.Sprintf(format, args...)}
	key := rule + " " + string(at) + " " + change.Text
	if !c.seen[key] {
		c.seen[key] = true
		c.changes = append(c.changes, change)
	}
}

func (c *checker) method(was, is *Method) {
	at := was.Desc.FullName()
	if a, b := was.Desc.Input().FullName(), is.Desc.Input().FullName(); a != b {
		c.report(at, "RPC_SAME_REQUEST_TYPE", "the request was a %s and is a %s", a, b)
	} else {
		c.message(was.Desc.Input(), is.Desc.Input())
	}
	if a, b := was.Desc.Output().FullName(), is.Desc.Output().FullName(); a != b {
		c.report(at, "RPC_SAME_RESPONSE_TYPE", "the response was a %s and is a %s", a, b)
	} else {
		c.message(was.Desc.Output(), is.Desc.Output())
	}
	if a, b := was.Desc.IsStreamingClient(), is.Desc.IsStreamingClient(); a != b {
		c.report(at, "RPC_SAME_CLIENT_STREAMING", "the request was %s and is %s", streaming(a), streaming(b))
	}
	if a, b := was.Desc.IsStreamingServer(), is.Desc.IsStreamingServer(); a != b {
		c.report(at, "RPC_SAME_SERVER_STREAMING", "the response was %s and is %s", streaming(a), streaming(b))
	}
	if a, b := idempotency(was.Desc), idempotency(is.Desc); a != b {
		c.report(at, "RPC_SAME_IDEMPOTENCY_LEVEL", "idempotency_level was %s and is %s", a, b)
	}
	c.bindings(was, is)
}

func streaming(yes bool) string {
	if yes {
		return "a stream"
	}
	return "one message"
}

// bindings looks at each way in that was there: clients know it by its path.
func (c *checker) bindings(was, is *Method) {
	at := was.Desc.FullName()
	before, now := was.served(), is.served()
	for _, a := range before {
		i := slices.IndexFunc(now, func(b *Binding) bool { return b.Verb == a.Verb && b.Path == a.Path })
		if i < 0 {
			c.report(at, "HTTP_BINDING_NO_DELETE", "%s %s is gone%s", a.Verb, a.Path, instead(now))
			continue
		}
		b := now[i]
		if a.Body != b.Body {
			c.report(at, "HTTP_BINDING_SAME_BODY", "the body of %s %s was %q and is %q", a.Verb, a.Path, a.Body, b.Body)
		}
		if a.ResponseBody != b.ResponseBody {
			c.report(at, "HTTP_BINDING_SAME_RESPONSE_BODY", "the response_body of %s %s was %q and is %q", a.Verb, a.Path, a.ResponseBody, b.ResponseBody)
		}
	}
}

func instead(list []*Binding) string {
	if len(list) == 0 {
		return ""
	}
	ways := make([]string, 0, len(list))
	for _, b := range list {
		ways = append(ways, b.Verb+" "+b.Path)
	}
	return "; there is " + strings.Join(ways, ", ")
}
