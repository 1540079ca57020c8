package live

import (
	"google.golang.org/grpc"

	"github.com/gatehouse-dev/gatehouse/interceptors"
)

// Watching returns o with link instead of interceptors.Chain, for the chains of RPCs.
func (o Options) Watching(link func(grpc.ClientConnInterface, ...interceptors.Interceptor) grpc.ClientConnInterface) Options {
	o.link = link
	return o
}
