// Package contender holds the programs that are compared, and the backend
// behind them. Each runs in a process of its own: the benchmark starts itself
// again with the name of a role.
package contender

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-dev/gatehouse/test/bench/internal/workload"
)

// The contenders, by the names under which they are reported.
const (
	Gatehouse = "gatehouse"
	Policies  = "gatehouse-policies" // the same binary, with policies
	Facade    = "facade"
	Floor     = "floor"
)

// Names returns the contenders in the order in which they take turns.
func Names() []string { return []string{Gatehouse, Policies, Facade, Floor} }

// IsGatehouse tells whether a contender is the gateway's binary, whose
// configuration [WriteConfig] writes. All others are roles.
func IsGatehouse(name string) bool { return name == Gatehouse || name == Policies }

// TakesPart tells whether a contender is measured in a case.
func TakesPart(name string, c workload.Case) bool {
	switch name {
	case Policies:
		return c.Policies
	case Facade:
		return c.Door == workload.REST // it has no other
	default:
		return true
	}
}

// Settings is what a role is told.
type Settings struct {
	Listen  string // host:port to serve on
	Backend string // host:port of the backend
	Case    workload.Case
	KeySet  []byte // of the token that every request carries; roles ignore both
}

// Run plays a role until ctx ends.
func Run(ctx context.Context, role string, s Settings) error {
	switch role {
	case BackendRole:
		return runBackend(ctx, s)
	case Facade:
		return runHTTP(ctx, s, newFacade)
	case Floor:
		if s.Case.Door != workload.REST {
			return runGRPCFloor(ctx, s)
		}
		return runHTTP(ctx, s, newFloor)
	default:
		return fmt.Errorf("no role %q: want %s, %s or %s", role, BackendRole, Facade, Floor)
	}
}

// runHTTP serves what a contender makes on plain net/http, over one plain
// client connection.
func runHTTP(ctx context.Context, s Settings, contender func(context.Context, *grpc.ClientConn, workload.Case) (http.Handler, error)) error {
	cc, err := dial(s.Backend)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	handler, err := contender(ctx, cc, s.Case)
	if err != nil {
		return err
	}
	return serve(ctx, &http.Server{Addr: s.Listen, Handler: handler})
}

func dial(backend string) (*grpc.ClientConn, error) {
	cc, err := grpc.NewClient("passthrough:///"+backend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the backend: %w", err)
	}
	return cc, nil
}

func serve(ctx context.Context, server *http.Server) error {
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
