package upstream

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	_ "google.golang.org/grpc/balancer/leastrequest"       // named below
	_ "google.golang.org/grpc/balancer/ringhash"           // named below
	_ "google.golang.org/grpc/balancer/weightedroundrobin" // named below
)

// The names of policies in a service config.
const (
	roundRobinName   = "round_robin"
	leastRequestName = "least_request_experimental"
	ringHashName     = "ring_hash_experimental"
	reportedName     = "weighted_round_robin"
	outlierName      = "outlier_detection_experimental"
)

// object is a JSON object.
type object = map[string]any

// serviceConfig is what grpc-go is told of an upstream: who chooses a replica,
// who leaves some out, and who watches both.
func serviceConfig(o Options) (string, error) {
	policy := choosing(o)
	if o.Outliers != nil {
		policy = object{outlierName: o.Outliers.config(object{choiceName: policy})}
	}
	config := object{"loadBalancingConfig": []object{{
		watchName: watchConfig{Keyed: o.Balancing.Kind == RingHash, Outliers: o.Outliers != nil, Child: policy},
	}}}
	if o.Health != nil {
		config["healthCheckConfig"] = object{"serviceName": o.Health.Service}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("service config: %w", err)
	}
	return string(text), nil
}

// choosing is grpc-go's own policy wherever there is one. None of them knows a
// slow start, and only the ring knows weights.
func choosing(o Options) object {
	b := o.Balancing
	switch {
	case b.Kind == RingHash:
		return object{ringHashName: object{"requestHashHeader": ringHeader}}
	case b.SlowStart > 0 || weighted(o.Addresses) && b.Kind != RoundRobin:
		return object{spreadName: spreadConfig{LeastRequest: b.Kind == LeastRequest, SlowStart: b.SlowStart}}
	case b.Kind == LeastRequest:
		return object{leastRequestName: object{}}
	case b.Kind == Weighted:
		return object{reportedName: object{}}
	default:
		return object{roundRobinName: object{}}
	}
}

// weighted tells whether some replicas are to have more than others.
func weighted(list []Address) bool {
	for _, a := range list {
		if max(a.Weight, 1) != max(list[0].Weight, 1) {
			return true
		}
	}
	return false
}

func (o *Outliers) config(child object) object {
	c := object{
		"interval": seconds(o.Interval), "baseEjectionTime": seconds(o.BaseEjectionTime), "maxEjectionTime": seconds(o.MaxEjectionTime),
		"maxEjectionPercent": o.MaxEjectionPercent, "childPolicy": []object{child},
	}
	if o.FailurePercentage > 0 {
		c["failurePercentageEjection"] = object{
			"threshold": o.FailurePercentage, "enforcementPercentage": 100,
			"minimumHosts": o.MinimumReplicas, "requestVolume": o.MinimumCalls,
		}
	}
	if o.SuccessRateStdev > 0 {
		c["successRateEjection"] = object{
			"stdevFactor": o.SuccessRateStdev, "enforcementPercentage": 100,
			"minimumHosts": o.MinimumReplicas, "requestVolume": o.MinimumCalls,
		}
	}
	return c
}

// seconds is a duration as JSON has it in protobuf.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }
