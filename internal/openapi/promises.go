package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// rateLimit is a limit that a call must pass.
type rateLimit struct {
	Name     string `json:"name"`
	Requests uint32 `json:"requests"`
	Per      string `json:"per"`
	Burst    uint32 `json:"burst"`
	Cost     uint32 `json:"cost"`
}

// degraded is what clients get while the service cannot answer.
type degraded struct {
	Serves string `json:"serves"`
	MaxAge string `json:"maxAge,omitempty"`
	// Optional are the parts of a composed answer that may be missing.
	Optional []string `json:"optional,omitempty"`
}

// promise writes what the policies of an RPC promise into its operation.
func (b *builder) promise(o *operation, m *Method) {
	o.Security = security(m.Policy.GetAuth())
	o.RateLimits = m.limits()
	o.Degraded = degradedOf(m)
	o.Policy = b.published(m.Policy)
	if m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer() {
		o.Stream = map[[2]bool]string{{true, false}: "client", {false, true}: "server", {true, true}: "bidirectional"}[[2]bool{m.Desc.IsStreamingClient(), m.Desc.IsStreamingServer()}]
	}
}

// deprecation is that of a version; nil: it stays.
func (v *Version) deprecation() *configv1.Deprecation {
	if v == nil {
		return nil
	}
	return v.Of.GetDeprecation()
}

// security lists the ways to be let in, any of which will do.
func security(auth *policyv1.Auth) []members[[]string] {
	ways := []members[[]string]{}
	if auth.GetPublic() {
		return ways
	}
	for _, name := range auth.GetAccept() {
		ways = append(ways, members[[]string]{{name, append([]string{}, auth.GetScopes()...)}})
	}
	if auth.GetAnonymous() {
		ways = append(ways, members[[]string]{})
	}
	return ways
}

// securitySchemes describes the authenticators that some operation accepts.
func (b *builder) securitySchemes() members[*securityScheme] {
	used := map[string]bool{}
	for _, m := range b.methods {
		if auth := m.Policy.GetAuth(); !auth.GetPublic() && len(m.Bindings) > 0 {
			for _, name := range auth.GetAccept() {
				used[name] = true
			}
		}
	}
	var list members[*securityScheme]
	for _, a := range b.source.Config.GetAuthenticators() {
		if used[a.GetName()] {
			list.add(a.GetName(), schemeOf(a))
		}
	}
	return list
}

func schemeOf(a *policyv1.Authenticator) *securityScheme {
	switch kind := a.GetKind().(type) {
	case *policyv1.Authenticator_ApiKeys:
		return &securityScheme{Type: "apiKey", In: "header", Name: kind.ApiKeys.GetHeader(), Description: "A key that was given out."}
	case *policyv1.Authenticator_Mtls:
		return &securityScheme{Type: "mutualTLS", Description: "A certificate of the client."}
	case *policyv1.Authenticator_Basic:
		return &securityScheme{Type: "http", Scheme: "basic", Description: "A name and a password."}
	default:
		jwt := a.GetJwt()
		return &securityScheme{
			Type: "http", Scheme: "bearer", BearerFormat: "JWT",
			Description: fmt.Sprintf("A token of the issuer %s for the audience %s.", jwt.GetIssuer(), strings.Join(jwt.GetAudiences(), " or ")),
		}
	}
}

// limits are the rate limits that count the calls of an RPC, with the names that the
// header RateLimit has for them.
func (m *Method) limits() []rateLimit {
	var list []rateLimit
	for i, l := range m.Policy.GetRateLimit() {
		if l.GetUnlimited() || l.GetCost() == 0 {
			continue
		}
		name := string(m.Desc.FullName())
		if i > 0 {
			name += "#" + strconv.Itoa(i+1)
		}
		list = append(list, rateLimit{
			Name: cmp.Or(l.GetName(), name), Requests: l.GetRequests(), Per: duration(l.GetPer()), Burst: l.GetBurst(), Cost: l.GetCost(),
		})
	}
	return list
}

