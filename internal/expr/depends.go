package expr

import (
	"maps"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// Depends is what the value of an expression depends on.
type Depends struct {
	// Headers and Claims are those that the expression names, in lower case and by
	// their first name, sorted.
	Headers, Claims []string
	// AnyHeader and AnyClaim say that it may look at others too.
	AnyHeader, AnyClaim bool

	CallerID, Authenticator, Scopes, PeerIP, PeerNetwork bool
}

// Depends finds what the expression depends on beside the request and the method.
func (p *Program) Depends() Depends {
	d := Depends{
		CallerID: p.names[callerID], Authenticator: p.names[callerAuthenticator], Scopes: p.names[callerScopes],
		PeerIP: p.names[peerIP], PeerNetwork: p.names[peerNetwork],
	}
	d.Headers, d.AnyHeader = namedIn(p.tree, headers)
	d.Claims, d.AnyClaim = namedIn(p.tree, callerClaims)
	return d
}

// namedIn are the keys under which an expression looks into a map, and whether it
// looks at the map in another way.
func namedIn(tree ast.Expr, variable string) (names []string, others bool) {
	found := map[string]bool{}
	open := 0 // uses of the variable that are not known to be by a name
	ast.PreOrderVisit(tree, ast.NewExprVisitor(func(e ast.Expr) {
		if isVariable(e, variable) {
			open++
		}
		if name, ok := lookup(e, variable); ok {
			open--
			found[name] = true
		}
	}))
	return slices.Sorted(maps.Keys(found)), open > 0
}

// lookup tells an expression that looks into a map by a name: m.name, has(m.name),
// m["name"] and "name" in m.
func lookup(e ast.Expr, variable string) (name string, ok bool) {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		return s.FieldName(), isVariable(s.Operand(), variable)
	case ast.CallKind:
		c := e.AsCall()
		args := c.Args()
		if len(args) != 2 {
			return "", false
		}
		of, key := args[0], args[1]
		switch c.FunctionName() {
		case operators.Index:
		case operators.In, operators.OldIn:
			of, key = key, of
		default:
			return "", false
		}
		if !isVariable(of, variable) || key.Kind() != ast.LiteralKind {
			return "", false
		}
		text, ok := key.AsLiteral().(types.String)
		return string(text), ok
	default:
		return "", false
	}
}

func isVariable(e ast.Expr, variable string) bool {
	return e.Kind() == ast.IdentKind && e.AsIdent() == variable
}
