// Package openapi has validators of others read the OpenAPI documents that Gatehouse
// writes: of the shop in each version, and of a contract that has what is hard to
// publish. The tests run the binary.
package openapi
