package openapi

import (
	"encoding/json"
	"slices"
)

// A Document is an OpenAPI 3.1 document. The members stand in the order in which
// they are written. It is immutable.
//
// The model is our own: kin-openapi carries 3.1 too, but sorts the fields of
// messages by name, has no room for a description beside a $ref, and takes 6 s
// and 680 MiB to write 12,000 operations.
type Document struct {
	OpenAPI      string             `json:"openapi"`
	Info         info               `json:"info"`
	ExternalDocs *externalDocs      `json:"externalDocs,omitempty"`
	Servers      []server           `json:"servers,omitempty"`
	Tags         []tag              `json:"tags,omitempty"`
	Paths        members[*pathItem] `json:"paths"`
	Components   components         `json:"components"`
	Unlisted     []unlisted         `json:"x-gatehouse-unlisted,omitempty"`
	Limits       members[int64]     `json:"x-gatehouse-limits,omitempty"`
	Cors         *cors              `json:"x-gatehouse-cors,omitempty"`
	Extensions   extensions         `json:",inline"`

	warnings []string
}

// Warnings say what annotations of the contract ask for and the document does not say,
// because the gateway does otherwise: each with the file and the element, in their order.
func (d *Document) Warnings() []string { return d.warnings }

type info struct {
	Title          string   `json:"title"`
	Summary        string   `json:"summary,omitempty"`
	Description    string   `json:"description,omitempty"`
	TermsOfService string   `json:"termsOfService,omitempty"`
	Contact        *contact `json:"contact,omitempty"`
	License        *license `json:"license,omitempty"`
	Version        string   `json:"version"`

	Extensions extensions `json:",inline"`
}

type contact struct {
	Name  string `json:"name,omitempty"`
	URL   string `json:"url,omitempty"`
	Email string `json:"email,omitempty"`
}

type license struct {
	Name       string `json:"name"`
	Identifier string `json:"identifier,omitempty"`
	URL        string `json:"url,omitempty"`
}

type externalDocs struct {
	Description string `json:"description,omitempty"`
	URL         string `json:"url"`
}

type server struct {
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
}

type tag struct {
	Name         string        `json:"name"`
	Description  string        `json:"description,omitempty"`
	ExternalDocs *externalDocs `json:"externalDocs,omitempty"`

	Extensions extensions `json:",inline"`
}

// unlisted is a binding that is served and that OpenAPI has no words for.
type unlisted struct {
	Binding string `json:"binding"`
	RPC     string `json:"rpc"`
	Why     string `json:"why"`
}

// cors says which pages of other sites may call.
type cors struct {
	AllowOrigins     []string `json:"allow_origins,omitempty"`
	AllowHeaders     []string `json:"allow_headers,omitempty"`
	ExposeHeaders    []string `json:"expose_headers,omitempty"`
	AllowCredentials bool     `json:"allow_credentials,omitempty"`
}

// pathItem has the operations of one path by their HTTP methods, in lower case.
type pathItem = members[*operation]

type operation struct {
	Tags        []string            `json:"tags"`
	Summary     string              `json:"summary,omitempty"`
	Description string              `json:"description,omitempty"`
	Docs        *externalDocs       `json:"externalDocs,omitempty"`
	ID          string              `json:"operationId"`
	Parameters  []*parameter        `json:"parameters,omitempty"`
	Body        *requestBody        `json:"requestBody,omitempty"`
	Responses   members[*response]  `json:"responses"`
	Deprecated  bool                `json:"deprecated,omitempty"`
	Security    []members[[]string] `json:"security"` // empty: no credentials are needed
	RPC         string              `json:"x-gatehouse-rpc"`
	Binding     string              `json:"x-gatehouse-binding"`
	RateLimits  []rateLimit         `json:"x-ratelimit,omitempty"`
	Degraded    *degraded           `json:"x-gatehouse-degraded,omitempty"`
	Sunset      string              `json:"x-sunset,omitempty"`
	Stream      string              `json:"x-gatehouse-stream,omitempty"`
	Policy      json.RawMessage     `json:"x-gatehouse-policy,omitempty"`

	Extensions extensions `json:",inline"`
}

type parameter struct {
	Name        string              `json:"name"`
	In          string              `json:"in"`
	Description string              `json:"description,omitempty"`
	Required    bool                `json:"required,omitempty"`
	Deprecated  bool                `json:"deprecated,omitempty"`
	Style       string              `json:"style,omitempty"`
	Explode     *bool               `json:"explode,omitempty"`
	Schema      *schema             `json:"schema,omitempty"`
	Example     json.RawMessage     `json:"example,omitempty"`
	Content     members[*mediaType] `json:"content,omitempty"`
}

type requestBody struct {
	Description string              `json:"description,omitempty"`
	Required    bool                `json:"required,omitempty"`
	Content     members[*mediaType] `json:"content"`
	MaxBytes    int64               `json:"x-gatehouse-max-bytes,omitempty"` // of a stream, in each message
}

type response struct {
	Ref         string              `json:"$ref,omitempty"`
	Description string              `json:"description,omitempty"`
	Headers     members[*header]    `json:"headers,omitempty"`
	Content     members[*mediaType] `json:"content,omitempty"`
	StreamError *schema             `json:"x-gatehouse-stream-error,omitempty"`

	Extensions extensions `json:",inline"`
}

type header struct {
	Ref         string  `json:"$ref,omitempty"`
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitempty"`
	Schema      *schema `json:"schema,omitempty"`
}

type mediaType struct {
	Schema  *schema         `json:"schema,omitempty"`
	Example json.RawMessage `json:"example,omitempty"`

	rewrite rewriter // of examples; nil takes them as they are
}

type components struct {
	Schemas         members[*schema]         `json:"schemas,omitempty"`
	Responses       members[*response]       `json:"responses,omitempty"`
	Headers         members[*header]         `json:"headers,omitempty"`
	SecuritySchemes members[*securityScheme] `json:"securitySchemes,omitempty"`
}

type securityScheme struct {
	Type         string `json:"type"`
	Description  string `json:"description,omitempty"`
	Name         string `json:"name,omitempty"`
	In           string `json:"in,omitempty"`
	Scheme       string `json:"scheme,omitempty"`
	BearerFormat string `json:"bearerFormat,omitempty"`
}

// members are the members of an object, in their order.
type members[V any] []member[V]

type member[V any] struct {
	Name  string
	Value V
}

// get returns the value of a member, or the zero value.
func (m members[V]) get(name string) (value V, found bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i].Value, true
		}
	}
	return value, false
}

// add appends a member.
func (m *members[V]) add(name string, value V) {
	*m = append(*m, member[V]{name, value})
}

// set changes a member, or adds it before the first whose name is greater.
func (m *members[V]) set(name string, value V) {
	i := slices.IndexFunc(*m, func(one member[V]) bool { return one.Name >= name })
	switch {
	case i < 0:
		m.add(name, value)
	case (*m)[i].Name == name:
		(*m)[i].Value = value
	default:
		*m = slices.Insert(*m, i, member[V]{name, value})
	}
}
