package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	spiffeScheme = "spiffe"
	// keptCerts bounds how many certificates are remembered.
	keptCerts = 4096

	certWrong = "the client certificate is not accepted here"
)

// certificates knows callers by the certificate of their connection, which TLS
// has verified.
type certificates struct {
	name     string
	subjects []string
	names    []string
	ids      []string // SPIFFE ids, in full
	prefixes []string // of SPIFFE ids
	known    *otter.Cache[*x509.Certificate, *call.Caller]
}

func newMTLS(name string, c *policyv1.Mtls) (*certificates, error) {
	m := &certificates{name: name, subjects: c.GetSubjects(), names: c.GetNames(), known: newCache[*x509.Certificate](keptCerts, one[*call.Caller])}
	for i, id := range c.GetSpiffeIds() {
		prefix, wild := strings.CutSuffix(id, "*")
		rest, ok := strings.CutPrefix(prefix, spiffeScheme+"://")
		domain, path, slash := strings.Cut(rest, "/")
		switch {
		case !ok || !spiffeName(domain, false) || wild && !slash || strings.Contains(path, "*"):
			return nil, interceptors.Wrong(fmt.Sprintf("spiffe_ids[%d]", i), "%q is not an id: want one like \"spiffe://example.org/shop\" or \"spiffe://example.org/*\"", id)
		case wild:
			m.prefixes = append(m.prefixes, prefix)
		default:
			m.ids = append(m.ids, id)
		}
	}
	if len(m.subjects)+len(m.names)+len(c.GetSpiffeIds()) == 0 {
		return nil, errors.New("subjects, names or spiffe_ids: at least one is needed, or any certificate would do")
	}
	return m, nil
}

func (*certificates) close() {}

// know returns whose certificate it is.
func (m *certificates) know(state *tls.ConnectionState) (*call.Caller, error) {
	leaf := state.VerifiedChains[0][0]
	// The connection may be older than the certificate's end.
	if now := time.Now(); now.After(leaf.NotAfter) {
		return nil, wrongCredential(certWrong, fmt.Errorf("the certificate has expired at %v", leaf.NotAfter))
	}
	if c, ok := m.known.GetIfPresent(leaf); ok {
		return c, nil
	}
	id := spiffeID(leaf)
	subject := leaf.Subject.String()
	if !m.matches(leaf, subject, id) {
		return nil, wrongCredential(certWrong, fmt.Errorf("nobody is known by the certificate of %q, SPIFFE id %q", subject, id))
	}
	c := &call.Caller{ID: id, Authenticator: m.name, Claims: map[string]any{
		"subject": subject, "common_name": leaf.Subject.CommonName, "dns_names": anys(leaf.DNSNames), "emails": anys(leaf.EmailAddresses),
	}}
	if id == "" {
		c.ID = subject
	} else {
		c.Claims["spiffe_id"] = id
	}
	if c.ID == "" { // the certificate has names, and an empty subject
		c.Credential = call.HashCredential(leaf.Raw)
	} else {
		c.Claims["sub"] = c.ID
	}
	m.known.Set(leaf, c)
	return c, nil
}

func (m *certificates) matches(leaf *x509.Certificate, subject, id string) bool {
	if subject != "" && slices.Contains(m.subjects, subject) {
		return true
	}
	for _, name := range m.names {
		// Hosts are alike whatever their case (RFC 4343), mailboxes are not.
		if slices.ContainsFunc(leaf.DNSNames, func(s string) bool { return strings.EqualFold(s, name) }) ||
			slices.Contains(leaf.EmailAddresses, name) {
			return true
		}
	}
	if id == "" {
		return false
	}
	return slices.Contains(m.ids, id) || slices.ContainsFunc(m.prefixes, func(p string) bool { return strings.HasPrefix(id, p) })
}

// spiffeID is the certificate's SPIFFE id: its one URI, in the one spelling that
// the standard for SPIFFE ids allows; "" if it has none.
func spiffeID(leaf *x509.Certificate) string {
	if len(leaf.URIs) != 1 {
		return ""
	}
	u := leaf.URIs[0]
	id := u.String()
	if u.Scheme != spiffeScheme || !spiffeName(u.Host, false) || id != spiffeScheme+"://"+u.Host+u.Path || !spiffePath(u) {
		return ""
	}
	return id
}

func spiffePath(u *url.URL) bool {
	if u.Path == "" {
		return true
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(u.Path, "/"), "/") {
		if segment == "." || segment == ".." || !spiffeName(segment, true) {
			return false
		}
	}
	return true
}

// spiffeName tells whether s has only what a trust domain or, with upper case, a
// segment of a path may have.
func spiffeName(s string, upper bool) bool {
	for _, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || upper && c >= 'A' && c <= 'Z'
		if !ok {
			return false
		}
	}
	return s != ""
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
