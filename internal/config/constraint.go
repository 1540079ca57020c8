package config

import (
	"errors"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
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
		path := protovalidate.FieldPathString(v.Proto.GetField())
		c.fail(path, "%s", c.violation(path, v))
	}
}

// violation says what is wrong, and then what would be right.
func (c *checker) violation(path string, v *protovalidate.Violation) string {
	var name protoreflect.FullName
	if v.FieldDescriptor != nil {
		name = v.FieldDescriptor.FullName()
	}
	problem := strings.TrimPrefix(v.Proto.GetMessage(), "value ")
	switch rule := v.Proto.GetRuleId(); {
	case rule == "required", rule == "repeated.min_items", rule == "string.min_len":
		problem = "required"
	case strings.HasPrefix(rule, "string."):
		text := c.file.shown(path, v.FieldValue.String())
		problem = quoted(text) + " is not allowed"
	case rule == "bool.const":
		problem = "can only be true"
	}
	if hint := hintFor(name, path); hint != "" {
		return problem + "; " + hint
	}
	return problem
}

// hintFor tells what would be right in a field with constraints, "" if the
// constraint says it well enough.
func hintFor(name protoreflect.FullName, path string) string {
	switch name.Parent().Name() + "." + name.Name() {
	case "Config.upstreams":
		return "give the gRPC servers behind the gateway, such as {name: catalog, target: \"dns:///catalog:9000\", schema: {reflection: true}}"
	case "Config.expose":
		return "nothing is served unless it is named here, such as {select: \"shop.catalog.v1.*\", upstream: catalog}"
	case "ServerTls.cert_file":
		return "give the certificate with its chain, a file in PEM"
	case "ServerTls.key_file":
		return "give the certificate's private key, a file in PEM"
	case "Upstream.name":
		return "give lower-case letters, digits, \"-\", \"_\" and \".\", at most 63, the first a letter or digit"
	case "Upstream.target":
		return "give a gRPC target such as \"dns:///catalog:9000\""
	case "Upstream.schema", "Schema.source":
		return "give one of {image: FILE}, {reflection: true}, {linked: true}"
	case "Schema.image":
		return "give a file that buf build -o or protoc --include_imports -o wrote"
	case "Schema.reflection", "Schema.linked":
		return "leave it out for false"
	case "Exposure.select":
		return "give an RPC (shop.catalog.v1.CatalogService.GetProduct), a service, all below a package (shop.catalog.v1.*), or \"*\""
	case "Exposure.upstream":
		return "give the name of one of the upstreams"
	case "Json.allow_query":
		return "give the name of a parameter, or a prefix ending in \"*\" such as \"utm_*\""
	}
	if strings.HasSuffix(path, ".schema") { // of a oneof there is no descriptor of a field
		return hintFor("Schema.source", "")
	}
	return ""
}

