package compare_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-dev/gatehouse/internal/openapi/compare"
)

// base is a document in the form that Gatehouse writes.
const base = `openapi: "3.1.1"
info: {title: API, version: "1"}
servers: [{url: "https://api.example.com"}, {url: /}]
paths:
  /v1/things/{thing}:
    get:
      operationId: Things_Get
      parameters:
        - {name: thing, in: path, required: true, schema: {type: string, minLength: 1}}
        - {name: view, in: query, schema: {$ref: "#/components/schemas/View"}}
        - {name: limit, in: query, required: true, schema: {type: integer, format: int32, maximum: 100}}
        - {name: labels, in: query, style: deepObject, schema: {type: object, additionalProperties: {type: string}}}
        - {name: Idempotency-Key, in: header, schema: {type: string}}
      responses:
        "200":
          headers: {X-Request-Id: {$ref: "#/components/headers/RequestId"}, Age: {$ref: "#/components/headers/Age"}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
        default: {$ref: "#/components/responses/Error"}
      security: [{users: [things.read]}, {staff: []}]
      x-gatehouse-rpc: p.v1.Things.Get
      x-ratelimit: [{name: all, requests: 100, per: 1m, burst: 10, cost: 1}]
      x-gatehouse-degraded: {serves: last good answer, maxAge: 10m}
      x-sunset: "2030-01-01"
      x-gatehouse-policy: {timeout: 3s, cache: {ttl: 5s}, idempotency: {ttl: 600s, at_most_once: true}}
    patch:
      operationId: Things_Update
      parameters:
        - {name: thing, in: path, required: true, schema: {type: string, minLength: 1}}
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/ThingInput"}}}}
      responses:
        "200": {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
        default: {$ref: "#/components/responses/Error"}
      security: []
      x-gatehouse-rpc: p.v1.Things.Update
      x-gatehouse-policy: {timeout: 0s}
  /v1/things:watch:
    get:
      operationId: Things_Watch
      responses:
        "200": {content: {application/x-ndjson: {schema: {$ref: "#/components/schemas/Thing"}}}}
      security: []
      x-gatehouse-rpc: p.v1.Things.Watch
      x-gatehouse-stream: server
components:
  schemas:
    View: {type: string, enum: [BASIC, FULL]}
    Error: {type: object, properties: {error: {type: object, properties: {code: {type: integer}}, required: [code]}}, required: [error]}
    Thing:
      type: object
      properties:
        name: {type: string}
        size: {type: integer, format: int32}
        state: {type: string, enum: ["ON", "OFF"]}
        at: {type: string, format: date-time}
        tags: {type: array, items: {type: string}}
        counts: {type: object, additionalProperties: {type: integer}}
        part: {$ref: "#/components/schemas/Thing"}
        owner: {anyOf: [{$ref: "#/components/schemas/Owner"}, {type: "null"}]}
        note: {type: string}
      required: [name]
    Owner: {type: object, properties: {id: {type: string, format: int64, pattern: "^-?[0-9]+$"}}}
    ThingInput:
      type: object
      additionalProperties: false
      properties:
        name: {type: string, minLength: 2, maxLength: 9, pattern: "^[a-z]+$"}
        size: {type: integer, format: int64, minimum: 1}
        a: {type: string}
        b: {type: string}
        c: {type: string, readOnly: true}
        d: {type: [string, "null"]}
        tags: {type: array, items: {type: string, enum: [x, y]}, maxItems: 5}
        counts: {type: object, propertyNames: {pattern: "^[0-9]+$"}, additionalProperties: {type: integer}}
      required: [name]
      dependentSchemas: {a: {not: {required: [b]}}}
  responses:
    Error: {content: {application/json: {schema: {$ref: "#/components/schemas/Error"}}}}
  securitySchemes:
    users: {type: http, scheme: bearer, description: A token of x.}
    staff: {type: apiKey, in: header, name: x-key}
x-gatehouse-limits: {max_body_bytes: 4194304}
` + pages

// pages are those that may call.
const pages = `x-gatehouse-cors: {allow_origins: ["https://a.example", "https://*.b.example"], allow_headers: [x-a], expose_headers: [x-b], allow_credentials: true}
`

