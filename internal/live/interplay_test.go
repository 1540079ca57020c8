package live_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/config"
	"github.com/gatehouse-dev/gatehouse/internal/live"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// What one policy does to another shows only in a whole gateway.

// atEveryDoor plays a scene at each door, each with a gateway of its own.
func atEveryDoor(t *testing.T, sc scene, custom ...interceptors.Interceptor) {
	t.Helper()
	for _, r := range sc.rpcs {
		for _, d := range doors() {
			t.Run(r.name+"/"+d.name, func(t *testing.T) {
				b := &shopBackend{fail: sc.fail, see: sc.see}
				if sc.gated {
					b.gate, b.arrived = make(chan struct{}), make(chan struct{}, 100)
				}
				file, err := config.New(gatewaytest.Config(b.start(t), func(c *configv1.Config) {
					if len(sc.rpcs) == 1 {
						only(sc.rpcs[0])(c)
					}
					sc.policy(c.GetExpose()[0].GetPolicy())
					if sc.config != nil {
						sc.config(c)
					}
				}))
				if err != nil {
					t.Fatal(err)
				}
				g := gatewaytest.StartOptions(t, live.Options{Config: file, Custom: custom})
				sc.play(t, &stage{caller: d.open(t, g), backend: b, rpc: r})
			})
		}
	}
}

// only exposes one RPC.
func only(r rpc) func(*configv1.Config) {
	service := map[string]string{"WatchStock": "shop.inventory.v1.InventoryService."}[r.name]
	if service == "" {
		service = "shop.catalog.v1.CatalogService."
	}
	return func(c *configv1.Config) { c.Expose[0].Select = service + r.name }
}

func failsFirst(k int64) func(int64) error {
	return func(n int64) error {
		if n <= k {
			return down
		}
		return nil
	}
}

func fixedAnswer(text string) *policyv1.Fallback {
	return &policyv1.Fallback{Serve: &policyv1.Fallback_Response{Response: text}}
}

// An answer that stands in for the backend's says nothing of whether the call was
// carried out: it must not become the call's answer for a day.
func TestWhatAFallbackServedIsNotReplayed(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{createProduct}, fail: failsFirst(1),
		policy: func(p *policyv1.Policy) {
			p.Idempotency = &policyv1.Idempotency{}
			p.Fallback = fixedAnswer(`{"name": "products/later"}`)
		},
		play: func(t *testing.T, s *stage) {
			if got := s.want(t, codes.OK, "idempotency-key", `"one"`); got.first("gatehouse-degraded") == "" {
				t.Fatal("the first answer is not the fallback's")
			}
			got := s.want(t, codes.OK, "idempotency-key", `"one"`)
			if got.first("gatehouse-degraded") != "" || got.first("idempotency-replayed") != "" {
				t.Errorf("the second call got %v, want the backend's answer", got.header)
			}
			s.wantCalls(t, 2)
			if got := s.want(t, codes.OK, "idempotency-key", `"one"`); got.first("idempotency-replayed") != "true" {
				t.Errorf("the third call got %v, want the second's answer again", got.header)
			}
			s.wantCalls(t, 2)
		},
	})
}

func TestACachedAnswerStaysItsCallers(t *testing.T) {
	keys := keysOf(t, "ada", "bob")
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf}, config: keys,
		policy: func(p *policyv1.Policy) {
			p.Auth = &policyv1.Auth{Accept: []string{"keys"}}
			p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
		},
		play: func(t *testing.T, s *stage) {
			s.want(t, codes.OK, "x-api-key", "key-of-ada")
			s.want(t, codes.Unauthenticated)
			s.want(t, codes.Unauthenticated, "x-api-key", "key-of-eve")
			if got := s.want(t, codes.OK, "x-api-key", "key-of-bob"); got.first("age") != "" {
				t.Error("bob got ada's answer")
			}
			if got := s.want(t, codes.OK, "x-api-key", "key-of-ada"); got.first("age") == "" {
				t.Error("ada did not get her own answer again")
			}
			s.wantCalls(t, 2)
		},
	})
}

