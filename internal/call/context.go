package call

import "context"

type callKey struct{}

// With returns ctx carrying c.
func With(ctx context.Context, c *Call) context.Context {
	return &callContext{Context: ctx, call: c}
}

// From returns the call that ctx belongs to, or nil.
func From(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// callContext is context.WithValue without boxing.
type callContext struct {
	context.Context
	call *Call
}

func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.Context.Value(key)
}
