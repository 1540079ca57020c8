package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// minRefresh spares the servers of DNS.
const minRefresh = time.Second

// replicas checks how the replicas of an upstream are found, chosen between and
// left out.
func (c *checker) replicas(path string, u *configv1.Upstream) {
	c.slashes(path+".target", u.GetTarget())
	c.addresses(path, u)
	c.balancing(path+".balancing", u)
	c.outliers(path+".outliers", u)
	if strings.HasPrefix(u.GetTarget(), "xds:") {
		c.controlled(path, u)
	}
}

// slashes refuses targets whose name stands where that of a server of DNS or of
// an authority would, and which therefore name nothing.
func (c *checker) slashes(path, target string) {
	u, err := url.Parse(target)
	if err != nil || !slices.Contains([]string{"dns", "xds", "passthrough"}, u.Scheme) || u.Opaque != "" {
		return
	}
	switch name := strings.TrimPrefix(u.Path, "/"); {
	case name == "" && u.Host != "":
		c.fail(path, "%s names nothing: a name stands after three slashes; did you mean %q?", c.quoted(path, target), u.Scheme+":///"+u.Host)
	case name == "":
		c.fail(path, "%s names nothing; want such as %q", c.quoted(path, target), u.Scheme+":///catalog:9000")
	}
}

// addresses checks the replicas that are told one by one.
func (c *checker) addresses(path string, u *configv1.Upstream) {
	first := map[string]int{}
	for i, a := range u.GetAddresses() {
		at := fmt.Sprintf("%s.addresses[%d]", path, i)
		c.replica(at+".address", a.GetAddress())
		if before, taken := first[a.GetAddress()]; taken && a.GetAddress() != "" {
			c.fail(at+".address", "%s is addresses[%d] already; give a replica once, and a weight if it is to have more", c.quoted(at+".address", a.GetAddress()), before)
			continue
		}
		first[a.GetAddress()] = i
		if a.GetWeight() > 1 && u.GetBalancing().GetKind() == configv1.Balancing_KIND_ROUND_ROBIN {
			c.fail(at+".weight", "has no meaning with balancing.kind round-robin; give weighted, least-request or ring-hash there")
		}
	}
}

// replica checks host:port or unix:/path.
func (c *checker) replica(path, address string) {
	if address == "" {
		return // the schema has said so
	}
	if file, ok := strings.CutPrefix(address, "unix:"); ok {
		if !strings.HasPrefix(file, "/") || strings.HasPrefix(file, "//") {
			c.fail(path, "%s is not the path of a socket; want such as \"unix:/run/catalog.sock\"", c.quoted(path, address))
		}
		return
	}
	if !isHostPort(address) {
		c.fail(path, "%s is not host:port; want such as \"10.0.0.7:9000\", \"[fd00::7]:9000\" or \"unix:/run/catalog.sock\"", c.quoted(path, address))
	}
}

func isHostPort(address string) bool {
	host, port, err := net.SplitHostPort(address)
	number, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && portErr == nil && number > 0 && host != "" && !strings.ContainsAny(host, "/ \t%@")
}

// redis checks that an address is no URL. The error does not show it: a password
// may stand in it.
func (c *checker) redis(r *configv1.Redis) {
	for i, address := range r.GetAddresses() {
		if !isHostPort(address) {
			c.fail(fmt.Sprintf("redis.addresses[%d]", i), "is not host:port; want such as \"redis:6379\": user and password have fields of their own")
		}
	}
}

// balancing checks that what is said fits the way to choose.
func (c *checker) balancing(path string, u *configv1.Upstream) {
	b := u.GetBalancing()
	ring := b.GetKind() == configv1.Balancing_KIND_RING_HASH
	switch {
	case ring && b.GetKey() == "":
		c.fail(path+".key", "required with ring-hash; give what calls are told apart by, such as \"caller.id\"")
	case !ring && b.GetKey() != "":
		c.fail(path+".key", "has a meaning only with kind ring-hash; leave it out, or give that")
	}
	if b.GetSlowStart().AsDuration() > 0 {
		switch {
		case ring:
			c.fail(path+".slow_start", "cannot be with ring-hash, where the key alone decides; leave it out")
		case b.GetKind() == configv1.Balancing_KIND_WEIGHTED && !hasWeights(u):
			c.fail(path+".slow_start", "cannot be with what replicas report of their load; give addresses with weights, or the kind round-robin or least-request")
		}
	}
	if r := b.GetRefresh().AsDuration(); r > 0 && r < minRefresh {
		c.fail(path+".refresh", "%v is too often for DNS; give at least 1s, or 0s to ask only when a connection ends", r)
	}
}

// hasWeights tells whether some replicas are to have more than others.
func hasWeights(u *configv1.Upstream) bool {
	return slices.ContainsFunc(u.GetAddresses(), func(a *configv1.Address) bool { return a.GetWeight() != u.GetAddresses()[0].GetWeight() })
}

// outliers checks that somebody can be left out.
func (c *checker) outliers(path string, u *configv1.Upstream) {
	o := u.GetOutliers()
	if o == nil {
		return
	}
	if o.GetFailurePercentage() == 0 && o.GetSuccessRateStdev() == 0 {
		c.fail(path, "leaves out nobody; give failure_percentage or success_rate_stdev")
	}
	if o.GetMaxEjectionTime().AsDuration() < o.GetBaseEjectionTime().AsDuration() {
		c.fail(path+".max_ejection_time", "%v is less than base_ejection_time, %v; give at least that",
			o.GetMaxEjectionTime().AsDuration(), o.GetBaseEjectionTime().AsDuration())
	}
	if n := len(u.GetAddresses()); n > 0 && n < int(o.GetMinimumReplicas()) {
		c.fail(path+".minimum_replicas", "is %d, but there are %d addresses, so that nobody would ever be left out; give at most %d", o.GetMinimumReplicas(), n, n)
	}
}

// controlled refuses what the control plane of an xds target decides.
func (c *checker) controlled(path string, u *configv1.Upstream) {
	for _, f := range []struct {
		field string
		said  bool
	}{
		{"balancing.kind", u.GetBalancing().GetKind() != configv1.Balancing_KIND_ROUND_ROBIN},
		{"balancing.slow_start", u.GetBalancing().GetSlowStart().AsDuration() > 0},
		{"health_check", u.GetHealthCheck() != nil && !u.GetHealthCheck().GetDisabled()},
		{"outliers", u.GetOutliers() != nil},
	} {
		if f.said {
			c.fail(path+"."+f.field, "is said by the control plane of an xds target; leave it out")
		}
	}
}