// A backend may well look at credentials that the gateway lets pass.
func TestACredentialThatNobodyLookedAtPassesByTheCache(t *testing.T) {
	for _, header := range []string{"authorization", "cookie"} {
		atEveryDoor(t, scene{
			rpcs:   []rpc{getShelf},
			policy: func(p *policyv1.Policy) { p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)} },
			play: func(t *testing.T, s *stage) {
				for range 2 {
					if got := s.want(t, codes.OK, header, "Bearer of-ada"); got.first("age") != "" {
						t.Errorf("an answer was kept for whoever sends %s", header)
					}
				}
				s.want(t, codes.OK)
				if got := s.want(t, codes.OK); got.first("age") == "" {
					t.Error("an answer for everybody was not kept")
				}
				s.wantCalls(t, 3)
			},
		})
	}
}

func TestACachedAnswerCountsForTheLimit(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf},
		policy: func(p *policyv1.Policy) {
			p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
			p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(3), Per: durationpb.New(time.Hour)}}
		},
		play: func(t *testing.T, s *stage) {
			for range 3 {
				s.want(t, codes.OK)
			}
			s.wantCalls(t, 1)
			s.want(t, codes.ResourceExhausted)
		},
	})
}

func TestAnOpenBreakerEndsRetriesAndHasTheFallbackServe(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf, watchStock}, fail: func(int64) error { return down },
		policy: func(p *policyv1.Policy) {
			p.Retry = &policyv1.Retry{Attempts: proto.Uint32(5), InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true)}
			p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(2), OpenTime: durationpb.New(time.Hour)}
		},
		play: func(t *testing.T, s *stage) {
			s.want(t, codes.Unavailable)
			s.wantCalls(t, 2) // the breaker opened under the retries
			s.want(t, codes.Unavailable)
			s.wantCalls(t, 2)
		},
	})
	for r, text := range map[rpc]string{getShelf: `{"name": "shelves/none"}`, watchStock: `{"name": "none"}`} {
		atEveryDoor(t, scene{
			rpcs: []rpc{r}, fail: func(int64) error { return down },
			policy: func(p *policyv1.Policy) {
				p.Retry = &policyv1.Retry{Attempts: proto.Uint32(5), InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true)}
				p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(2), OpenTime: durationpb.New(time.Hour)}
				p.Fallback = fixedAnswer(text)
			},
			play: func(t *testing.T, s *stage) {
				for range 3 {
					got := s.want(t, codes.OK)
					if got.first("gatehouse-degraded") == "" {
						t.Errorf("got %v, want a degraded answer", got.header)
					}
				}
				s.wantCalls(t, 2)
			},
		})
	}
}

func TestWhatIsLeftOfTheTimeIsSentWithEachAttempt(t *testing.T) {
	left := make(chan time.Duration, 100)
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf}, fail: failsFirst(2),
		see: func(ctx context.Context) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
		},
		policy: func(p *policyv1.Policy) {
			p.Timeout = durationpb.New(time.Minute)
			p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(20 * time.Millisecond), Safe: new(true)}
		},
		play: func(t *testing.T, s *stage) {
			s.want(t, codes.OK)
			last := time.Minute
			for range 3 {
				d := gatewaytest.Receive(t, left, "an attempt")
				if d <= 0 || d > last-5*time.Millisecond && last != time.Minute {
					t.Errorf("an attempt has %v, the one before had %v", d, last)
				}
				last = d
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			s.call(ctx, s.rpc, restTimeout(s, "10S")...)
			if d := gatewaytest.Receive(t, left, "a call"); d > 10*time.Second {
				t.Errorf("the client has 10s, and the backend was given %v", d)
			}
		},
	})
}

// restTimeout tells the deadline where no client library does.
func restTimeout(s *stage, value string) []string {
	if _, ok := s.caller.(*restCaller); ok {
		return []string{"grpc-timeout", value}
	}
	return nil
}

func TestTheTotalTimeoutSpansAttempts(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf}, fail: func(int64) error { return down },
		policy: func(p *policyv1.Policy) {
			p.Timeout = durationpb.New(50 * time.Millisecond)
			p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Minute), MaxBackoff: durationpb.New(time.Minute), Safe: new(true)}
		},
		play: func(t *testing.T, s *stage) {
			begin := time.Now()
			s.want(t, codes.Unavailable)
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			s.wantCalls(t, 1)
		},
	})
}