// limits are those of every request.
func (b *builder) limits() members[int64] {
	l := b.source.Config.GetLimits()
	return members[int64]{
		{"max_body_bytes", l.GetMaxBodyBytes()}, {"max_message_bytes", l.GetMaxMessageBytes()}, {"max_depth", int64(l.GetMaxDepth())},
		{"max_query_parameters", int64(l.GetMaxQueryParameters())}, {"max_headers", int64(l.GetMaxHeaders())}, {"max_header_bytes", l.GetMaxHeaderBytes()},
	}
}

// cors returns what pages of other sites may send and read, or nil without CORS. It has
// their origins only if all policies are shown, because origins name other clients.
func (b *builder) cors() *cors {
	c, shown := b.source.Config.GetCors(), b.source.Config.GetOpenapi().GetPolicies()
	if c == nil || shown == configv1.OpenApi_POLICIES_NONE {
		return nil
	}
	list := &cors{AllowHeaders: c.GetAllowHeaders(), ExposeHeaders: c.GetExposeHeaders(), AllowCredentials: c.GetAllowCredentials()}
	if shown == configv1.OpenApi_POLICIES_ALL {
		list.AllowOrigins = c.GetAllowOrigins()
	}
	return list
}

// hasCap reports whether the calls of an RPC that run at once are capped.
func hasCap(p *policyv1.Policy) bool {
	return slices.ContainsFunc(p.GetConcurrency(), func(c *policyv1.Concurrency) bool { return !c.GetUnlimited() })
}

func isIdempotent(p *policyv1.Policy) bool {
	return p.GetIdempotency() != nil && !p.GetIdempotency().GetDisabled()
}

func isCached(p *policyv1.Policy) bool { return p.GetCache() != nil && !p.GetCache().GetDisabled() }

// degradedOf is what an RPC serves while its upstream, or one of those that it is
// composed of, cannot answer; nil for the error.
func degradedOf(m *Method) *degraded {
	var d degraded
	if f := m.Policy.GetFallback(); f != nil && !f.GetDisabled() {
		switch f.GetServe().(type) {
		case *policyv1.Fallback_LastGood:
			d.Serves, d.MaxAge = "last good answer", duration(f.GetLastGood())
		case *policyv1.Fallback_Response:
			d.Serves = "fixed answer"
		}
	}
	for _, step := range m.Composition.GetSteps() {
		if step.GetOnFailure().Number() > 1 && step.GetInto() != "" { // optional, or with a default
			d.Optional = append(d.Optional, step.GetInto())
		}
	}
	if d.Serves == "" && len(d.Optional) > 0 {
		d.Serves = "answer without some parts"
	}
	if d.Serves == "" {
		return nil
	}
	return &d
}

// terms are the promises of an RPC in words.
func (b *builder) terms(m *Method) string {
	p, deprecation := m.Policy, m.Version.deprecation()
	var lines []string
	add := func(when bool, format string, args ...any) {
		if when {
			lines = append(lines, "- "+fmt.Sprintf(format, args...))
		}
	}
	if deprecation != nil {
		add(true, "Version %s is deprecated from %s on.", m.Version.Of.GetName(), deprecation.GetDate())
		add(deprecation.GetSunset() != "", "It is served until %s at least.", deprecation.GetSunset())
		add(deprecation.GetSuccessor() != "", "Its successor is %s.", deprecation.GetSuccessor())
	}
	auth := p.GetAuth()
	add(len(auth.GetScopes()) > 0, "Needs the scope `%s`.", strings.Join(auth.GetScopes(), "` and `"))
	for _, limit := range m.limits() {
		add(true, "Limit `%s`: %d in %s, at most %d at once%s.", limit.Name, limit.Requests, limit.Per, limit.Burst, costOf(limit))
	}
	if isIdempotent(p) {
		add(true, "A call that is repeated with the same `Idempotency-Key` within %s gets the first one's answer.", duration(p.GetIdempotency().GetTtl()))
	}
	unary := !m.Desc.IsStreamingClient() && !m.Desc.IsStreamingServer()
	add(unary && p.GetTimeout().AsDuration() > 0, "Answered within %s, or fails with 504.", duration(p.GetTimeout()))
	retry := p.GetRetry()
	add(retry != nil && !retry.GetDisabled() && retry.GetSafe(), "The gateway tries up to %d times.", retry.GetAttempts())
	add(isCached(p), "An answer may be %s old; `Age` tells.", duration(p.GetCache().GetTtl()))
	if d := degradedOf(m); d != nil {
		add(d.MaxAge != "", "While the service cannot answer, the last good answer is given, if it is no older than %s; `gatehouse-degraded` tells.", d.MaxAge)
		add(d.Serves == "fixed answer", "While the service cannot answer, a fixed answer is given; `gatehouse-degraded` tells.")
		add(len(d.Optional) > 0, "`%s` may be missing while what they come from cannot answer; `gatehouse-degraded` tells.", strings.Join(d.Optional, "`, `"))
	}
	return strings.Join(lines, "\n")
}

