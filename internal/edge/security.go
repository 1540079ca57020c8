package edge

import (
	"net/http"
	"strconv"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// SecurityHeaders tell browsers to be careful with what is served. They are on
// every answer over HTTP but gRPC's, and give way to those of a backend's own.
// Nil sets none. It is immutable.
type SecurityHeaders struct{ hsts []string }

// defaultHSTS is a year, the least that browsers' own lists of sites want.
const defaultHSTS = 365 * 24 * time.Hour

// NewSecurityHeaders makes them as configured. Without a configuration they are
// on; disabled they are nil.
func NewSecurityHeaders(c *configv1.SecurityHeaders) *SecurityHeaders {
	if c.GetDisabled() {
		return nil
	}
	age := defaultHSTS
	if c.GetHsts() != nil {
		age = c.GetHsts().AsDuration()
	}
	s := new(SecurityHeaders)
	if age > 0 {
		s.hsts = []string{"max-age=" + strconv.FormatInt(int64(age/time.Second), 10)}
	}
	return s
}

// Values shared by all answers: nobody writes to them.
var (
	headerNoSniff    = []string{"nosniff"}
	headerPolicy     = []string{"default-src 'none'; frame-ancestors 'none'"}
	headerNoReferrer = []string{"no-referrer"}
	// Requests by the CORS protocol are not subject to this one (Fetch, section
	// 3.7), so it is the same whether other origins may call or not.
	headerSameOrigin = []string{"same-origin"}
	headerNoStore    = []string{"no-store"}
)

// set is called before anything else sets headers. secure tells that the client
// uses TLS, be it up to a trusted proxy.
func (s *SecurityHeaders) set(h http.Header, secure bool) {
	if s == nil {
		return
	}
	h["X-Content-Type-Options"] = headerNoSniff
	h["Content-Security-Policy"] = headerPolicy
	h["Referrer-Policy"] = headerNoReferrer
	h["Cross-Origin-Resource-Policy"] = headerSameOrigin
	if secure && s.hsts != nil {
		h["Strict-Transport-Security"] = s.hsts
	}
}
