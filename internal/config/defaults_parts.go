package config

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	composev1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/compose/v1"
	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// completeUpstream fills in what the parts of an upstream leave out that are not
// always there.
func completeUpstream(u *configv1.Upstream) {
	for _, a := range u.GetAddresses() {
		fill(a, &configv1.Address{Weight: proto.Uint32(1)})
	}
	if o := u.GetOutliers(); o != nil {
		fill(o, &configv1.Outliers{
			Interval: durationpb.New(10 * time.Second), BaseEjectionTime: durationpb.New(30 * time.Second),
			MaxEjectionTime: durationpb.New(5 * time.Minute), MaxEjectionPercent: proto.Uint32(10),
			FailurePercentage: proto.Uint32(85), SuccessRateStdev: proto.Uint32(1900),
			MinimumCalls: proto.Uint32(50), MinimumReplicas: proto.Uint32(5),
		})
	}
}

// completeExposure is the same for an exposure.
func completeExposure(e *configv1.Exposure) {
	fill(e, &configv1.Exposure{BadRules: configv1.Exposure_BAD_RULES_REFUSE})
	for _, r := range e.GetRoutes() {
		fill(r, &configv1.Route{Percent: new(100.0)})
	}
	if m := e.GetMirror(); m != nil {
		fill(m, &configv1.Mirror{Percent: new(100.0), Timeout: durationpb.New(5 * time.Second), MaxConcurrent: proto.Uint32(100)})
	}
}

func completeVersions(v *configv1.Versions) {
	fill(v, &configv1.Versions{Header: "x-api-version", MediaTypeParameter: "version"})
}

// CompleteComposition fills in what a composition leaves out, which the contract
// or the configuration may state.
func CompleteComposition(c *composev1.Composition) {
	for _, s := range c.GetSteps() {
		fill(s, &composev1.Step{
			Parallel: proto.Uint32(8), MaxItems: proto.Uint32(100),
			OnFailure: composev1.Step_FAILURE_REQUIRED, Timeout: durationpb.New(0),
		})
		if s.GetBatch() != nil {
			fill(s.GetBatch(), &composev1.Batch{MaxSize: proto.Uint32(100)})
		}
	}
}
