package edge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	configv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/config/v1"
)

// CORS tells browsers which pages of other origins may call and read the answers (the
// Fetch standard's CORS protocol, section 3.3). It is not a policy, and no protection
// against clients other than browsers: the chain decides about a page's request as about
// any other. Nil allows no page. It is immutable.
type CORS struct {
	any      bool
	exact    map[string]struct{}
	suffixes []originSuffix

	credentials bool
	echo        bool // the headers asked for are allowed by name
	allow       []string
	expose      []string
	maxAge      []string
}

// originSuffix stands for all origins with a label or more before the suffix:
// "https://" and ".example.com:8443".
type originSuffix struct{ scheme, suffix string }

const defaultMaxAge = 10 * time.Minute

// exposed are the gateway's own headers that pages may read.
const exposed = "x-request-id, ratelimit, ratelimit-policy, retry-after, age, gatehouse-degraded, idempotency-replayed, x-api-version, deprecation, sunset, link, grpc-status, grpc-message, grpc-status-details-bin"

// Values shared by all answers: nobody writes to them.
var (
	headerAny    = []string{"*"}
	headerTrue   = []string{"true"}
	headerOrigin = []string{"Origin"}
	headerClose  = []string{"close"}
)

// NewCORS returns nil without a configuration. Its errors name the field.
func NewCORS(c *configv1.Cors) (*CORS, error) {
	if c == nil {
		return nil, nil // nil is the meaning: no page may call
	}
	o := &CORS{exact: map[string]struct{}{}, credentials: c.GetAllowCredentials()}
	if len(c.GetAllowOrigins()) == 0 {
		return nil, errors.New(`allow_origins: want one at least, such as "https://shop.example.com"`)
	}
	for i, origin := range c.GetAllowOrigins() {
		if err := o.allowOrigin(origin); err != nil {
			return nil, fmt.Errorf("allow_origins[%d]: %w", i, err)
		}
	}
	if err := o.setHeaders(c); err != nil {
		return nil, err
	}
	age := defaultMaxAge
	if c.GetMaxAge() != nil {
		age = c.GetMaxAge().AsDuration()
	}
	o.maxAge = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	return o, nil
}

func (o *CORS) allowOrigin(origin string) error {
	switch origin {
	case "*":
		if o.credentials {
			return errors.New(`"*" and allow_credentials together would let every page act as its visitor: name the origins`)
		}
		o.any = true
		return nil
	case "null": // of sandboxed frames and local files
		o.exact[origin] = struct{}{}
		return nil
	}
	scheme, host, ok := strings.Cut(origin, "://")
	suffix, wild := strings.CutPrefix(host, "*.")
	if !ok || !isOrigin(scheme, suffix) {
		return fmt.Errorf("%q is not an origin: want it as browsers send it, in lower case and without a path or a default port, such as \"https://shop.example.com\" or \"https://*.example.com\"", origin)
	}
	if wild {
		o.suffixes = append(o.suffixes, originSuffix{scheme + "://", "." + suffix})
		return nil
	}
	o.exact[origin] = struct{}{}
	return nil
}

// isOrigin reports whether a browser would send this origin, given its parts.
func isOrigin(scheme, host string) bool {
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || scheme == "" || strings.HasSuffix(host, ":") {
		return false
	}
	if port := u.Port(); port == "80" && scheme == "http" || port == "443" && scheme == "https" {
		return false
	}
	for i := range len(host) {
		if !hostByte(host[i]) && !strings.ContainsRune(":[]", rune(host[i])) {
			return false
		}
	}
	return scheme == strings.ToLower(scheme)
}

func hostByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

func (o *CORS) setHeaders(c *configv1.Cors) error {
	for i, list := range [][]string{c.GetAllowHeaders(), c.GetExposeHeaders()} {
		field := [...]string{"allow_headers", "expose_headers"}[i]
		for j, name := range list {
			if !isToken(name) {
				return fmt.Errorf("%s[%d]: %q is not the name of a header", field, j, name)
			}
		}
	}
	if o.credentials && slices.Contains(c.GetExposeHeaders(), "*") {
		return errors.New(`expose_headers: "*" is no wildcard together with allow_credentials (Fetch, section 3.3.4): name the headers`)
	}
	switch all := len(c.GetAllowHeaders()) == 0 || slices.Contains(c.GetAllowHeaders(), "*"); {
	case all && o.credentials:
		o.echo = true // "*" would be a header of that name
	case all:
		o.allow = []string{"*, authorization"} // which "*" does not cover
	default:
		o.allow = []string{joined(c.GetAllowHeaders())}
	}
	o.expose = []string{exposed}
	if list := c.GetExposeHeaders(); len(list) > 0 {
		o.expose = []string{joined(list)}
	}
	return nil
}

// Allows reports whether pages of an origin may call.
func (o *CORS) Allows(origin string) bool {
	if o == nil {
		return false
	}
	if _, ok := o.exact[origin]; ok || o.any {
		return true
	}
	for _, s := range o.suffixes {
		rest, ok := strings.CutPrefix(origin, s.scheme)
		if !ok {
			continue
		}
		if label, ok := strings.CutSuffix(rest, s.suffix); ok && isLabels(label) {
			return true
		}
	}
	return false
}

// isLabels reports whether s consists of labels of a host, so that a suffix behind it is
// the end of a host.
func isLabels(s string) bool {
	for i := range len(s) {
		if !hostByte(s[i]) {
			return false
		}
	}
	return s != "" && s[0] != '.' && s[len(s)-1] != '.'
}

// set is called before anything else sets headers. It reports whether the page that sent
// the request, if any, may read the answer. If the headers depend on the origin, Vary says
// so, also for a request without an origin or with one that is refused.
func (o *CORS) set(h http.Header, r *http.Request) bool {
	if o == nil {
		return false
	}
	if o.any {
		h["Access-Control-Allow-Origin"] = headerAny
		h["Access-Control-Expose-Headers"] = o.expose
		return true
	}
	h["Vary"] = headerOrigin
	origin := r.Header["Origin"]
	if len(origin) != 1 || !o.Allows(origin[0]) {
		return false
	}
	h["Access-Control-Allow-Origin"] = origin[:1:1]
	h["Access-Control-Expose-Headers"] = o.expose
	if o.credentials {
		h["Access-Control-Allow-Credentials"] = headerTrue
	}
	return true
}

// setPreflight adds the headers that only the answer to a preflight has.
func (o *CORS) setPreflight(h http.Header, r *http.Request) {
	h["Access-Control-Allow-Methods"] = r.Header["Access-Control-Request-Method"]
	h["Access-Control-Max-Age"] = o.maxAge
	if !o.echo {
		h["Access-Control-Allow-Headers"] = o.allow
		return
	}
	h["Vary"] = append(slices.Clip(h["Vary"]), "Access-Control-Request-Headers")
	if asked := joined(r.Header["Access-Control-Request-Headers"]); isTokens(asked) {
		h["Access-Control-Allow-Headers"] = []string{asked}
	}
}

// IsPreflight reports whether a request is a preflight of the CORS protocol, and not just
// an OPTIONS request.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

// isTokens reports whether list is names, separated by commas.
func isTokens(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if !isToken(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}

// isToken reports whether s can name a header or a method (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
				return false
			}
		}
	}
	return s != ""
}
