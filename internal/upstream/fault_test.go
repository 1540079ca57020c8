package upstream_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/upstream"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// deadlines is a backend that answers at once or never, as it is told.
type deadlines struct {
	up      *upstream.Upstream
	answers atomic.Bool // at once
}

func newDeadlines(t *testing.T) *deadlines {
	t.Helper()
	d := new(deadlines)
	address := gatewaytest.Backend(t, gatewaytest.Script{unary: gatewaytest.Unary(func(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
		if d.answers.Load() {
			return new(emptypb.Empty), nil
		}
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	})})
	o := options(nil)
	o.Target = "passthrough:///" + address
	d.up = dial(t, o)
	gatewaytest.Eventually(t, "a connection", func() bool { return d.up.Status().Connections == 1 })
	return d
}

func (d *deadlines) call(ctx context.Context) error {
	return d.up.Conn().Invoke(ctx, unary, new(emptypb.Empty), new(emptypb.Empty))
}

// within makes a call whose client chooses the deadline.
func (d *deadlines) within(t *testing.T, limit time.Duration) call.Fault {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return d.late(t, ctx)
}

func (d *deadlines) late(t *testing.T, ctx context.Context) call.Fault {
	t.Helper()
	err := d.call(ctx)
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("err = %v, want DEADLINE_EXCEEDED", err)
	}
	return call.FaultOf(err)
}

// TestWhoseDeadlineItIs: until its first good answer an upstream is to blame only
// if the gateway's own limit passes; then if it had as long as good answers take.
func TestWhoseDeadlineItIs(t *testing.T) {
	t.Parallel()
	d := newDeadlines(t)
	for _, limit := range []time.Duration{1, time.Microsecond, 20 * time.Millisecond} {
		if fault := d.within(t, limit); fault != call.Client {
			t.Errorf("before the first answer a deadline of %v is the fault of the %v", limit, fault)
		}
	}
	limit := 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(call.WithTimeLimit(t.Context(), limit), limit)
	defer cancel()
	if fault := d.late(t, ctx); fault != call.Upstream {
		t.Errorf("the gateway's own limit is the fault of the %v", fault)
	}
	d.answers.Store(true)
	begin := time.Now()
	if err := d.call(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.answers.Store(false)
	if fault := d.within(t, max(200*time.Millisecond, 20*time.Since(begin))); fault != call.Upstream {
		t.Errorf("a deadline long after good answers come is the fault of the %v", fault)
	}
	if fault := d.within(t, 1); fault != call.Client {
		t.Errorf("a deadline of 1ns is the fault of the %v", fault)
	}
}

// TestShortLimitOfTheGateway: of its own limit the gateway must leave the upstream
// nearly all, whatever took the rest.
func TestShortLimitOfTheGateway(t *testing.T) {
	t.Parallel()
	d := newDeadlines(t)
	ctx, cancel := context.WithTimeout(call.WithTimeLimit(t.Context(), time.Hour), 50*time.Millisecond)
	defer cancel()
	if fault := d.late(t, ctx); fault != call.Client {
		t.Errorf("a client's deadline below the gateway's limit is the fault of the %v", fault)
	}
}

// TestHeadersThatTheBackendDoesNotTake: they are the client's fault if the client
// made them large, which REST has a status for, and the upstream's if it takes no
// call at all.
func TestHeadersThatTheBackendDoesNotTake(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		most   uint32 // SETTINGS_MAX_HEADER_LIST_SIZE
		large  int    // bytes of the client's header
		fault  call.Fault
		code   codes.Code
		status int
	}{
		{"a large header", 8192, 9000, call.Client, codes.ResourceExhausted, 431},
		{"a backend that takes nothing", 10, 0, call.Upstream, codes.Internal, 0},
		{"both", 10, 9000, call.Client, codes.ResourceExhausted, 431},
	} {
		o := options(nil)
		o.Target = "passthrough:///" + gatewaytest.Backend(t, nil, grpc.MaxHeaderListSize(tc.most))
		up := dial(t, o)
		gatewaytest.Eventually(t, "a connection", func() bool { return up.Status().Connections == 1 })
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", tc.large))
		err := up.Conn().Invoke(ctx, unary, new(emptypb.Empty), new(emptypb.Empty))
		e, ok := errors.AsType[*call.Error](err)
		if !ok || e.Fault() != tc.fault || e.GRPCStatus().Code() != tc.code || e.HTTPStatus() != tc.status {
			t.Errorf("%s: %v, the fault of the %v", tc.name, err, call.FaultOf(err))
		}
	}
}

// TestMetadataThatCannotBeSent is the client's mistake, by whatever way it came.
func TestMetadataThatCannotBeSent(t *testing.T) {
	t.Parallel()
	d := newDeadlines(t)
	for _, md := range []metadata.MD{
		{"x-name": {"Zo\u00eb"}}, {"x-name": {"a\tb"}}, {"x'odd": {"1"}}, {"": {"1"}}, {"X-Name": {"1"}},
	} {
		err := d.call(metadata.NewOutgoingContext(t.Context(), md))
		if status.Code(err) != codes.InvalidArgument || call.FaultOf(err) != call.Client {
			t.Errorf("%q: %v, the fault of the %v", md, err, call.FaultOf(err))
		}
	}
}

// TestNobodyIsThereInTime: a call for which no backend is ready is the upstream's
// fault once the gateway's limit has passed, and not sooner.
func TestNobodyIsThereInTime(t *testing.T) {
	t.Parallel()
	o := options(nil)
	o.Target = "passthrough:///" + raw(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })(t) // it never says that it is ready
	conn := dial(t, o).Conn()
	fault := func(ctx context.Context) call.Fault {
		err := conn.Invoke(ctx, unary, new(emptypb.Empty), new(emptypb.Empty), new(call.Reach))
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("err = %v, want DEADLINE_EXCEEDED", err)
		}
		return call.FaultOf(err)
	}
	limit := 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if got := fault(ctx); got != call.Client {
		t.Errorf("a client's deadline is the fault of the %v", got)
	}
	ctx, cancel = context.WithTimeout(call.WithTimeLimit(t.Context(), limit), limit)
	defer cancel()
	if got := fault(ctx); got != call.Upstream {
		t.Errorf("the gateway's own limit is the fault of the %v", got)
	}
}
