// Package expr compiles and runs the expressions of policies, which are CEL
// (https://cel.dev). An expression is checked against the types of what it names
// when the table is built, so that a mistake never waits for a call.
package expr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/ext"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehouse-dev/gatehouse/internal/view"
)

// The names that an expression may use.
const (
	callerID            = "caller.id"
	callerAuthenticator = "caller.authenticator"
	callerClaims        = "caller.claims"
	callerScopes        = "caller.scopes"
	peerIP              = "peer.ip"
	peerNetwork         = "peer.network"
	headers             = "headers"
	method              = "method"
	request             = "request"
)

// costLimit bounds what one evaluation may do, in CEL's units; a comparison is
// about one, a regular expression over a header a few dozen.
const costLimit = 100_000

// Env is what the expressions of one RPC may name. It is safe for concurrent use.
type Env struct {
	cel         *cel.Env                       // without the request: what is the same for all RPCs
	withRequest func() (*cel.Env, error)       // made when it is needed, for it takes memory
	input       protoreflect.MessageDescriptor // nil: no request to look into
	view        *view.Type                     // of the request, once withRequest has made it
	why         string                         // there is none
	programs    *Programs                      // nil: every expression is compiled
}

// common is made once, for it holds the library of CEL.
var common = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(callerID, cel.StringType),
		cel.Variable(callerAuthenticator, cel.StringType),
		cel.Variable(callerClaims, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(callerScopes, cel.ListType(cel.StringType)),
		cel.Variable(peerIP, cel.StringType),
		cel.Variable(peerNetwork, cel.StringType),
		cel.Variable(headers, cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable(method, cel.StringType),
		ext.Strings(), ext.Sets(),
	)
})

// NewEnv returns the names for an RPC. Expressions about an RPC whose requests
// are a stream, or whose contract is not known, cannot name `request`.
func NewEnv(md protoreflect.MethodDescriptor) (*Env, error) { return (*Programs)(nil).Env(md) }

// Env is [NewEnv] for an RPC that shares the programs; with nil it shares none.
func (p *Programs) Env(md protoreflect.MethodDescriptor) (*Env, error) {
	base, err := common()
	if err != nil {
		return nil, fmt.Errorf("cel: %w", err)
	}
	e := &Env{cel: base, programs: p}
	switch {
	case md == nil:
		e.why = "the contract of the RPC is not known"
	case md.IsStreamingClient():
		e.why = "its requests are a stream"
	default:
		e.input = md.Input()
		e.withRequest = sync.OnceValues(e.extend)
	}
	return e, nil
}

// extend adds the request, and the types that it takes.
func (e *Env) extend() (*cel.Env, error) {
	files, err := FilesOf(e.input.ParentFile())
	if err != nil {
		return nil, err
	}
	with, err := e.cel.Extend(cel.TypeDescs(files), withViews(files), cel.Variable(request, cel.ObjectType(string(e.input.FullName()))))
	if err != nil {
		return nil, fmt.Errorf("cel: %w", err)
	}
	e.view = new(view.Types).Of(e.input)
	return with, nil
}

// envFor is enough for an expression.
func (e *Env) envFor(text string) (*cel.Env, error) {
	if e.input == nil || !strings.Contains(text, request) {
		return e.cel, nil
	}
	return e.withRequest()
}

