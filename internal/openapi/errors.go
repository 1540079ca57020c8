package openapi

import (
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/contract"
)

// answers describes what a binding's requests are answered with: the answer, and the
// errors that the RPC can give.
func (b *builder) answers(m *Method, binding *contract.Binding, hasBody bool) members[*response] {
	var list members[*response]
	list.add("200", b.success(m, binding))
	for _, status := range b.failures(m, hasBody, len(binding.Template.Variables()) > 0 || isOpen(binding)) {
		list.add(strconv.Itoa(status), b.failure(status))
	}
	list.add("default", b.failure(0))
	return list
}

// success describes the answer.
func (b *builder) success(m *Method, binding *contract.Binding) *response {
	md := m.Desc.Output()
	r := &response{Headers: b.answerHeaders(m)}
	r.Description, _ = summarize(b.commentOf(md))
	if r.Description == "" {
		r.Description = "OK"
	}
	shown, raw := b.shown(md, binding.ResponseBody)
	switch {
	case raw:
		r.Description = "The file, in its own media type."
		r.Content.add(mediaAny, &mediaType{Schema: file()})
	case m.Desc.IsStreamingServer():
		b.stream(r, shown)
	default:
		r.Content.add(mediaJSON, &mediaType{Schema: shown, rewrite: b.answerRewriter(md, binding.ResponseBody)})
	}
	return r
}

// shown is what of a response message clients get: all of it, or one field.
func (b *builder) shown(md protoreflect.MessageDescriptor, field string) (_ *schema, raw bool) {
	if field == "" && md.FullName() == httpBody {
		return nil, true
	}
	if field == "" {
		return b.message(md, output), false
	}
	fd := md.Fields().ByName(protoreflect.Name(field))
	if fd == nil {
		return &schema{}, false // never for a binding that is served
	}
	if isRaw(fd) {
		return nil, true
	}
	s := b.property(fd, output)
	s.ReadOnly, s.WriteOnly = false, false
	isObject := fd.Message() != nil && b.wellKnown(fd.Message(), output) == nil
	if fd.HasPresence() && !isObject {
		s = nullable(s)
	}
	return s, false
}

// answerRewriter rewrites examples of what clients get.
func (b *builder) answerRewriter(md protoreflect.MessageDescriptor, field string) rewriter {
	if fd := md.Fields().ByName(protoreflect.Name(field)); fd != nil {
		return b.fieldRewriter(fd, output)
	}
	return b.messageRewriter(md, output, nil)
}

// stream describes an answer of many messages.
func (b *builder) stream(r *response, message *schema) {
	media := mediaNDJSON
	if b.json.GetWrapStreams() {
		media = mediaJSON
		message = &schema{Type: typeObject, Properties: members[*schema]{{"result", message}}, Required: []string{"result"}}
	}
	r.Description += ". A stream of messages, one JSON document a line; the schema is that of one. A stream that fails ends with a line that has a member `error`."
	r.Content.add(media, &mediaType{Schema: message})
	r.StreamError = b.streamError()
}

// failures are the statuses of errors that an RPC can give: its policies', and those of
// every call.
func (b *builder) failures(m *Method, hasBody, hasVariables bool) []int {
	p := m.Policy
	statuses := []int{400, 500, 503, 504}
	add := func(when bool, status ...int) {
		if when {
			statuses = append(statuses, status...)
		}
	}
	auth := p.GetAuth()
	add(!auth.GetPublic() && len(auth.GetAccept()) > 0, 401)
	add(len(auth.GetScopes()) > 0 || auth.GetAllow() != "" || len(p.GetIp().GetAllow())+len(p.GetIp().GetDeny()) > 0, 403)
	add(hasVariables, 404)
	add(hasBody, 408, 413, 415)
	add(isIdempotent(p), 409, 429)
	add(len(m.limits()) > 0 || hasCap(p), 429)
	slices.Sort(statuses)
	return slices.Compact(statuses)
}

// failure is the response of a status, or of any other for 0, by reference.
func (b *builder) failure(status int) *response {
	name := "Error"
	if status != 0 {
		name = "Error" + strconv.Itoa(status)
	}
	if b.responses[name] == nil {
		b.responses[name] = b.failureBody(status)
	}
	return &response{Ref: "#/components/responses/" + name}
}

// meanings say when each status comes.
var meanings = map[int]string{
	0:   "Any other error, of the service or of the gateway.",
	400: "The request is malformed, or the service refuses its contents.",
	401: "The credentials are missing or wrong.",
	403: "The caller may not make this call.",
	404: "There is no such resource.",
	408: "The body did not arrive in time.",
	409: "A call with the same idempotency key is running, or nobody knows whether it was carried out; or the service reports a conflict.",
	413: "The body is too large.",
	415: "The body has a media type or an encoding that is not taken.",
	429: "The caller makes too many calls. `Retry-After` tells when to try again.",
	499: "The client has gone.",
	500: "The service or the gateway failed.",
	501: "The service does not have this RPC.",
	503: "The service cannot answer now, or the gateway is overloaded. `Retry-After`, if set, tells when to try again.",
	504: "The answer did not come in time.",
}

