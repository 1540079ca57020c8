package edge

import (
	"net/http"
	"strconv"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// SecurityHeaders are the headers that restrict what browsers do with an answer. Every
// answer over HTTP has them but gRPC's. A backend's own headers replace them. Nil sets
// none. It is immutable.
type SecurityHeaders struct{ hsts []string }

// defaultHSTS is a year, the least that browsers' own lists of sites want.
const defaultHSTS = 365 * 24 * time.Hour

// NewSecurityHeaders returns the headers as configured, nil if they are disabled. They are
// on by default.
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

// set is called before anything else sets headers. secure reports that the client uses
// TLS, to the gateway or to a trusted proxy.
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
