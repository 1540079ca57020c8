package edge

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// Arrival is what is known of a request when it arrives: its connection, and the headers
// that say who sent it, as sent.
type Arrival struct {
	Remote     string               // address of the connection
	TLS        *tls.ConnectionState // of the connection; nil in the clear
	Connection *memory.Connection   // nil where memory is not accounted for
	Host       string               // as the request names it
	UserAgent  string
	RequestID  string

	ForwardedFor, ForwardedHost, ForwardedProto []string // X-Forwarded-*
	TraceParent, TraceState                     []string // of W3C Trace Context
}

// ArrivalOf reads a request of net/http.
func ArrivalOf(r *http.Request) Arrival {
	h := r.Header
	return Arrival{
		Remote: r.RemoteAddr, TLS: r.TLS, Connection: memory.From(r.Context()), Host: r.Host, UserAgent: first(h["User-Agent"]), RequestID: first(h["X-Request-Id"]),
		ForwardedFor: h["X-Forwarded-For"], ForwardedHost: h["X-Forwarded-Host"], ForwardedProto: h["X-Forwarded-Proto"],
		TraceParent: h["Traceparent"], TraceState: h["Tracestate"],
	}
}

const schemeHTTP, schemeHTTPS = "http", "https"

// Values shared by all calls: nobody writes to them.
var headerHTTP, headerHTTPS = []string{schemeHTTP}, []string{schemeHTTPS}

// askedFor returns the host that the client asked for and the scheme that it used. A
// trusted proxy sends both in headers. If a header has several values, the last one
// counts: the nearest proxy wrote it, and the client may have sent the others.
func (s *Settings) askedFor(a *Arrival) (host, scheme string) {
	host, scheme = a.Host, schemeHTTP
	if a.TLS != nil {
		scheme = schemeHTTPS
	}
	if len(a.ForwardedHost)+len(a.ForwardedProto) == 0 || !s.trusted(call.Address(a.Remote)) {
		return host, scheme
	}
	if h := lastOf(a.ForwardedHost); h != "" && httpguts.ValidHostHeader(h) {
		host = h
	}
	if p := strings.ToLower(lastOf(a.ForwardedProto)); p == schemeHTTP || p == schemeHTTPS {
		scheme = p
	}
	return host, scheme
}

// CheckHost refuses a call for a host that is not served. Backends make links with
// the host that they get, so a client must not choose it. Over HTTP the refusal is 421
// (RFC 9110, section 15.5.20). gRPC has no such code: FAILED_PRECONDITION says that the
// same call will always fail (statuscodes.md), whereas UNAVAILABLE would make clients try
// again.
func (h *Half) CheckHost() error {
	if hosts := h.Settings.Hosts; len(hosts) == 0 || hosts.Have(h.Call.Host) {
		return nil
	}
	return RefuseHTTP(http.StatusMisdirectedRequest, codes.FailedPrecondition, "the host %q is not served here", h.Call.Host)
}

// lastOf returns the last element of a header that is a list.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.Trim(last[strings.LastIndexByte(last, ',')+1:], " \t")
}

// schemeOf returns the scheme alone, for answers that begin before there is a call.
func (s *Settings) schemeOf(r *http.Request) string {
	_, scheme := s.askedFor(&Arrival{Remote: r.RemoteAddr, TLS: r.TLS, ForwardedProto: r.Header["X-Forwarded-Proto"]})
	return scheme
}

// quote adds what a client sent about itself, unless that is empty or cannot be metadata.
func (s *Settings) quote(md metadata.MD, key string, value []string) {
	switch {
	case value[0] == "":
	case !call.Printable(value[0]):
		s.drop(UnfitValue)
	default:
		md[key] = value
	}
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// trusted reports whether ip is one of the proxies in front.
func (s *Settings) trusted(ip netip.Addr) bool {
	for _, p := range s.Proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// peerOf returns the client's address: that of the connection, or, behind trusted
// proxies, the right-most hop that is not one of them. For a hop that is not an address,
// such as "unknown", it returns the proxy that reported it: a client without an address
// would match no list.
func (s *Settings) peerOf(remote string, forwarded []string) string {
	if len(forwarded) == 0 || !s.trusted(call.Address(remote)) {
		return remote
	}
	peer := remote
	for _, hop := range slices.Backward(strings.Split(joined(forwarded), ",")) {
		hop = strings.TrimSpace(hop)
		if hop == "" {
			continue // RFC 9110, section 5.6.1.2
		}
		ip := call.Address(hop)
		if !ip.IsValid() {
			break
		}
		peer = ip.String()
		if !s.trusted(ip) {
			break
		}
	}
	return peer
}
