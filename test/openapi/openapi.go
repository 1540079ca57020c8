// Package openapi has validators of others read the OpenAPI documents that Gatehouse
// writes: of the shop in each version, of etcd, of a contract that has what is hard to
// publish, of one with annotations of others, and of a large one. Generators of others
// make clients of the demo's document, which call the demo. The tests run the binary.
package openapi
