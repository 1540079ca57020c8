package grpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/edge"
)

// Read reads the head of a call of an RPC, by the table in force, and with the code
// that serves.
func Read(s *edge.Settings, name string, header map[string][]string) *edge.Reading {
	in := metadata.MD{}
	for key, values := range header {
		in[strings.ToLower(key)] = values
	}
	table, host := s.Table.Load(), first(in["host"])
	st := &stream{sent: in}
	st.Begin(context.Background(), s.ForHost(host), table, call.GRPC, &edge.Arrival{Host: host})
	return &edge.Reading{Method: table.Method(name), Err: st.admit(name)}
}
