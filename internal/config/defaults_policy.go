package config

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// DefaultPolicy is the policy of an RPC about which nobody said anything: all
// that may be left out. Who may call may not.
func DefaultPolicy() *policyv1.Policy {
	return &policyv1.Policy{Timeout: durationpb.New(30 * time.Second), Priority: policyv1.Priority_PRIORITY_NORMAL.Enum()}
}

// defaultsOf are what the parts of a policy have that do not say otherwise. A
// part that nobody asked for is left out.
func defaultsOf() []proto.Message {
	return []proto.Message{
		&policyv1.Auth{Public: new(false), Anonymous: new(false)},
		&policyv1.RateLimit{
			Unlimited: new(false), Per: durationpb.New(time.Second), Key: new("peer.network"), Cost: proto.Uint32(1),
			Store: policyv1.Store_STORE_LOCAL.Enum(), OnFailure: policyv1.OnFailure_ON_FAILURE_OPEN.Enum(),
		},
		&policyv1.Concurrency{
			Unlimited: new(false), Scope: policyv1.Concurrency_SCOPE_RPC.Enum(), Queue: proto.Uint32(0),
			MaxWait: durationpb.New(100 * time.Millisecond),
		},
		&policyv1.Retry{
			Disabled: new(false), Attempts: proto.Uint32(3), InitialBackoff: durationpb.New(50 * time.Millisecond),
			MaxBackoff: durationpb.New(time.Second), Multiplier: new(2.0), Codes: []string{"UNAVAILABLE"},
			AttemptTimeout: durationpb.New(0),
		},
		&policyv1.Hedge{Disabled: new(false), Delay: durationpb.New(0)},
		&policyv1.Breaker{
			Disabled: new(false), Kind: policyv1.Breaker_KIND_ADAPTIVE.Enum(), Scope: policyv1.Breaker_SCOPE_RPC.Enum(),
			Window: durationpb.New(30 * time.Second), K: new(2.0), FailureRatio: new(0.5),
			SlowCall: durationpb.New(0), SlowRatio: new(1.0), MinimumCalls: proto.Uint32(20),
			OpenTime: durationpb.New(5 * time.Second), Probes: proto.Uint32(3),
		},
		&policyv1.Fallback{Disabled: new(false)},
		&policyv1.Cache{Disabled: new(false)},
		&policyv1.Idempotency{
			Disabled: new(false), Required: new(false), Ttl: durationpb.New(24 * time.Hour),
			Store: policyv1.Store_STORE_LOCAL.Enum(), OnFailure: policyv1.OnFailure_ON_FAILURE_CLOSED.Enum(),
			AtMostOnce: new(true),
		},
	}
}

// completePolicy fills in what the parts of a policy leave out.
func completePolicy(p *policyv1.Policy) {
	fill(p, DefaultPolicy())
	byName := map[protoreflect.FullName]proto.Message{}
	for _, m := range defaultsOf() {
		byName[m.ProtoReflect().Descriptor().FullName()] = m
	}
	completeIn(p.ProtoReflect(), byName)
	for _, l := range p.GetRateLimit() {
		if l.Burst == nil && l.Requests != nil {
			l.Burst = new(l.GetRequests())
		}
	}
}

func completeIn(m protoreflect.Message, defaults map[protoreflect.FullName]proto.Message) {
	if from, ok := defaults[m.Descriptor().FullName()]; ok {
		fillMessage(m, proto.Clone(from).ProtoReflect())
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case isGroup(field):
			completeIn(v.Message(), defaults)
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				completeIn(v.List().Get(i).Message(), defaults)
			}
		}
		return true
	})
}

// completeParts fills in what the parts of a configuration leave out that are not
// always there.
func completeParts(c *configv1.Config) {
	if c.GetRedis() != nil {
		fill(c.GetRedis(), &configv1.Redis{Database: proto.Uint32(0), Prefix: "gatehouse:", Timeout: durationpb.New(50 * time.Millisecond)})
	}
	if cors := c.GetCors(); cors != nil {
		fill(cors, &configv1.Cors{MaxAge: durationpb.New(10 * time.Minute)})
		if len(cors.GetAllowHeaders()) == 0 {
			cors.AllowHeaders = []string{"*"}
		}
	}
	for _, a := range c.GetAuthenticators() {
		switch kind := a.GetKind().(type) {
		case *policyv1.Authenticator_Jwt:
			completeJWT(kind.Jwt)
		case *policyv1.Authenticator_ApiKeys:
			fill(kind.ApiKeys, &policyv1.ApiKeys{Header: "x-api-key"})
		case *policyv1.Authenticator_Basic:
			fill(kind.Basic, &policyv1.Basic{Realm: "gatehouse"})
		}
	}
}

func completeJWT(j *policyv1.Jwt) {
	fill(j, &policyv1.Jwt{Leeway: durationpb.New(0), Refresh: durationpb.New(15 * time.Minute), MinRefresh: durationpb.New(10 * time.Second)})
	if len(j.GetAlgorithms()) == 0 {
		j.Algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}
	}
}
