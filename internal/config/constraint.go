package config

import (
	"errors"
	"regexp"
	"strings"

	"buf.build/go/protovalidate"
)

// constraints are those of the schema, checked by protovalidate.
func (c *checker) constraints() {
	err := protovalidate.Validate(c.file.Config)
	if err == nil {
		return
	}
	invalid, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		c.fail("", "the schema of the configuration cannot be checked: %v", err)
		return
	}
	for _, v := range invalid.Violations {
		// A oneof is no field in YAML.
		path := protovalidate.FieldPathString(v.Proto.GetField())
		if v.Proto.GetRuleId() == "required" {
			for _, oneof := range [...]string{".source", ".kind", ".keys"} {
				path = strings.TrimSuffix(path, oneof)
			}
		}
		c.fail(path, "%s", c.violation(path, v))
	}
}

// violation says what is wrong, and then what would be right.
func (c *checker) violation(path string, v *protovalidate.Violation) string {
	problem := strings.TrimPrefix(v.Proto.GetMessage(), "value ")
	switch rule := v.Proto.GetRuleId(); {
	case rule == "required", rule == "repeated.min_items", rule == "string.min_len":
		problem = "required"
	case rule == "string.in":
		list := strings.TrimPrefix(problem, "must be in list ")
		return c.quoted(path, v.FieldValue.String()) + " is not allowed; give one of " + strings.Trim(list, "[]")
	case strings.HasPrefix(rule, "string."):
		problem = c.quoted(path, v.FieldValue.String()) + " is not allowed"
	case rule == "bool.const":
		problem = "can only be true"
	}
	if hint := hintFor(path); hint != "" {
		return problem + "; " + hint
	}
	return problem
}

// hintFor tells what would be right in the field at path, "" if the constraint
// says it well enough.
func hintFor(path string) string {
	path = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
	if tls, field, ok := strings.Cut(path, ".tls."); ok && strings.HasPrefix(tls, "listeners.") {
		path = "listeners.tls." + field
	}
	switch path {
	case "upstreams":
		return "give the gRPC servers behind the gateway, such as {name: catalog, target: \"dns:///catalog:9000\", schema: {reflection: true}}"
	case "expose":
		return "nothing is served unless it is named here, such as {select: \"shop.catalog.v1.*\", upstream: catalog}"
	case "listeners.tls.cert_file":
		return "give the certificate with its chain, a file in PEM"
	case "listeners.tls.key_file":
		return "give the certificate's private key, a file in PEM"
	case "upstreams.name":
		return "give lower-case letters, digits, \"-\", \"_\" and \".\", at most 63, the first a letter or digit"
	case "upstreams.addresses.address":
		return "give host:port, such as \"10.0.0.7:9000\""
	case "authenticators":
		return "give one of {jwt: {issuer: ..., audiences: [...], jwks_url: ...}}, {api_keys: {file: ...}}, {mtls: {spiffe_ids: [...]}}, {basic: {file: ...}}"
	case "authenticators.jwt":
		return "give one of discovery: true, jwks_url: URL, jwks_file: FILE"
	case "authenticators.jwt.audiences":
		return "give what tokens for this gateway have in their claim aud, such as [shop]"
	case "cors.allow_origins":
		return "give the origins of the pages, such as [\"https://shop.example.com\"]"
	case "upstreams.schema":
		return "give one of {image: FILE}, {reflection: true}, {linked: true}"
	case "upstreams.schema.image":
		return "give a file that buf build -o or protoc --include_imports -o wrote"
	case "upstreams.schema.reflection", "upstreams.schema.linked":
		return "leave it out for false"
	case "expose.select":
		return "give an RPC (shop.catalog.v1.CatalogService.GetProduct), a service, all below a package (shop.catalog.v1.*), or \"*\""
	case "expose.upstream":
		return "give the name of one of the upstreams"
	case "versions.name":
		return "give the name of the API, such as products"
	case "versions.list":
		return "give the versions, such as {name: v1, select: [\"shop.catalog.v1.*\"]}"
	case "versions.list.name":
		return "give letters, digits, \"-\", \"_\" and \".\", at most 63, the first a letter or digit, such as v1"
	case "versions.list.select":
		return "give what belongs to it, such as [\"shop.catalog.v1.*\"]"
	case "versions.list.deprecation.date":
		return "give the day since when, such as \"2026-01-31\""
	case "json.allow_query":
		return "give the name of a parameter, or a prefix ending in \"*\" such as \"utm_*\""
	}
	return ""
}
