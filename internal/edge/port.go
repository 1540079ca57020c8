package edge

import "net/http"

// port is the HTTP port.
type port struct {
	settings *Settings
	doors    []Door
}

// Port returns the handler of the HTTP port. It hands each request to the first door
// that takes it, together with the table that serves the request to its end, and
// answers itself what concerns no protocol: preflights and `OPTIONS *`.
func Port(s *Settings, doors ...Door) http.Handler { return &port{s, doors} }

func (p *port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 { // the time to take an earlier answer ended with it, by net/http
		p.settings.boundUnread(w, r)
		endAfterFraming(w, r)
	}
	table := Enter(p.settings.Table)
	defer table.Leave()
	door := p.doorOf(table, r)
	if door.NoPages {
		door.Serve(table, w, r)
		return
	}
	table.Security.set(w.Header(), p.settings.schemeOf(r) == schemeHTTPS)
	switch {
	case r.Method == http.MethodOptions && r.RequestURI == "*":
		p.ping(table, w, r)
	case table.CORS != nil && IsPreflight(r):
		p.preflight(table, w, r)
	default:
		table.CORS.set(w.Header(), r)
		if read := table.pageOf(r); read != nil {
			p.page(table, w, r, read)
			return
		}
		door.Serve(table, w, r)
	}
}

// doorOf is the door that takes a request: the last one takes all that is left.
func (p *port) doorOf(table *Table, r *http.Request) *Door {
	last := len(p.doors) - 1
	for i := range p.doors[:last] {
		if p.doors[i].Takes(table, r) {
			return &p.doors[i]
		}
	}
	return &p.doors[last]
}
