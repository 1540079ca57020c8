package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	fetchTimeout  = 5 * time.Second // for the discovery and the keys together
	maxResponse   = 1 << 20
	maxRedirects  = 3
	discoveryPath = "/.well-known/openid-configuration"
)

// fetcher gets documents of issuers.
type fetcher struct{ client *http.Client }

func newFetcher(transport http.RoundTripper) *fetcher {
	return &fetcher{&http.Client{Transport: transport, CheckRedirect: checkRedirect}}
}

// newTransport is what fetches unless another was handed in.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		ResponseHeaderTimeout:  4 * time.Second,
		IdleConnTimeout:        time.Minute,
		MaxIdleConnsPerHost:    1,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// checkRedirect stays with the scheme: what was asked for over TLS is not taken
// in the clear.
func checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if from := via[0].URL; to.URL.Scheme != from.Scheme {
		return fmt.Errorf("a redirect leads from %s to %s", from.Scheme, to.URL.Scheme)
	}
	return nil
}

func (f *fetcher) get(ctx context.Context, at string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	req.Header.Set("User-Agent", "gatehouse")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxResponse {
		return nil, fmt.Errorf("%s answers more than %d bytes", at, maxResponse)
	}
	return body, nil
}

// discover gets the keys that the issuer's own document names (OpenID Connect
// Discovery 1.0, section 4). The document must be about this issuer, to the
// letter, and its keys are taken over TLS, unless the issuer itself is not.
func (f *fetcher) discover(ctx context.Context, issuer string) ([]byte, error) {
	at := strings.TrimSuffix(issuer, "/") + discoveryPath
	body, err := f.get(ctx, at)
	if err != nil {
		return nil, err
	}
	doc, err := parseObject(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if doc["issuer"] != issuer {
		return nil, fmt.Errorf("%s is about the issuer %v and not %s", at, doc["issuer"], issuer)
	}
	keys, _ := doc["jwks_uri"].(string)
	u, err := url.Parse(keys)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !strings.HasPrefix(issuer, "http:")) {
		return nil, fmt.Errorf("%s: jwks_uri %q is not an https URL", at, keys)
	}
	return f.get(ctx, keys)
}

// checkURL wants an absolute URL of HTTP.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not a URL: want one like \"https://issuer.example\"", s)
	case u.User != nil || u.Fragment != "":
		return errors.New("a URL with a user or a fragment cannot be fetched")
	}
	return nil
}
