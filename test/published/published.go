// Package published proves by running it that what Gatehouse publishes is what it
// enforces: requests are made from the OpenAPI document alone, and what comes back is
// compared with it. Schemathesis makes requests from the schemas, and the tests here from
// what the document says of policies. The tests run the binary: in front of the demo's
// shop, and in front of services that do what their contract says and no more.
package published
