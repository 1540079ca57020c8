package rest

import (
	"context"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Read reads a request without a body, by the table in force, and with the code that
// serves. The target and the header are as they would be sent; the header's names may
// have any case.
func Read(ctx context.Context, s *edge.Settings, method, target string, header map[string][]string) (*edge.Reading, error) {
	r, err := edge.NewRequest(ctx, method, target, header)
	if err != nil {
		return nil, err
	}
	st, m := new(stream), new(edge.Match)
	table := s.Table.Load()
	st.begin(s.ForHost(r.Host), table, nil, r, m)
	err = st.Run(st.prepare, func(error) {})
	out := &edge.Reading{Route: m.Value, Vars: m.Vars, Path: edge.SentPath(r.URL), Query: r.URL.RawQuery, VersionBy: m.VersionBy}
	if err != nil {
		out.SetRefusal(err)
	}
	if m.Value == nil {
		out.Nearest = table.Nearest(method, out.Path)
		return out, nil
	}
	out.Method = m.Value.Method
	return out, nil
}
