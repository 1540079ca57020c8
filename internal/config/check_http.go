package config

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// httpRules checks what an exposure says of HTTP bindings. What stands in the
// files that it names is for [ReadHTTPFile] to check.
func (c *checker) httpRules(path string, e *configv1.Exposure) {
	for i, file := range e.GetHttpFile() {
		c.readable(fmt.Sprintf("%s.http_file[%d]", path, i), file)
	}
	for _, other := range []struct {
		name string
		set  bool
	}{{"http", len(e.GetHttp()) > 0}, {"http_file", len(e.GetHttpFile()) > 0}} {
		if e.GetGrpcOnly() && other.set {
			c.fail(path+"."+other.name, "gives HTTP bindings to what is served on gRPC only (grpc_only, or http: []); leave out one of the two")
		}
	}
	for i, rule := range e.GetHttp() {
		at := fmt.Sprintf("%s.http[%d]", path, i)
		selector := rule.GetSelector()
		switch {
		case selector == "" && strings.HasSuffix(e.GetSelect(), "*"):
			c.fail(at+".selector", "required, since select %s names more than one RPC; give the RPC in full", c.quoted(path+".select", e.GetSelect()))
		case selector != "" && !Match(e.GetSelect(), protoreflect.FullName(selector)):
			c.fail(at+".selector", "%s is not among what select %s names; give an RPC in full that is", c.quoted(at+".selector", selector), c.quoted(path+".select", e.GetSelect()))
		case selector != "" && !Selects(e, protoreflect.FullName(selector)):
			c.fail(at+".selector", "%s is left out by except; leave out this rule, or that", c.quoted(at+".selector", selector))
		}
		c.httpRule(at, rule)
		for j, additional := range rule.GetAdditionalBindings() {
			nested := fmt.Sprintf("%s.additional_bindings[%d]", at, j)
			c.httpRule(nested, additional)
			if len(additional.GetAdditionalBindings()) > 0 {
				c.fail(nested+".additional_bindings", "bindings nest one level only; write it beside this one")
			}
			if additional.GetSelector() != "" {
				c.fail(nested+".selector", "not for an additional binding, which is of the same RPC; leave it out")
			}
		}
	}
}

func (c *checker) httpRule(path string, rule *annotations.HttpRule) {
	if rule.GetPattern() == nil {
		c.fail(path, "names no path; give one of get, put, post, delete, patch, custom")
	}
}
