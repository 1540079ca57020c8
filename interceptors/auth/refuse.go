package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	policyName = "auth"
	// domain is of the reasons in error details (AIP-193).
	domain = "gatehouse"
	// realm is of challenges that have none configured.
	realm = "gatehouse"

	reasonScope      = "SCOPE_MISSING"
	reasonNotAllowed = "NOT_ALLOWED"

	tokenInvalid = "the bearer token is not valid"
)

// wrong is a credential that is there and is not right. The text says nothing of
// what would be; the cause is logged.
type wrong struct {
	text  string
	token bool // it is a bearer token
	cause error
}

func (w *wrong) Error() string { return w.text }
func (w *wrong) Unwrap() error { return w.cause }

func wrongToken(text string, cause error) error { return &wrong{text, true, cause} }

func wrongCredential(text string, cause error) error { return &wrong{text, false, cause} }

func isWrong(err error) bool {
	_, ok := errors.AsType[*wrong](err)
	return ok
}

// challenges are what refusals tell how to authenticate (RFC 9110, section
// 11.6.1), made when the table is built. Each is pairs for AddHeader.
type challenges struct {
	missing string // text where there is no credential
	plain   []string
	token   []string // where a bearer token was wrong (RFC 6750, section 3.1)
	scope   []string // where a caller lacks scopes; nil for none
}

func (c *challenges) add(plain, token string) {
	c.plain = append(c.plain, "www-authenticate", plain)
	c.token = append(c.token, "www-authenticate", token)
}

// newChallenges has one challenge for each kind of credential, in their order.
func newChallenges(accepted []authenticator, scopes []string) challenges {
	var c challenges
	var ways []string
	seen := map[string]bool{}
	for _, a := range accepted {
		way, challenge := a.challenge()
		if seen[challenge] {
			continue
		}
		seen[challenge] = true
		ways = append(ways, way)
		if _, ok := a.(*jwtIssuer); !ok {
			c.add(challenge, challenge)
			continue
		}
		c.add(challenge, challenge+`, error="invalid_token"`)
		if len(scopes) > 0 {
			c.scope = []string{"www-authenticate", challenge + `, error="insufficient_scope", scope="` + quoted(strings.Join(scopes, " ")) + `"`}
		}
	}
	c.missing = "the call has no credentials: send " + strings.Join(ways, " or ")
	return c
}

// quoted is text for between the quotes of a quoted-string.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

func (j *jwtIssuer) challenge() (way, header string) {
	return "a bearer token", `Bearer realm="` + realm + `"`
}

func (k *apiKeys) challenge() (way, header string) {
	return "an API key in the header " + k.header, `ApiKey realm="` + realm + `", header="` + k.header + `"`
}

func (b *basicUsers) challenge() (way, header string) {
	return "a name and a password", `Basic realm="` + quoted(b.realm) + `", charset="UTF-8"`
}

func (m *certificates) challenge() (way, header string) {
	return "a client certificate", `ClientCertificate realm="` + realm + `"`
}

// refuse is the answer to a call whose credential is missing (nil) or wrong, or
// could not be judged.
func (r *rule) refuse(c *call.Call, err error) error {
	w, ok := errors.AsType[*wrong](err)
	switch {
	case err == nil:
		c.AddHeader(r.challenges.plain...)
		return call.Refuse(call.Client, codes.Unauthenticated, "%s", r.challenges.missing).By(policyName)
	case ok:
		if w.token {
			c.AddHeader(r.challenges.token...)
		} else {
			c.AddHeader(r.challenges.plain...)
		}
		return call.Refuse(call.Client, codes.Unauthenticated, "%s", w.text).By(policyName).Because(w.cause)
	case errors.Is(err, errNoKeys):
		return refuseWith(call.Gateway, codes.Unavailable, "the token cannot be verified now: try again later",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(fetchTimeout)}).Because(err)
	case errors.Is(err, errBusy):
		return refuseWith(call.Gateway, codes.Unavailable, "too many passwords are being checked: try again later",
			&errdetails.RetryInfo{RetryDelay: durationpb.New(waitForBcrypt)}).Because(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return call.RefuseStatus(call.Client, call.StatusOf(err)).By(policyName).Because(err)
	default:
		return call.Refuse(call.Gateway, codes.Internal, "internal error").By(policyName).Because(err)
	}
}

// refuseScopes is for a caller who is known and lacks a scope.
func (r *rule) refuseScopes(c *call.Call) error {
	if r.challenges.scope != nil {
		c.AddHeader(r.challenges.scope...)
	}
	needed := strings.Join(r.scopes, " ")
	return refuseWith(call.Client, codes.PermissionDenied, fmt.Sprintf("the call needs the scopes %q", needed),
		&errdetails.ErrorInfo{Reason: reasonScope, Domain: domain, Metadata: map[string]string{"scopes": needed}})
}

// refuseNotAllowed is for a caller whom the rule's expression does not let in.
// Nobody may become somebody who is let in, and is asked to.
func (r *rule) refuseNotAllowed(c *call.Call, caller *call.Caller, cause error) error {
	if caller == nil {
		return r.refuse(c, nil)
	}
	return refuseWith(call.Client, codes.PermissionDenied, "the caller may not make this call",
		&errdetails.ErrorInfo{Reason: reasonNotAllowed, Domain: domain}).Because(cause)
}

func refuseWith(fault call.Fault, code codes.Code, text string, detail protoadapt.MessageV1) *call.Error {
	st := status.New(code, text)
	if with, err := st.WithDetails(detail); err == nil {
		st = with
	}
	return call.RefuseStatus(fault, st).By(policyName)
}
