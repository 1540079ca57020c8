package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// TestDefaultsOfParts pins what an upstream's parts have that are not always
// there.
func TestDefaultsOfParts(t *testing.T) {
	t.Parallel()
	f := parse(t, strings.Replace(minimal, `    target: "dns:///catalog:9000"`,
		`    addresses: [{address: "10.0.0.1:9"}, {address: "10.0.0.2:9"}, {address: "10.0.0.3:9"}, {address: "10.0.0.4:9"}, {address: "10.0.0.5:9"}]
    outliers: {}`, 1))
	u := f.Config.GetUpstreams()[0]
	want := new(configv1.Outliers)
	if err := protojson.Unmarshal([]byte(`{
		"interval": "10s", "baseEjectionTime": "30s", "maxEjectionTime": "300s", "maxEjectionPercent": 10,
		"failurePercentage": 85, "successRateStdev": 1900, "minimumCalls": 50, "minimumReplicas": 5}`), want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, u.GetOutliers(), protocmp.Transform()); diff != "" {
		t.Errorf("outliers (-want +got):\n%s", diff)
	}
	for i, a := range u.GetAddresses() {
		if a.Weight == nil || a.GetWeight() != 1 {
			t.Errorf("addresses[%d].weight = %v, want 1", i, a.Weight)
		}
	}
	if u.GetHealthCheck() != nil {
		t.Error("replicas are asked whether they are well, unasked for")
	}
}