const (
	get    = "GET /v1/things/{thing} p.v1.Things.Get"
	update = "PATCH /v1/things/{thing} p.v1.Things.Update"
	all    = get + ", " + update + ", GET /v1/things:watch p.v1.Things.Watch"
)

// TestChanges: every kind of change in both directions. "!" is breaking, "?" is risky, and
// "" breaks nobody.
func TestChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		from, to string // of the text of base
		there    string // from base to the other
		back     string // from the other to base
	}{
		{name: "nothing"},
		{"title", "title: API", "title: Other", "", ""},
		{
			"operation", "  /v1/things:watch:\n    get:", "  /v2/things:watch:\n    get:",
			`! GET /v1/things:watch p.v1.Things.Watch: the operation is gone; its RPC has GET /v2/things:watch: requests to it are answered with 404 or 405 (OPERATION_NO_DELETE)`,
			`! GET /v2/things:watch p.v1.Things.Watch: the operation is gone; its RPC has GET /v1/things:watch: requests to it are answered with 404 or 405 (OPERATION_NO_DELETE)`,
		},
		{"name of a variable", "  /v1/things/{thing}:\n", "  /v1/things/{id}:\n", "", ""},
		{
			"operation id", "operationId: Things_Get", "operationId: p_v1_Things_Get",
			`? ` + get + `: operationId: Things_Get -> p_v1_Things_Get: generated clients call it otherwise (OPERATION_SAME_ID)`,
			`? ` + get + `: operationId: p_v1_Things_Get -> Things_Get: generated clients call it otherwise (OPERATION_SAME_ID)`,
		},
		{
			"stream", "      x-gatehouse-stream: server\n", "",
			`! GET /v1/things:watch p.v1.Things.Watch: stream: server -> (none): one message and a stream of messages have different media types and forms (OPERATION_SAME_STREAMS)`,
			`! GET /v1/things:watch p.v1.Things.Watch: stream: (none) -> server: one message and a stream of messages have different media types and forms (OPERATION_SAME_STREAMS)`,
		},
		{
			"query parameter", "        - {name: view, in: query, schema: {$ref: \"#/components/schemas/View\"}}\n", "",
			`! ` + get + `: query parameter view: optional -> (none): requests with it are refused (PARAMETER_NO_DELETE)`, ``,
		},
		{
			"required query parameter", "        - {name: limit, in: query, required: true, schema: {type: integer, format: int32, maximum: 100}}\n", "",
			`! ` + get + `: query parameter limit: required -> (none): requests with it are refused (PARAMETER_NO_DELETE)`,
			`! ` + get + `: query parameter limit: (none) -> required: requests without it are refused (PARAMETER_NO_NEW_REQUIRED)`,
		},
		{
			"header", "        - {name: Idempotency-Key, in: header, schema: {type: string}}\n", "",
			`? ` + get + `: header parameter Idempotency-Key: optional -> (none): clients that send it rely on what it did (PARAMETER_NO_DELETE)`, ``,
		},
		{
			"idempotency key required", "{name: Idempotency-Key, in: header, ", "{name: idempotency-key, in: header, required: true, ",
			`! ` + get + `: header parameter Idempotency-Key: optional -> required: requests without it are refused (PARAMETER_NO_NEW_REQUIRED)`, ``,
		},
		{
			"style", "style: deepObject", "style: form",
			`! ` + get + `: query parameter labels: optional, deepObject -> optional, form: its values are written otherwise (PARAMETER_SAME_STYLE)`,
			`! ` + get + `: query parameter labels: optional, form -> optional, deepObject: its values are written otherwise (PARAMETER_SAME_STYLE)`,
		},
		{
			"type of a path parameter", "required: true, schema: {type: string, minLength: 1}}\n        - {name: view", "required: true, schema: {type: integer}}\n        - {name: view",
			`! ` + get + `: path parameter thing: string -> integer: values of the type of before are refused (REQUEST_SAME_TYPE)`,
			`! ` + get + `: path parameter thing: integer -> string: values of the type of before are refused (REQUEST_SAME_TYPE)`,
		},
		{
			"bound of a query parameter", "maximum: 100", "maximum: 50",
			`! ` + get + `: query parameter limit maximum: 100 -> 50: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`, ``,
		},
		{
			"value of an enum that is sent", "enum: [BASIC, FULL]", "enum: [BASIC]",
			`! ` + get + `: request View value: "FULL" -> (none): requests with it are refused (REQUEST_ENUM_NO_DELETE)`, ``,
		},
		{
			"values of a text", "b: {type: string}", "b: {type: string, enum: [x]}",
			`! ` + update + `: request ThingInput.b: any value -> "x": others are refused (REQUEST_ENUM_NO_DELETE)`, ``,
		},
		{
			"value of an enum that is answered", `enum: ["ON", "OFF"]`, `enum: ["ON", "OFF", "LOST"]`,
			`? ` + all + `: response Thing.state value: (none) -> "LOST": clients may not know it (RESPONSE_ENUM_NO_NEW_VALUE)`, ``,
		},
		{
			"body required", "requestBody: {required: true, ", "requestBody: {",
			``, `! ` + update + `: request body: optional -> required: requests without one are refused (BODY_NO_NEW_REQUIRED)`,
		},
		{
			"body", "      requestBody: {required: true, content: {application/json: {schema: {$ref: \"#/components/schemas/ThingInput\"}}}}\n", "",
			`! ` + update + `: request body: required -> (none): what clients send in it is not read (BODY_NO_DELETE)`,
			`! ` + update + `: request body: (none) -> required: requests without one are refused (BODY_NO_NEW_REQUIRED)`,
		},
		{
			"media type of a body", "content: {application/json: {schema: {$ref: \"#/components/schemas/ThingInput\"", "content: {text/json: {schema: {$ref: \"#/components/schemas/ThingInput\"",
			`! ` + update + `: request body media type: application/json -> text/json: requests with it are refused (MEDIA_TYPE_NO_DELETE)`,
			`! ` + update + `: request body media type: text/json -> application/json: requests with it are refused (MEDIA_TYPE_NO_DELETE)`,
		},
		{
			"format of errors", "Error: {content: {application/json:", "Error: {content: {application/problem+json:",
			`! ` + get + `, ` + update + `: error media type: application/json -> application/problem+json: clients find another form than they read (MEDIA_TYPE_NO_DELETE)`,
			`! ` + get + `, ` + update + `: error media type: application/problem+json -> application/json: clients find another form than they read (MEDIA_TYPE_NO_DELETE)`,
		},
		{
			"form of errors", "code: {type: integer}}", "status: {type: integer}}",
			`! ` + get + `, ` + update + `: response Error.error.code: integer -> (none): clients that read it find nothing (RESPONSE_FIELD_NO_DELETE)`,
			`! ` + get + `, ` + update + `: response Error.error.status: integer -> (none): clients that read it find nothing (RESPONSE_FIELD_NO_DELETE)`,
		},
		{
			"field that is answered", "        note: {type: string}\n", "",
			`! ` + all + `: response Thing.note: string -> (none): clients that read it find nothing (RESPONSE_FIELD_NO_DELETE)`, ``,
		},
		{
			"field that is sent", "        a: {type: string}\n", "",
			`! ` + update + `: request ThingInput.a: string -> (none): requests with it are refused (REQUEST_FIELD_NO_DELETE)`, ``,
		},
		{"field that is not read", "        c: {type: string, readOnly: true}\n", "", ``, ``},
		{
			"field read only", "c: {type: string, readOnly: true}", "c: {type: string}", ``,
			`? ` + update + `: request ThingInput.c: read and written -> read only: what clients send in it is not taken (REQUEST_FIELD_NO_READ_ONLY)`,
		},
		{
			"field write only", "at: {type: string,", "at: {writeOnly: true, type: string,",
			`! ` + all + `: response Thing.at: read and written -> write only: clients that read it find nothing (RESPONSE_FIELD_NO_WRITE_ONLY)`, ``,
		},
		{
			"field required in requests", "      required: [name]\n      dependentSchemas", "      required: [name, size]\n      dependentSchemas",
			`! ` + update + `: request ThingInput.size: optional -> required: requests without it are refused (REQUEST_FIELD_NO_NEW_REQUIRED)`, ``,
		},
		{
			"field always in answers", "      required: [name]\n    Owner", "    Owner",
			`! ` + all + `: response Thing.name: always there -> optional: clients rely on finding it (RESPONSE_FIELD_SAME_REQUIRED)`, ``,
		},
		{
			"unknown fields", "      additionalProperties: false\n", "", ``,
			`! ` + update + `: request ThingInput: unknown fields are ignored -> unknown fields are refused: requests with unknown fields are refused (REQUEST_NO_CLOSING)`,
		},
		{
			"type in answers", "tags: {type: array, items: {type: string}}", "tags: {type: array, items: {type: integer}}",
			`! ` + all + `: response Thing.tags[]: string -> integer: clients read it as what it was (RESPONSE_SAME_TYPE)`,
			`! ` + all + `: response Thing.tags[]: integer -> string: clients read it as what it was (RESPONSE_SAME_TYPE)`,
		},
		{
			"values of a map in answers", "counts: {type: object, additionalProperties: {type: integer}}\n        part", "counts: {type: object, additionalProperties: {type: number}}\n        part",
			`! ` + all + `: response Thing.counts{}: integer -> number: clients read it as what it was (RESPONSE_SAME_TYPE)`, ``,
		},
		{
			"null in answers", "owner: {anyOf: [{$ref: \"#/components/schemas/Owner\"}, {type: \"null\"}]}", "owner: {$ref: \"#/components/schemas/Owner\"}", ``,
			`! ` + all + `: response Thing.owner: Owner -> Owner or null: clients do not expect null (RESPONSE_SAME_TYPE)`,
		},
		{
			"null in requests", `d: {type: [string, "null"]}`, `d: {type: string}`,
			`! ` + update + `: request ThingInput.d: null or string -> string: values of the type of before are refused (REQUEST_SAME_TYPE)`, ``,
		},
		{
			"format in answers", "format: date-time", "format: date",
			`! ` + all + `: response Thing.at format: date-time -> date: clients read the form that it had (RESPONSE_SAME_FORMAT)`,
			`! ` + all + `: response Thing.at format: date -> date-time: clients read the form that it had (RESPONSE_SAME_FORMAT)`,
		},
		{
			"size of integers in answers", "size: {type: integer, format: int32}", "size: {type: integer, format: int64}",
			`! ` + all + `: response Thing.size format: int32 -> int64: clients read the form that it had (RESPONSE_SAME_FORMAT)`, ``,
		},
		{
			"size of integers in requests", "size: {type: integer, format: int64, minimum: 1}", "size: {type: integer, format: int32, minimum: 1}",
			`! ` + update + `: request ThingInput.size format: int64 -> int32: values of the form of before are refused (REQUEST_SAME_FORMAT)`, ``,
		},
		{"lower minimum", "minimum: 1}", "minimum: 0}", ``, `! ` + update + `: request ThingInput.size minimum: 0 -> 1: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`},
		{"no pattern", `, pattern: "^[a-z]+$"`, "", ``, `! ` + update + `: request ThingInput.name pattern: (none) -> ^[a-z]+$: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`},
		{
			"keys of a map", `propertyNames: {pattern: "^[0-9]+$"}`, `propertyNames: {pattern: "^[0-9]$"}`,
			`! ` + update + `: request ThingInput.counts key pattern: ^[0-9]+$ -> ^[0-9]$: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`,
			`! ` + update + `: request ThingInput.counts key pattern: ^[0-9]$ -> ^[0-9]+$: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`,
		},
		{"length of a list", "maxItems: 5", "maxItems: 6", ``, `! ` + update + `: request ThingInput.tags maxItems: 6 -> 5: values that were taken are refused (REQUEST_NO_TIGHTER_BOUND)`},
		{
			"oneof", "      dependentSchemas: {a: {not: {required: [b]}}}\n", "", ``,
			`! ` + update + `: request ThingInput.a and b: both may be set -> one may be set: requests with both are refused (REQUEST_FIELD_NO_NEW_ONEOF)`,
		},
		{
			"response header", ", Age: {$ref: \"#/components/headers/Age\"}", "",
			`? ` + get + `: response 200 header: Age -> (none): clients that read it find nothing (RESPONSE_HEADER_NO_DELETE)`, ``,
		},
		{
			"scope", "[{users: [things.read]}, {staff: []}]", "[{users: [things.read, things.more]}, {staff: []}]",
			`! ` + get + `: security: users with things.read or staff -> users with things.read and things.more or staff: callers without the scope things.more are refused (SECURITY_NO_NARROWER)`, ``,
		},
		{
			"way to be let in", "[{users: [things.read]}, {staff: []}]", "[{users: [things.read]}]",
			`! ` + get + `: security: users with things.read or staff -> users with things.read: callers that were let in are refused (SECURITY_NO_NARROWER)`, ``,
		},
		{
			"public", "[{users: [things.read]}, {staff: []}]", "[]", ``,
			`! ` + get + `: security: public -> users with things.read or staff: callers that were let in are refused (SECURITY_NO_NARROWER)`,
		},
		{
			"anonymous", "[{users: [things.read]}, {staff: []}]", "[{users: [things.read]}, {staff: []}, {}]", ``,
			`! ` + get + `: security: users with things.read or staff or anonymous -> users with things.read or staff: callers that were let in are refused (SECURITY_NO_NARROWER)`,
		},
		{
			"header of a key", "name: x-key", "name: x-other",
			`! security scheme staff: apiKey header x-key -> apiKey header x-other: credentials are sent otherwise (SECURITY_SCHEME_SAME)`,
			`! security scheme staff: apiKey header x-other -> apiKey header x-key: credentials are sent otherwise (SECURITY_SCHEME_SAME)`,
		},
		{
			"issuer", "A token of x.", "A token of y.",
			`? security scheme users: A token of x. -> A token of y.: credentials of before may be refused (SECURITY_SCHEME_SAME)`,
			`? security scheme users: A token of y. -> A token of x.: credentials of before may be refused (SECURITY_SCHEME_SAME)`,
		},
		{
			"rate limit", "requests: 100, per: 1m", "requests: 100, per: 2m",
			`? ` + get + `: rate limit all: 100 in 1m, 10 at once, a call counts 1 -> 100 in 2m, 10 at once, a call counts 1: calls beyond it are refused with 429 (RATE_LIMIT_NO_LOWER)`, ``,
		},
		{
			"cost", "burst: 10, cost: 1", "burst: 10, cost: 2",
			`? ` + get + `: rate limit all: 100 in 1m, 10 at once, a call counts 1 -> 100 in 1m, 10 at once, a call counts 2: calls beyond it are refused with 429 (RATE_LIMIT_NO_LOWER)`, ``,
		},
		{
			"burst", "burst: 10", "burst: 20", ``,
			`? ` + get + `: rate limit all: 100 in 1m, 20 at once, a call counts 1 -> 100 in 1m, 10 at once, a call counts 1: calls beyond it are refused with 429 (RATE_LIMIT_NO_LOWER)`,
		},
		{
			"no rate limit", "      x-ratelimit: [{name: all, requests: 100, per: 1m, burst: 10, cost: 1}]\n", "", ``,
			`? ` + get + `: rate limit all: (none) -> 100 in 1m, 10 at once, a call counts 1: calls beyond it are refused with 429 (RATE_LIMIT_NO_LOWER)`,
		},
		{"timeout", "timeout: 3s", "timeout: 1.5s", `? ` + get + `: timeout: 3s -> 1.5s: calls that take longer fail with 504 (TIMEOUT_NO_SHORTER)`, ``},
		{"first timeout", "timeout: 0s", "timeout: 9s", `? ` + update + `: timeout: 0s -> 9s: calls that take longer fail with 504 (TIMEOUT_NO_SHORTER)`, ``},
		{"policies that are not shown", "      x-gatehouse-policy: {timeout: 0s}\n", "", ``, ``},
		{"cache", "cache: {ttl: 5s}", "cache: {ttl: 60s}", `? ` + get + `: age of answers: 5s -> 60s: clients get answers that are older (CACHE_NO_LONGER)`, ``},
		{
			"time of keys", "idempotency: {ttl: 600s", "idempotency: {ttl: 60s",
			`? ` + get + `: idempotency keys are known for: 600s -> 60s: a call that is repeated later is carried out again (IDEMPOTENCY_NO_WEAKER)`, ``,
		},
		{
			"at most once", ", at_most_once: true", "",
			`? ` + get + `: a call with an idempotency key is carried out: at most once -> again, if nobody knows whether it was: clients rely on it (IDEMPOTENCY_NO_WEAKER)`, ``,
		},
		{
			"fallback", "maxAge: 10m", "maxAge: 5m",
			`? ` + get + `: last good answers: 10m -> 5m: clients get errors instead, while the service cannot answer (FALLBACK_NO_WEAKER)`, ``,
		},
		{
			"optional part", "{serves: last good answer, maxAge: 10m}", "{serves: last good answer, maxAge: 10m, optional: [price]}",
			`? ` + get + `: part price: always there -> missing while the service cannot answer: clients rely on finding it (FALLBACK_NO_WEAKER)`, ``,
		},
		{
			"sunset", `x-sunset: "2030-01-01"`, `x-sunset: "2029-01-01"`,
			`! ` + get + `: sunset: 2030-01-01 -> 2029-01-01: clients that rely on the date are cut off before it (SUNSET_NO_EARLIER)`, ``,
		},
		{"no sunset", "      x-sunset: \"2030-01-01\"\n", "", ``, `? ` + get + `: sunset: (none) -> 2030-01-01: clients must have left by then (SUNSET_NO_NEW)`},
		{"body limit", "max_body_bytes: 4194304", "max_body_bytes: 1024", `? limit max_body_bytes: 4194304 -> 1024: requests beyond it are refused (LIMIT_NO_LOWER)`, ``},
		{"server", `{url: "https://api.example.com"}, `, "", `? server: https://api.example.com -> (none): clients that call it may find nothing there (SERVER_NO_DELETE)`, ``},
		{"origin", `"https://a.example", `, "", `! CORS origin: https://a.example -> (none): browsers refuse its calls (CORS_NO_DELETE)`, ``},
		{"origins", `allow_origins: ["https://a.example", "https://*.b.example"]`, `allow_origins: ["*"]`, ``, "! CORS origin: * -> (none): browsers refuse its calls (CORS_NO_DELETE)"},
		{"origin of many", `"https://*.b.example"`, `"https://x.b.example"`, `! CORS origin: https://*.b.example -> (none): browsers refuse its calls (CORS_NO_DELETE)`, ``},
		{"header of CORS", "allow_headers: [x-a]", "allow_headers: [x-c, X-A]", ``, `! CORS request header: x-c -> (none): browsers refuse calls with it (CORS_NO_DELETE)`},
		{"credentials of CORS", ", allow_credentials: true", "", `! CORS: with credentials -> without credentials: browsers refuse calls with credentials (CORS_NO_DELETE)`, ``},
		{
			"CORS", pages, "",
			`! CORS: pages of other sites may call -> (none): browsers refuse their calls (CORS_NO_DELETE)`, ``,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if strings.Count(base, test.from) != 1 && test.from != "" {
				t.Fatalf("%q is there %d times", test.from, strings.Count(base, test.from))
			}
			old, other := published(t, base), published(t, strings.Replace(base, test.from, test.to, 1))
			if diff := cmp.Diff(test.there, changes(old, other)); diff != "" {
				t.Errorf("there: %s", diff)
			}
			if diff := cmp.Diff(test.back, changes(other, old)); diff != "" {
				t.Errorf("back: %s", diff)
			}
		})
	}
}

func published(t *testing.T, text string) *compare.Published {
	t.Helper()
	d, err := compare.ReadPublished([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func changes(old, next *compare.Published) string {
	var lines []string
	for _, c := range compare.Changes(old, next) {
		lines = append(lines, map[compare.Severity]string{compare.Breaking: "! ", compare.Risky: "? "}[c.Severity]+c.String())
	}
	return strings.Join(lines, "\n")
}
