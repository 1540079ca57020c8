package idempotency_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/interceptors/idempotency"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/test/calltest"
)

const room = 256 << 10

// sized is an RPC whose answers have so many bytes.
func sized(t *testing.T, reg prometheus.Registerer, size int, asked *int) *call.Method {
	t.Helper()
	conn := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		*asked++
		reply.(*call.Message).Data = calltest.Bytes(strings.Repeat("x", size))
		return nil
	}}
	i, err := build(newKeys(t, idempotency.Options{MaxBytes: room, Registerer: reg}), &policyv1.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	return &call.Method{Name: method, Conn: interceptors.Chain(conn, i)}
}

// codeOf sends a call with a key and gives its outcome.
func codeOf(t *testing.T, m *call.Method, peer, key string) codes.Code {
	t.Helper()
	_, _, err := send(t.Context(), m, request{key: []string{key}, peer: peer})
	return status.Code(err)
}

// A stranger may fill its own share, and is refused then; what others were promised
// stays, and they get more.
func TestNobodyDropsAnothersPromise(t *testing.T) {
	for name, size := range map[string]int{"small answers": 10, "large answers": 15 << 10} {
		t.Run(name, func(t *testing.T) {
			reg, asked := prometheus.NewRegistry(), 0
			m := sized(t, reg, size, &asked)
			if code := codeOf(t, m, "192.0.2.1:1", "victim"); code != codes.OK {
				t.Fatal(code)
			}
			refused := 0
			for i := range 300 {
				switch code := codeOf(t, m, "198.51.100.1:1", fmt.Sprint("k", i)); code {
				case codes.OK:
				case codes.ResourceExhausted:
					refused++
				default:
					t.Fatalf("call %d of the stranger: %v", i, code)
				}
			}
			before := asked
			if code := codeOf(t, m, "192.0.2.1:9", "victim"); code != codes.OK || asked != before {
				t.Errorf("the victim's repetition: %v, executed %d times more; want its answer", code, asked-before)
			}
			if code := codeOf(t, m, "192.0.2.1:1", "another"); code != codes.OK {
				t.Errorf("the victim's next call: %v", code)
			}
			got := values(t, reg)
			if refused == 0 || got["gatehouse_idempotency_refused_total{share}"] != float64(refused) || got["gatehouse_idempotency_bytes{}"] > room/2 {
				t.Errorf("%d calls of the stranger refused; metrics %v", refused, got)
			}
		})
	}
}

// When all shares together have filled the memory, new keys are refused and no old
// one is forgotten, until its time is over.
func TestAFullMemoryRefusesNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, asked := prometheus.NewRegistry(), 0
		m := sized(t, reg, 2<<10, &asked)
		var kept []string
		refused := 0
		for i := range 300 {
			peer := fmt.Sprintf("192.0.2.%d:1", i%250)
			switch code := codeOf(t, m, peer, "k"); {
			case code == codes.OK && i < 250:
				kept = append(kept, peer)
			case code == codes.Unavailable:
				refused++
			case code != codes.OK:
				t.Fatalf("call %d: %v", i, code)
			}
		}
		before := asked
		for _, peer := range kept {
			if code := codeOf(t, m, peer, "k"); code != codes.OK || asked != before {
				t.Fatalf("the repetition from %s: %v, executed %d times more", peer, code, asked-before)
			}
		}
		got := values(t, reg)
		if len(kept) == 0 || refused == 0 || got["gatehouse_idempotency_refused_total{full}"] != float64(refused) || got["gatehouse_idempotency_bytes{}"] > room {
			t.Errorf("%d kept, %d refused; metrics %v", len(kept), refused, got)
		}
		time.Sleep(24 * time.Hour)
		if code := codeOf(t, m, "192.0.2.251:1", "k"); code != codes.OK {
			t.Errorf("when all keys have expired: %v", code)
		}
	})
}

// A call drops a few of the keys whose time is over, and its own key in any case: that
// many others have expired too neither delays it nor holds its key.
func TestAnExpiredKeyIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 150
		asked := 0
		m := sized(t, prometheus.NewRegistry(), 10, &asked)
		call := func(i int) {
			t.Helper()
			if code := codeOf(t, m, fmt.Sprintf("192.0.2.%d:1", i), "k"); code != codes.OK {
				t.Fatalf("call %d: %v", i, code)
			}
		}
		for i := range keys {
			call(i)
			time.Sleep(time.Second)
		}
		time.Sleep(24 * time.Hour)
		for i := keys - 1; i >= 0; i-- { // the one that expires last first
			call(i)
		}
		if asked != 2*keys {
			t.Errorf("%d calls executed, want %d: each key once more", asked, 2*keys)
		}
		for i := range keys {
			call(i)
		}
		if asked != 2*keys {
			t.Errorf("%d calls executed, want %d: their answers are kept", asked, 2*keys)
		}
	})
}

// Answers that come when there is no room any more are not kept, but their keys are.
func TestAKeyOutlivesAnAnswerWithoutRoom(t *testing.T) {
	reg := prometheus.NewRegistry()
	goOn, begun := make(chan struct{}), make(chan struct{})
	executed := make(chan struct{}, 100)
	conn := calltest.Conn{OnInvoke: func(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
		executed <- struct{}{}
		begun <- struct{}{}
		<-goOn
		reply.(*call.Message).Data = calltest.Bytes(strings.Repeat("x", 10<<10))
		return nil
	}}
	i, err := build(newKeys(t, idempotency.Options{MaxBytes: room, Registerer: reg}), &policyv1.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	m := &call.Method{Name: method, Conn: interceptors.Chain(conn, i)}
	const calls = 60 // of one each, which all had room when they began
	outcomes := make(chan codes.Code, calls)
	for i := range calls {
		go func() { outcomes <- codeOf(t, m, fmt.Sprintf("192.0.2.%d:1", i), "k") }()
		<-begun
	}
	close(goOn)
	for range calls {
		if code := <-outcomes; code != codes.OK {
			t.Errorf("a first call: %v", code)
		}
	}
	unkept := 0
	for i := range calls {
		switch code := codeOf(t, m, fmt.Sprintf("192.0.2.%d:1", i), "k"); code {
		case codes.OK:
		case codes.FailedPrecondition:
			unkept++
		default:
			t.Errorf("a repetition: %v", code)
		}
	}
	got := values(t, reg)
	if unkept == 0 || len(executed) != calls || got["gatehouse_idempotency_unkept_total{}"] != float64(unkept) || got["gatehouse_idempotency_bytes{}"] > room {
		t.Errorf("%d answers were not kept, %d calls executed; metrics %v", unkept, len(executed), got)
	}
}