func (b *builder) failureBody(status int) *response {
	r := &response{Description: meanings[status]}
	names := []string{headerRequestID}
	switch status {
	case 401:
		names = append(names, headerChallenge)
	case 429:
		names = append(names, headerRetryAfter, headerRateLimit, headerRateLimitPolicy)
	case 409, 503:
		names = append(names, headerRetryAfter)
	}
	for _, name := range names {
		r.Headers.add(name, b.header(name))
	}
	media := mediaJSON
	if b.source.Config.GetErrors().GetFormat() == configv1.Errors_FORMAT_PROBLEM {
		media = mediaProblem
	}
	r.Content.add(media, &mediaType{Schema: b.errorSchema()})
	return r
}

// errorSchema is the body of an error, in the configured format.
func (b *builder) errorSchema() *schema {
	switch b.source.Config.GetErrors().GetFormat() {
	case configv1.Errors_FORMAT_STATUS:
		return b.own("Status", b.statusError)
	case configv1.Errors_FORMAT_PROBLEM:
		return b.own("Problem", b.problemError)
	default:
		return b.own("ErrorResponse", b.apiError)
	}
}

// streamError is the last line of a stream that fails.
func (b *builder) streamError() *schema {
	if b.source.Config.GetErrors().GetFormat() == configv1.Errors_FORMAT_AIP193 {
		return b.errorSchema()
	}
	return b.own("StreamError", func() *schema {
		return &schema{Type: typeObject, Properties: members[*schema]{{"error", b.errorSchema()}}, Required: []string{"error"}}
	})
}

// own returns a reference to a schema that the gateway defines. Client generators name a
// class after it, so the name must not be that of a standard class, such as Error in Java
// or Any in Python.
func (b *builder) own(name string, build func() *schema) *schema {
	full := "gatehouse." + name
	return b.registry.ref(subject{name: protoreflect.FullName(full)}, output, component{short: name, full: full}, build)
}

// codeName is the schema of a status code's name.
func (b *builder) codeName() *schema {
	return b.own("StatusCode", func() *schema {
		s := &schema{Type: typeString, Description: "The name of a gRPC status code."}
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			s.Enum = append(s.Enum, call.CodeName(code))
		}
		return s
	})
}

func (b *builder) details() *schema {
	return &schema{Type: typeArray, Items: b.any(output), Description: "More about it, such as google.rpc.BadRequest or google.rpc.ErrorInfo."}
}

func httpCode() *schema {
	return &schema{Type: typeInteger, Format: "int32", Description: "The HTTP status."}
}

func errorText() *schema {
	return &schema{Type: typeString, Description: "What went wrong, for people."}
}

// apiError is the format of AIP-193.
func (b *builder) apiError() *schema {
	return &schema{
		Type:        typeObject,
		Description: "An error (AIP-193). With `Accept: application/problem+json` it comes as a problem (RFC 9457).",
		Properties:  members[*schema]{{"error", b.own("ErrorBody", b.apiErrorBody)}},
		Required:    []string{"error"},
	}
}

func (b *builder) apiErrorBody() *schema {
	return &schema{
		Type: typeObject, Description: "What went wrong.",
		Properties: members[*schema]{
			{"code", httpCode()}, {"message", errorText()}, {"status", b.codeName()}, {"details", b.details()},
		},
		Required: []string{"code", "message", "status"},
	}
}

func (b *builder) statusError() *schema {
	return &schema{
		Type:        typeObject,
		Description: "An error, a google.rpc.Status. With `Accept: application/problem+json` it comes as a problem (RFC 9457).",
		Properties: members[*schema]{
			{"code", &schema{Type: typeInteger, Format: "int32", Description: "The gRPC status code."}},
			{"message", errorText()}, {"details", b.details()},
		},
		Required: []string{"code", "message", "details"},
	}
}

func (b *builder) problemError() *schema {
	return &schema{
		Type: typeObject, Description: "A problem (RFC 9457).",
		Properties: members[*schema]{
			{"type", &schema{Type: typeString, Format: "uri-reference"}},
			{"title", &schema{Type: typeString, Description: "What the HTTP status is called."}},
			{"status", httpCode()}, {"detail", errorText()}, {"code", b.codeName()}, {"details", b.details()},
		},
		Required: []string{"type", "title", "status", "detail", "code"},
	}
}

const headersPath = "#/components/headers/"

// header is a header by reference.
func (b *builder) header(name string) *header {
	key := headerKeys[name]
	if b.headers[key] == nil {
		b.headers[key] = headerOf(name)
	}
	return &header{Ref: headersPath + key}
}