func costOf(limit rateLimit) string {
	if limit.Cost == 1 {
		return ""
	}
	return fmt.Sprintf("; a call counts %d", limit.Cost)
}

// duration is a duration without units that are zero: "5m", not "5m0s".
func duration(d *durationpb.Duration) string {
	text := d.AsDuration().String()
	if d.AsDuration()%time.Minute == 0 && d.AsDuration() > 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d.AsDuration()%time.Hour == 0 && d.AsDuration() > 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// The headers that are described.
const (
	headerRequestID       = "X-Request-Id"
	headerChallenge       = "WWW-Authenticate"
	headerRetryAfter      = "Retry-After"
	headerRateLimit       = "RateLimit"
	headerRateLimitPolicy = "RateLimit-Policy"
	headerReplayed        = "Idempotency-Replayed"
	headerCacheControl    = "Cache-Control"
	headerAge             = "Age"
	headerDegraded        = "Gatehouse-Degraded"
	headerDeprecation     = "Deprecation"
	headerSunset          = "Sunset"
	headerLink            = "Link"
	headerVersion         = "version" // its name is configured
)

// headerKeys are the headers' keys in the components.
var headerKeys = map[string]string{
	headerRequestID: "RequestId", headerChallenge: "Challenge", headerRetryAfter: "RetryAfter", headerRateLimit: "RateLimit",
	headerRateLimitPolicy: "RateLimitPolicy", headerReplayed: "IdempotencyReplayed", headerCacheControl: "CacheControl",
	headerAge: "Age", headerDegraded: "Degraded", headerDeprecation: "Deprecation", headerSunset: "Sunset", headerLink: "Link",
	headerVersion: "Version",
}

func headerOf(name string) *header {
	texts := map[string]string{
		headerRequestID:       "The identifier of the call, for questions about it.",
		headerChallenge:       "Which credentials are taken (RFC 9110).",
		headerRateLimit:       "What is left of each limit (draft-ietf-httpapi-ratelimit-headers).",
		headerRateLimitPolicy: "The limits (draft-ietf-httpapi-ratelimit-headers).",
		headerReplayed:        "`true`: the answer is that of an earlier call with the same idempotency key.",
		headerCacheControl:    "How long the answer may be kept (RFC 9111).",
		headerDegraded:        "Why the answer is not the usual one.",
		headerDeprecation:     "Since when the version is deprecated (RFC 9745).",
		headerSunset:          "When the version stops being served (RFC 8594).",
		headerLink:            "Where to read about the deprecation, and the successor.",
		headerVersion:         "The version that answered.",
	}
	switch name {
	case headerRetryAfter:
		return &header{Description: "In how many seconds to try again.", Schema: &schema{Type: typeInteger, Minimum: 0}}
	case headerAge:
		return &header{Description: "How many seconds old the answer is (RFC 9111).", Schema: &schema{Type: typeInteger, Minimum: 0}}
	default:
		return &header{Description: texts[name], Schema: &schema{Type: typeString}}
	}
}

// answerHeaders are the headers of an RPC's answers.
func (b *builder) answerHeaders(m *Method) members[*header] {
	p, deprecation := m.Policy, m.Version.deprecation()
	var list members[*header]
	add := func(when bool, names ...string) {
		for _, name := range names {
			if _, known := list.get(name); when && !known {
				list.add(name, b.header(name))
			}
		}
	}
	add(true, headerRequestID)
	add(len(m.limits()) > 0, headerRateLimit, headerRateLimitPolicy)
	add(isIdempotent(p), headerReplayed)
	add(isCached(p), headerCacheControl, headerAge)
	d := degradedOf(m)
	add(d != nil, headerDegraded)
	add(d != nil && d.MaxAge != "", headerAge)
	add(deprecation != nil, headerDeprecation)
	add(deprecation.GetSunset() != "", headerSunset)
	add(deprecation.GetLink()+deprecation.GetSuccessor() != "", headerLink)
	if m.Version != nil {
		list.add(m.Version.API.GetHeader(), b.header(headerVersion))
	}
	return list
}

// idempotencyKeys are 1 to 255 characters, bare or in the quotes of a String of Structured
// Fields (RFC 9651).
const idempotencyKeys = `^([!#-+\--:<-\[\]-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$`

// headerParameters are the headers that requests of a binding may have, or must.
func (b *builder) headerParameters(m *Method, binding *contract.Binding) []*parameter {
	var params []*parameter
	if isIdempotent(m.Policy) {
		params = append(params, &parameter{
			Name: "Idempotency-Key", In: "header", Required: m.Policy.GetIdempotency().GetRequired(),
			Description: "Names the call: its repetitions get the same answer. Choose a new one for each call, such as a UUID. What has spaces, commas, semicolons, quotes or backslashes stands in quotes.",
			Schema:      &schema{Type: typeString, Pattern: idempotencyKeys},
		})
	}
	if m.Version != nil && isOpen(binding) {
		v := m.Version
		params = append(params, &parameter{
			Name: v.API.GetHeader(), In: "header", Required: v.API.GetDefault() != v.Of.GetName(),
			Description: fmt.Sprintf("The version. The media type's parameter `%s` names it too.", v.API.GetMediaTypeParameter()),
			Schema:      &schema{Type: typeString, Enum: []any{v.Of.GetName()}},
		})
	}
	return params
}

// published is what is shown of a policy, nil for nothing.
func (b *builder) published(p *policyv1.Policy) json.RawMessage {
	var shown *policyv1.Policy
	switch b.source.Config.GetOpenapi().GetPolicies() {
	case configv1.OpenApi_POLICIES_NONE:
		return nil
	case configv1.OpenApi_POLICIES_ALL:
		shown = proto.CloneOf(p)
		redact(shown.ProtoReflect())
	default:
		shown = promisesOf(p)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(shown)
	if err != nil {
		return nil // never for a policy that was read
	}
	var compact bytes.Buffer // protojson varies its spaces
	if json.Compact(&compact, text) != nil || compact.Len() == len("{}") {
		return nil
	}
	return compact.Bytes()
}

// promisesOf is what clients may rely on, and nothing that tells how the inside is
// built: no expressions, addresses, names of claims or keys, nor what protects
// upstreams.
func promisesOf(p *policyv1.Policy) *policyv1.Policy {
	auth := p.GetAuth()
	shown := &policyv1.Policy{
		Timeout: p.GetTimeout(),
		Auth:    &policyv1.Auth{Accept: auth.GetAccept(), Scopes: auth.GetScopes()},
	}
	if auth.GetPublic() {
		shown.Auth.Public = auth.Public
	}
	if auth.GetAnonymous() {
		shown.Auth.Anonymous = auth.Anonymous
	}
	for _, l := range p.GetRateLimit() {
		shown.RateLimit = append(shown.RateLimit, &policyv1.RateLimit{
			Requests: l.Requests, Per: l.GetPer(), Burst: l.Burst, Cost: l.Cost, Name: l.Name, Unlimited: l.Unlimited,
		})
	}
	if isCached(p) {
		shown.Cache = &policyv1.Cache{Ttl: p.GetCache().GetTtl()}
	}
	if isIdempotent(p) {
		i := p.GetIdempotency()
		shown.Idempotency = &policyv1.Idempotency{Required: i.Required, Ttl: i.GetTtl(), AtMostOnce: i.AtMostOnce}
	}
	if f := p.GetFallback(); f.GetLastGood() != nil && !f.GetDisabled() {
		shown.Fallback = &policyv1.Fallback{Serve: &policyv1.Fallback_LastGood{LastGood: f.GetLastGood()}}
	}
	return shown
}

// redact takes out what the contract of policies marks as secret.
func redact(m protoreflect.Message) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		options, _ := fd.Options().(*descriptorpb.FieldOptions)
		switch {
		case options.GetDebugRedact():
			m.Clear(fd)
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		default:
			redact(v.Message())
		}
		return true
	})
}