func TestPlacesAreGivenBackWhicheverWayACallEnds(t *testing.T) {
	ways := map[string]struct {
		fail   func(int64) error
		custom interceptors.Interceptor
		code   codes.Code
	}{
		"the backend fails": {fail: func(int64) error { return down }, code: codes.Unavailable},
		"a panic": {custom: interceptors.Around("boom", func(context.Context, string) (context.Context, func(error), error) {
			panic("boom")
		}), code: codes.Internal},
		"a panic after the answer": {custom: interceptors.Around("boom", func(ctx context.Context, _ string) (context.Context, func(error), error) {
			return ctx, func(error) { panic("boom") }, nil
		}), code: codes.Internal},
		"refused further in": {custom: interceptors.Around("no", func(ctx context.Context, _ string) (context.Context, func(error), error) {
			return ctx, nil, status.Error(codes.FailedPrecondition, "no")
		}), code: codes.FailedPrecondition},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			atEveryDoor(t, scene{
				rpcs: []rpc{getShelf, watchStock}, fail: way.fail,
				policy: func(p *policyv1.Policy) {
					p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}, {Limit: proto.Uint32(1), Scope: policyv1.Concurrency_SCOPE_CALLER.Enum()}}
					p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true)}
				},
				config: func(c *configv1.Config) {
					c.Shedding = &configv1.Shedding{Enabled: true, MinLimit: proto.Uint32(1), MaxLimit: proto.Uint32(1)}
				},
				play: func(t *testing.T, s *stage) {
					for range 5 {
						gatewaytest.Eventually(t, "the same end", func() bool {
							got := s.call(t.Context(), s.rpc)
							if got.code != way.code && got.code != codes.ResourceExhausted && got.code != codes.Unavailable {
								t.Fatalf("got %v %q, want %v", got.code, got.message, way.code)
							}
							return got.code == way.code
						})
					}
				},
			}, present(way.custom)...)
		})
	}
}

func present(i interceptors.Interceptor) []interceptors.Interceptor {
	if i.Unary == nil {
		return nil
	}
	return []interceptors.Interceptor{i}
}

// Where calls may be repeated that may have been executed.
func TestAPanicFreesAnIdempotencyKey(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{createProduct}, policy: func(p *policyv1.Policy) { p.Idempotency = &policyv1.Idempotency{AtMostOnce: new(false)} },
		play: func(t *testing.T, s *stage) {
			for range 3 {
				s.want(t, codes.Internal, "idempotency-key", `"one"`)
			}
			s.wantCalls(t, 0)
		},
	}, interceptors.Around("boom", func(context.Context, string) (context.Context, func(error), error) { panic("boom") }))
}

func TestAClientThatLeavesFreesEverything(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf, watchStock}, gated: true,
		policy: func(p *policyv1.Policy) {
			p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}}
			p.Retry = &policyv1.Retry{Safe: new(true)}
			p.Breaker = &policyv1.Breaker{Kind: policyv1.Breaker_KIND_THREE_STATE.Enum(), MinimumCalls: proto.Uint32(1)}
		},
		play: func(t *testing.T, s *stage) {
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan outcome, 1)
				gatewaytest.Eventually(t, "a place", func() bool {
					go func() { ended <- s.call(ctx, s.rpc) }()
					select {
					case <-s.backend.arrived:
						return true
					case got := <-ended:
						if got.code != codes.ResourceExhausted {
							t.Fatalf("got %v %s", got.code, got.message)
						}
						return false
					}
				})
				cancel()
				gatewaytest.Receive(t, ended, "the end")
			}
			close(s.backend.gate)
			gatewaytest.Eventually(t, "a call that is served", func() bool { return s.call(t.Context(), s.rpc).code == codes.OK })
		},
	})
}

func TestAClientThatLeavesEndsRetries(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf, watchStock}, fail: func(int64) error { return down },
		policy: func(p *policyv1.Policy) {
			p.Concurrency = []*policyv1.Concurrency{{Limit: proto.Uint32(1)}}
			p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Minute), MaxBackoff: durationpb.New(time.Minute), Safe: new(true)}
		},
		play: func(t *testing.T, s *stage) {
			for n := int64(1); n <= 2; n++ {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan outcome, 1)
				gatewaytest.Eventually(t, "a place", func() bool {
					go func() { ended <- s.call(ctx, s.rpc) }()
					for s.backend.calls.Load() < n {
						select {
						case <-ended:
							return false
						default:
						}
					}
					return true
				})
				cancel()
				gatewaytest.Receive(t, ended, "the end")
				s.wantCalls(t, n)
			}
		},
	})
}

