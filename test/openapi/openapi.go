// Package openapi has validators of others read the OpenAPI documents that Gatehouse
// writes: of the shop in each version, and of a contract that has what is hard to
// publish. Generators of others make clients of the demo's document, which call the demo.
// The tests run the binary.
package openapi
