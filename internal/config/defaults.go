package config

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
)

// Default is a configuration with every default, upstreams and exposures
// aside.
func Default() *configv1.Config {
	c := &configv1.Config{
		Listeners: &configv1.Listeners{
			Http:  &configv1.HttpListener{Address: "127.0.0.1:8080"},
			Grpc:  &configv1.Listener{Address: "127.0.0.1:9090"},
			Admin: &configv1.AdminListener{Address: "127.0.0.1:9901"},
		},
		Json:   &configv1.Json{Profile: configv1.Json_PROFILE_PROTO3},
		Errors: &configv1.Errors{},
		Limits: &configv1.Limits{
			MaxBodyBytes:         proto.Int64(4 << 20),
			MaxMessageBytes:      proto.Int64(4 << 20),
			MaxDepth:             proto.Uint32(100),
			MaxQueryParameters:   proto.Uint32(1000),
			MaxHeaders:           proto.Uint32(100),
			MaxHeaderBytes:       proto.Int64(64 << 10),
			MaxConcurrentStreams: proto.Uint32(100),
			HeaderTimeout:        durationpb.New(10 * time.Second),
			IdleTimeout:          durationpb.New(5 * time.Minute),
			StreamIdleTimeout:    durationpb.New(5 * time.Minute),
			WriteTimeout:         durationpb.New(30 * time.Second),
			MaxConnectionBytes:   proto.Int64(16 << 20),
		},
		Drain: &configv1.Drain{
			Timeout: durationpb.New(30 * time.Second),
			Delay:   durationpb.New(0),
		},
		Log: &configv1.Log{
			Level:     configv1.Log_LEVEL_INFO,
			Format:    configv1.Log_FORMAT_TEXT,
			Access:    new(true),
			WhenFull:  configv1.Log_WHEN_FULL_DROP,
			PeerLines: proto.Uint32(20),
		},
		Shedding:          &configv1.Shedding{MinLimit: proto.Uint32(20), MaxLimit: proto.Uint32(1000)},
		Answers:           &configv1.Answers{MaxBytes: proto.Int64(64 << 20)},
		IdempotencyMemory: &configv1.IdempotencyMemory{MaxBytes: proto.Int64(64 << 20), CallerShare: new(0.1)},
		SecurityHeaders:   &configv1.SecurityHeaders{Hsts: durationpb.New(8760 * time.Hour)},
		Openapi:           &configv1.OpenApi{Policies: configv1.OpenApi_POLICIES_PROMISES},
		Tracing:           &configv1.Tracing{SampleRatio: new(0.01), ServiceName: "gatehouse"},
		Reload:            &configv1.Reload{Interval: durationpb.New(5 * time.Second), ReflectionInterval: durationpb.New(time.Minute), DrainTimeout: durationpb.New(10 * time.Minute)},
	}
	profile(c)
	return c
}

// defaultUpstream is what an upstream has that does not say otherwise.
func defaultUpstream(limits *configv1.Limits) *configv1.Upstream {
	return &configv1.Upstream{
		ConnectTimeout:  durationpb.New(5 * time.Second),
		MaxReceiveBytes: new(limits.GetMaxMessageBytes()),
		Keepalive: &configv1.Keepalive{
			Time:    durationpb.New(6 * time.Minute),
			Timeout: durationpb.New(3 * time.Second),
		},
		RetryBudget: &policyv1.RetryBudget{MaxTokens: proto.Uint32(10), TokenRatio: new(0.1)},
		Balancing: &configv1.Balancing{
			Kind: configv1.Balancing_KIND_ROUND_ROBIN, Connections: proto.Uint32(1),
			SlowStart: durationpb.New(0), Refresh: durationpb.New(30 * time.Second),
		},
		MaxStreamAge: durationpb.New(0),
	}
}

// profile sets what follows from the JSON profile.
func profile(c *configv1.Config) {
	wrapped := c.GetJson().GetProfile() == configv1.Json_PROFILE_GRPC_GATEWAY
	fill(c.GetJson(), &configv1.Json{
		ProtoNames:          new(false),
		EmitDefaults:        new(wrapped),
		EnumNumbers:         new(false),
		IgnoreUnknownFields: new(wrapped),
		IgnoreUnknownQuery:  new(wrapped),
		WrapStreams:         new(wrapped),
	})
	format := configv1.Errors_FORMAT_AIP193
	if wrapped {
		format = configv1.Errors_FORMAT_STATUS
	}
	fill(c.GetErrors(), &configv1.Errors{Format: format})
}

// complete fills in what the configuration leaves out.
func complete(c *configv1.Config) {
	if c.GetJson() == nil {
		c.Json = new(configv1.Json)
	}
	if c.GetErrors() == nil {
		c.Errors = new(configv1.Errors)
	}
	profile(c)
	fill(c, Default())
	completeParts(c)
	for _, u := range c.GetUpstreams() {
		fill(u, defaultUpstream(c.GetLimits()))
		completeUpstream(u)
	}
	for _, e := range c.GetExpose() {
		completeExposure(e)
	}
	for _, v := range c.GetVersions() {
		completeVersions(v)
	}
	for _, composition := range c.GetCompose() {
		CompleteComposition(composition)
	}
	for _, tls := range []*configv1.ServerTls{c.GetListeners().GetHttp().GetTls(), c.GetListeners().GetGrpc().GetTls(), c.GetListeners().GetAdmin().GetTls()} {
		if tls != nil {
			fill(tls, &configv1.ServerTls{MinVersion: configv1.ServerTls_VERSION_1_2})
		}
	}
}

// fill sets the fields of to that are not set as they are in from.
func fill(to, from proto.Message) { fillMessage(to.ProtoReflect(), from.ProtoReflect()) }

func fillMessage(to, from protoreflect.Message) {
	from.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case !isGroup(field):
			if !to.Has(field) || isUnspecified(field, to.Get(field)) {
				to.Set(field, v)
			}
		default:
			fillMessage(to.Mutable(field).Message(), v.Message())
		}
		return true
	})
}

// isUnspecified tells an enum's value that stands for the default. Only the options of
// a contract can have it.
func isUnspecified(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
	return field.Enum() != nil && !field.IsList() && v.Enum() == 0
}

// isGroup tells a field whose message has fields of its own to fill.
func isGroup(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && !field.IsList() && !field.IsMap() && field.Message().FullName() != durationName
}