// A limit by what a request says counts the same at every door, and a request
// that says nothing readable is the client's mistake.
func TestALimitByTheRequest(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf},
		policy: func(p *policyv1.Policy) {
			p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour), Key: new("request.name")}}
		},
		play: playByRequest,
	})
	atEveryDoor(t, scene{
		rpcs: []rpc{watchStock},
		policy: func(p *policyv1.Policy) {
			p.RateLimit = []*policyv1.RateLimit{{Requests: proto.Uint32(1), Per: durationpb.New(time.Hour), Key: new("request.name")}}
		},
		play: playByRequest,
	})
}

func playByRequest(t *testing.T, s *stage) {
	for i := range 3 {
		s.rpc.arg = "number" + strconv.Itoa(i)
		s.want(t, codes.OK)
		s.want(t, codes.ResourceExhausted)
	}
	s.wantCalls(t, 3)
}

func TestAllowByTheRequest(t *testing.T) {
	for _, r := range []rpc{getShelf, watchStock} {
		atEveryDoor(t, scene{
			rpcs: []rpc{r}, config: keysOf(t, "ada"),
			policy: func(p *policyv1.Policy) {
				p.Auth = &policyv1.Auth{Accept: []string{"keys"}, Allow: new(`request.name.endsWith("/tents") || request.name.endsWith("/mug")`)}
			},
			play: func(t *testing.T, s *stage) {
				s.want(t, codes.OK, "x-api-key", "key-of-ada")
				s.rpc.arg = "secret"
				s.want(t, codes.PermissionDenied, "x-api-key", "key-of-ada")
				s.wantCalls(t, 1)
			},
		})
	}
}

func TestHedgesUnderACacheAreOneAnswer(t *testing.T) {
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf}, gated: true,
		policy: func(p *policyv1.Policy) {
			p.Cache = &policyv1.Cache{Ttl: durationpb.New(time.Hour)}
			p.Retry = &policyv1.Retry{Hedge: &policyv1.Hedge{Delay: durationpb.New(time.Millisecond)}, Safe: new(true)}
		},
		play: func(t *testing.T, s *stage) {
			all := make(chan outcome, 10)
			for range 10 {
				go func() { all <- s.call(t.Context(), s.rpc) }()
			}
			gatewaytest.Receive(t, s.backend.arrived, "the first attempt")
			gatewaytest.Receive(t, s.backend.arrived, "the hedge")
			close(s.backend.gate)
			for range 10 {
				if got := gatewaytest.Receive(t, all, "an answer"); got.code != codes.OK {
					t.Errorf("got %v %s", got.code, got.message)
				}
			}
			s.wantCalls(t, 2)
		},
	})
}

// Attempts are told to the backend.
func TestAttemptsAreSeen(t *testing.T) {
	var said []string
	atEveryDoor(t, scene{
		rpcs: []rpc{getShelf, watchStock}, fail: failsFirst(2),
		see: func(ctx context.Context) {
			md, _ := metadata.FromIncomingContext(ctx)
			said = append(said, strings.Join(md["grpc-previous-rpc-attempts"], ","))
		},
		policy: func(p *policyv1.Policy) {
			p.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true)}
		},
		play: func(t *testing.T, s *stage) {
			said = nil
			s.want(t, codes.OK)
			if got := fmt.Sprintf("%q", said); got != `["" "1" "2"]` {
				t.Errorf("the backend was told %s", got)
			}
		},
	})
}

// Attempts are told in the log and in metrics.
func TestAttemptsAreLoggedAndCounted(t *testing.T) {
	b := &shopBackend{fail: failsFirst(2)}
	g := gatewaytest.Start(t, gatewaytest.Config(b.start(t), func(c *configv1.Config) {
		c.Expose[0].Policy.Retry = &policyv1.Retry{InitialBackoff: durationpb.New(time.Microsecond), Safe: new(true)}
	}))
	s := &stage{caller: doors()[0].open(t, g), backend: b, rpc: getShelf}
	s.want(t, codes.OK)
	gatewaytest.Eventually(t, "a line with 3 attempts", func() bool { return strings.Contains(g.Log.String(), "attempts=3") })
	if n := sumOf(t, g, "gatehouse_retry_attempts_total"); n != 3 {
		t.Errorf("%v attempts were counted, want 3", n)
	}
}
