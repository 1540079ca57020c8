package expr

import (
	"errors"
	"regexp"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// stepsPerCost is how many steps of a regular expression cost as much as a comparison.
// A byte of the text takes as many steps, at worst, as the compiled expression has
// instructions: a repetition such as {1,500} is one of a few characters and has 500.
const stepsPerCost = 40

// regexes are the regular expressions of one program, by how many instructions they
// have. CEL itself charges for a text when it has been looked at, and by the length of
// the expression.
type regexes map[string]uint64

// options have the program refuse a text that is too long for its regular expression,
// before it is looked at.
func (r regexes) options() []cel.ProgramOption {
	var list []*interpreter.RegexOptimization
	for _, id := range []string{overloads.Matches, overloads.MatchesString} {
		list = append(list, &interpreter.RegexOptimization{Function: overloads.Matches, OverloadID: id, RegexIndex: 1, Factory: r.compile})
	}
	return []cel.ProgramOption{cel.OptimizeRegex(list...), cel.CostTracking(r)}
}

func (r regexes) compile(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	size, err := types.RegexProgramSize(pattern)
	if err != nil {
		return nil, err
	}
	r[pattern] = uint64(max(size, 1))
	longest := costLimit * stepsPerCost / max(size, 1)
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
		text, ok := values[0].Value().(string)
		switch {
		case !ok:
			return types.NoSuchOverloadErr()
		case len(text) > longest:
			return types.NewErr("a text of %d bytes is too long for a regular expression of %d instructions", len(text), size)
		}
		return types.Bool(compiled.MatchString(text))
	}), nil
}

// CallCost charges for a text by the instructions of the expression.
func (r regexes) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != overloads.Matches || len(args) != 2 {
		return nil // CEL's own
	}
	text, _ := args[0].Value().(string)
	pattern, _ := args[1].Value().(string)
	cost := uint64(len(text))*r[pattern]/stepsPerCost + 1
	return &cost
}

// errPattern is for a regular expression that clients could choose.
var errPattern = errors.New("matches: the regular expression must be written out: one that depends on the call could cost as much as a client likes")

// checkPatterns refuses regular expressions that are not literals.
func checkPatterns(checked *ast.AST) error {
	open := ast.MatchDescendants(ast.NavigateAST(checked), func(e ast.NavigableExpr) bool {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return false
		}
		args := e.AsCall().Args()
		return len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind
	})
	if len(open) > 0 {
		return errPattern
	}
	return nil
}
