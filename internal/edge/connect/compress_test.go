package connect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-dev/gatehouse/test/edgetest"
	"github.com/gatehouse-dev/gatehouse/test/gatewaytest"
)

// TestCompressedAnswers: an answer is compressed for clients that accept it, if it is not
// so small that nothing is won.
func TestCompressedAnswers(t *testing.T) {
	t.Parallel()
	g := gatewaytest.Start(t, gatewaytest.Config(gatewaytest.Backend(t, edgetest.FourKinds)))
	client := gatewaytest.Client(t, func(tr *http.Transport) { tr.DisableCompression = true })
	for _, tt := range []struct {
		what       string
		size       int
		accept     string
		compressed bool
	}{
		{"small", 10, "gzip", false},
		{"large", 10_000, "gzip", true},
		{"large, not asked for", 10_000, "identity", false},
	} {
		body := `{"name":"` + strings.Repeat("x", tt.size) + `"}`
		got := gatewaytest.Do(t, client, g.Request(t, "POST", edgetest.GetProduct, body, asJSON, "Accept-Encoding: "+tt.accept))
		if zipped := strings.HasPrefix(got.Text, "\x1f\x8b"); zipped != tt.compressed || zipped != (got.Header.Get("Content-Encoding") == "gzip") {
			t.Errorf("%s: got %d bytes, compressed: %v, want %v, header %q", tt.what, len(got.Text), zipped, tt.compressed, got.Header.Get("Content-Encoding"))
		}
	}
}
