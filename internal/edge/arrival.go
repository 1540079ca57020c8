package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-dev/gatehouse/internal/call"
	"github.com/gatehouse-dev/gatehouse/internal/memory"
)

// arrival is what a request says of itself and of the way it came, as sent.
type arrival struct {
	remote     string               // address of the connection
	tls        *tls.ConnectionState // of the connection; nil in the clear
	connection *memory.Connection   // nil where nothing is accounted for
	host       string               // that the request names
	userAgent  string
	requestID  string

	hops, hosts, protos []string // X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto
}

func arrivalOf(r *http.Request) *arrival {
	h := r.Header
	return &arrival{
		remote: r.RemoteAddr, tls: r.TLS, connection: memory.From(r.Context()), host: r.Host, userAgent: first(h["User-Agent"]), requestID: first(h["X-Request-Id"]),
		hops: h["X-Forwarded-For"], hosts: h["X-Forwarded-Host"], protos: h["X-Forwarded-Proto"],
	}
}

// beginHTTP is begin for a request that came through net/http. It returns the
// context of the call, and fills l.
func (s *Settings) beginHTTP(c *call.Call, p call.Protocol, l *lineage, r *http.Request) context.Context {
	ctx := l.read(r.Context(), r.Header["Traceparent"], r.Header["Tracestate"])
	s.begin(c, p, l, arrivalOf(r))
	return call.With(ctx, c)
}

// begin notes what is known of a call before anything else is: when it came,
// from whom, and under which identifiers.
func (s *Settings) begin(c *call.Call, p call.Protocol, l *lineage, a *arrival) {
	c.Protocol = p
	c.Start = time.Now()
	c.TLS = a.tls
	c.Peer = s.peerOf(a.remote, a.hops)
	c.Host, c.Scheme = s.askedFor(a)
	c.UserAgent = a.userAgent
	c.RequestID = s.requestID(a.requestID)
	c.TraceID = l.traceID()
	s.openShare(c, a)
}

// openShare has the call count with its client: that of the connection, or, where a
// trusted proxy has many on one connection, the one that it tells of.
func (s *Settings) openShare(c *call.Call, a *arrival) {
	switch {
	case a.connection == nil:
	case len(a.hops) > 0 && c.Peer != a.remote:
		c.Memory.Open(s.Memory.Behind(c.PeerNetwork().String()))
	default:
		c.Memory.Open(a.connection.Client, nil)
	}
}

const schemeHTTP, schemeHTTPS = "http", "https"

// Values shared by all calls: nobody writes to them.
var headerHTTP, headerHTTPS = []string{schemeHTTP}, []string{schemeHTTPS}

// askedFor is the host that the client asked for, and the scheme that it used. A
// trusted proxy tells both of the connection that ends there. Of several values
// the last one counts, which the nearest proxy wrote: the client itself may have
// sent those before it.
func (s *Settings) askedFor(a *arrival) (host, scheme string) {
	host, scheme = a.host, schemeHTTP
	if a.tls != nil {
		scheme = schemeHTTPS
	}
	if len(a.hosts)+len(a.protos) == 0 || !s.trusted(call.Address(a.remote)) {
		return host, scheme
	}
	if h := lastOf(a.hosts); h != "" && httpguts.ValidHostHeader(h) {
		host = h
	}
	if p := strings.ToLower(lastOf(a.protos)); p == schemeHTTP || p == schemeHTTPS {
		scheme = p
	}
	return host, scheme
}

// checkHost refuses a call for a host that is not served. Backends make links of the
// host that they are told, so a client must not choose one. It is 421 over HTTP (RFC
// 9110, section 15.5.20). gRPC has no code of that meaning; FAILED_PRECONDITION says
// that the same call will never do (statuscodes.md), where UNAVAILABLE would have
// clients try again.
func (s *Settings) checkHost(c *call.Call) error {
	if len(s.Hosts) == 0 || s.Hosts.Have(c.Host) {
		return nil
	}
	return httpRefusal(http.StatusMisdirectedRequest, codes.FailedPrecondition, "the host %q is not served here", c.Host)
}

// lastOf is the last element of a header that is a list.
func lastOf(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.Trim(last[strings.LastIndexByte(last, ',')+1:], " \t")
}

// schemeOf is the scheme alone, for answers that begin before there is a call.
func (s *Settings) schemeOf(r *http.Request) string {
	_, scheme := s.askedFor(&arrival{remote: r.RemoteAddr, tls: r.TLS, protos: r.Header["X-Forwarded-Proto"]})
	return scheme
}

// stamp adds what the gateway itself says to backends.
func (s *Settings) stamp(md metadata.MD, t *Table, c *call.Call, l *lineage, remote string, forwarded []string) {
	hop := hostOf(remote)
	if len(forwarded) > 0 && s.trusted(call.Address(remote)) {
		if chain := joined(forwarded); !call.Printable(chain) {
			s.drop(UnfitValue)
		} else {
			hop = chain + ", " + hop
		}
	}
	said := [...]string{hop, c.RequestID, l.child(c), c.Host, c.UserAgent}
	md["x-forwarded-for"] = said[0:1:1]
	md["x-request-id"] = said[1:2:2]
	md["traceparent"] = said[2:3:3]
	l.pass(md)
	md["x-forwarded-proto"] = headerHTTP
	if c.Scheme == schemeHTTPS {
		md["x-forwarded-proto"] = headerHTTPS
	}
	s.quote(md, "x-forwarded-host", said[3:4:4])
	s.quote(md, cmp.Or(t.UserAgentKey, call.UserAgent), said[4:5:5])
}

// quote adds what a client said of itself, unless it is nothing or cannot be
// metadata.
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

// peerOf is the client's address: that of the connection, or, behind trusted
// proxies, the right-most hop that is none of them. A hop that is no address, such
// as "unknown", counts as the proxy that reported it: a client without an address
// would be on no list.
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
