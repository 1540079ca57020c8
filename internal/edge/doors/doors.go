// Package doors has the list of the doors on the HTTP port. A new protocol is a folder
// beside this one, with a type that embeds the client half of package edge, and a line
// here.
package doors

import (
	"net/http"

	"github.com/gatehouse-dev/gatehouse/internal/edge"
	"github.com/gatehouse-dev/gatehouse/internal/edge/connect"
	"github.com/gatehouse-dev/gatehouse/internal/edge/grpc"
	"github.com/gatehouse-dev/gatehouse/internal/edge/rest"
)

// Handler returns what makes the handler of the HTTP port. It is given the handler of
// a grpc.Server whose methods [grpc.Handler] serves.
func Handler(s *edge.Settings) func(server http.Handler) http.Handler {
	return func(server http.Handler) http.Handler {
		return edge.Port(s,
			grpc.Door(s, server),
			connect.Door(s),
			rest.Door(s), // the last: it takes what no other door takes
		)
	}
}
