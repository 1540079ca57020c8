package interceptors

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/answers"
	"github.com/gatehouse-dev/gatehouse/internal/expr"
)

// Policy is one kind of interceptor as the gateway builds it.
type Policy interface {
	// Build returns the interceptor for one RPC, the zero Interceptor where the policy
	// has nothing to do. It is called when a table is compiled. Errors are
	// [FieldError]s, with paths below Method.Policy.
	Build(m *Method) (Interceptor, error)
}

// PolicyFunc is a policy that remembers nothing: a function that builds it.
type PolicyFunc func(m *Method) (Interceptor, error)

// Build calls f.
func (f PolicyFunc) Build(m *Method) (Interceptor, error) { return f(m) }

// Stateful is a policy that remembers something from table to table, so that a
// reload neither refills a limit nor closes a breaker. One table is compiled at a
// time.
type Stateful interface {
	Policy
	// Begin is called before a table is compiled: what is built from now on is that
	// table's.
	Begin()
	// Commit is called when that table is in force: what no table needs any more is
	// forgotten.
	Commit()
	// Abandon is called when that table was refused: what was made for it is
	// forgotten, and all else stays as it was.
	Abandon()
}

// Method is one RPC as its policies see it while a table is compiled. They read it,
// and change nothing in it.
type Method struct {
	Name string                        // as on the wire
	Desc protoreflect.MethodDescriptor // nil where the contract is not known
	// Policy is what is in force for the RPC, with all defaults filled in.
	Policy *policyv1.Policy

	ClientStreams, ServerStreams bool

	Safe        bool // may be repeated without harm
	SideEffects bool // a call leaves something behind

	// Strip are the keys of metadata under which any RPC forwards claims to backends.
	Strip []string
	// Stamp tells backends the version of the API that the RPC belongs to; nil where
	// it belongs to none.
	Stamp func(metadata.MD)
	// Deprecation announces the end of that version to clients; nil means that it stays.
	Deprecation *Deprecation
	// Programs are the compiled expressions that RPCs share; nil: this one shares none.
	Programs *expr.Programs
	// Response makes wire bytes of a response in JSON.
	Response func(text string) ([]byte, error)

	// Facts are what answers depend on, whoever calls; OwnFacts the same, where each
	// caller has answers of its own. ChosenBy are the headers by which upstreams are
	// chosen, those of composed calls included.
	Facts, OwnFacts answers.Facts
	ChosenBy        []string

	Target

	env *expr.Env
}

// Target is what differs from one upstream to the next, of those that an RPC chooses
// among.
type Target struct {
	Upstream string
	Routed   bool // the RPC chooses
	// Source tells apart the answers of upstreams, and of one upstream whose requests
	// are changed in different ways.
	Source   string
	Budget   *policyv1.RetryBudget
	Metadata []*configv1.Rewrite // made one after the other
	// Replica is the key by which a replica is chosen; nil for none.
	Replica func(context.Context) (string, error)
	Mirror  *Mirror // nil for none
}

// Mirror is where copies of calls go.
type Mirror struct {
	Upstream  string
	Conn      grpc.ClientConnInterface
	MaxAnswer int64 // bytes that an answer to a copy may have
	Conf      *configv1.Mirror
}

// Deprecation announces to clients that an RPC will be removed.
type Deprecation struct {
	// Version is the version that will be removed, for metrics.
	Version string
	// Date is when the version became, or will become, deprecated.
	Date time.Time
	// Sunset is when the version is served for the last time; the zero Time means that
	// nobody knows yet.
	Sunset time.Time
	// Link is a page with details, and Successor what to use instead: URLs or paths, ""
	// for none.
	Link, Successor string
}

// Unary reports whether neither half of the RPC is a stream.
func (m *Method) Unary() bool { return !m.ClientStreams && !m.ServerStreams }

// Key compiles an expression that tells calls of the RPC apart.
func (m *Method) Key(text string) (*expr.Program, error) {
	env, err := m.names()
	if err != nil {
		return nil, err
	}
	return env.Key(text)
}

// Condition compiles an expression that decides about calls of the RPC.
func (m *Method) Condition(text string) (*expr.Program, error) {
	env, err := m.names()
	if err != nil {
		return nil, err
	}
	return env.Condition(text)
}

// names are what expressions may use, found when the first of them is compiled.
func (m *Method) names() (*expr.Env, error) {
	var err error
	if m.env == nil {
		m.env, err = m.Programs.Env(m.Desc)
	}
	return m.env, err
}