// FilesOf are files with all that they import. Of two with one path the first
// stands for both.
func FilesOf(list ...protoreflect.FileDescriptor) (*protoregistry.Files, error) {
	files := new(protoregistry.Files)
	var add func(protoreflect.FileDescriptor) error
	add = func(f protoreflect.FileDescriptor) error {
		if _, err := files.FindFileByPath(f.Path()); err == nil || f.IsPlaceholder() {
			return nil
		}
		for i := range f.Imports().Len() {
			if err := add(f.Imports().Get(i)); err != nil {
				return err
			}
		}
		return files.RegisterFile(f)
	}
	for _, file := range list {
		if err := add(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	program cel.Program
	env     *Env
	names   map[string]bool
	loops   bool
	tree    ast.Expr
	direct  string // the text variable that is all of the expression, "" for none
}

// NeedsRequest reports whether the expression looks into the request, which is
// then read before it is decided.
func (p *Program) NeedsRequest() bool { return p.names[request] }

// NamesCaller reports whether the expression depends on who calls.
func (p *Program) NamesCaller() bool {
	return p.names[callerID] || p.names[callerAuthenticator] || p.names[callerClaims] || p.names[callerScopes]
}

// Condition compiles an expression that must be a bool.
func (e *Env) Condition(text string) (*Program, error) {
	return e.shared(text, "a condition (bool)", func(t *cel.Type) bool { return t.IsExactType(cel.BoolType) })
}

// Key compiles an expression whose value tells calls apart: a string, number,
// bool, or a list of these.
func (e *Env) Key(text string) (*Program, error) {
	return e.shared(text, "a string, number, bool, or a list of these", func(t *cel.Type) bool {
		if t.Kind() == cel.ListKind {
			t = t.Parameters()[0]
		}
		switch t.Kind() {
		case cel.StringKind, cel.IntKind, cel.UintKind, cel.DoubleKind, cel.BoolKind, cel.DynKind:
			return true
		default:
			return false
		}
	})
}

// shared returns the program that another RPC has for the expression, or compiles it.
func (e *Env) shared(text, want string, fits func(*cel.Type) bool) (*Program, error) {
	if e.programs == nil || strings.Contains(text, request) {
		return e.compile(text, want, fits)
	}
	return e.programs.find(text, want, func() (*Program, error) {
		return (&Env{cel: e.cel}).compile(text, want, fits) // keeps nothing of the RPC
	})
}

func (e *Env) compile(text, want string, fits func(*cel.Type) bool) (*Program, error) {
	env, err := e.envFor(text)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, e.explain(issues)
	}
	if !fits(checked.OutputType()) {
		return nil, fmt.Errorf("%q gives %s; want %s", text, cel.FormatCELType(checked.OutputType()), want)
	}
	if err := checkPatterns(checked.NativeRep()); err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	program, err := env.Program(checked, append(limits(), regexes{}.options()...)...)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	p := &Program{
		program: program, env: e, names: namesIn(checked.NativeRep()),
		loops: loops(checked.NativeRep()), tree: checked.NativeRep().Expr(),
	}
	if root, ok := checked.NativeRep().ReferenceMap()[checked.NativeRep().Expr().ID()]; ok && checked.OutputType().IsExactType(cel.StringType) {
		p.direct = root.Name
	}
	return p, nil
}

// limits are those of each evaluation.
func limits() []cel.ProgramOption {
	const between = 100 // steps of a loop between two looks at the call's deadline
	return []cel.ProgramOption{cel.CostLimit(costLimit), cel.InterruptCheckFrequency(between), cel.EvalOptions(cel.OptOptimize)}
}

// loops reports whether an expression goes through lists or maps.
func loops(checked *ast.AST) bool {
	return len(ast.MatchDescendants(ast.NavigateAST(checked), ast.KindMatcher(ast.ComprehensionKind))) > 0
}

// explain tells what is wrong with an expression, and where.
func (e *Env) explain(issues *cel.Issues) error {
	var errs []error
	for _, problem := range issues.Errors() {
		hint := ""
		if e.input == nil && strings.Contains(problem.Message, "'"+request+"'") {
			hint = ": " + e.why
		}
		errs = append(errs, fmt.Errorf("column %d: %s%s", problem.Location.Column()+1, problem.Message, hint))
	}
	return errors.Join(errs...)
}

// namesIn are the variables that an expression uses.
func namesIn(checked *ast.AST) map[string]bool {
	names := map[string]bool{}
	for _, ref := range checked.ReferenceMap() {
		if ref.Name != "" {
			names[ref.Name] = true
		}
	}
	return names
}

// Bool decides about the call that ctx belongs to. What cannot be decided, such
// as one that needs a claim that is not there, is an error.
func (p *Program) Bool(ctx context.Context) (bool, error) {
	v, err := p.eval(ctx, false)
	if err != nil {
		return false, err
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("gave %s, want a bool", v.Type().TypeName())
	}
	return b, nil
}
