package expr

import "sync"

// Programs are the expressions of many RPCs. One that does not look into requests means
// the same for all of them, and is compiled once. The zero value is ready. It is safe for
// concurrent use.
type Programs struct {
	mu  sync.Mutex
	all map[programKey]*Program
}

// programKey is an expression and what it must give.
type programKey struct{ text, want string }

// find returns the program of an expression, which compile makes if there is none yet.
func (p *Programs) find(text, want string, compile func() (*Program, error)) (*Program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := programKey{text, want}
	if known := p.all[key]; known != nil {
		return known, nil
	}
	made, err := compile()
	if err != nil {
		return nil, err
	}
	if p.all == nil {
		p.all = map[programKey]*Program{}
	}
	p.all[key] = made
	return made, nil
}
