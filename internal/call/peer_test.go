package call_test

import (
	"testing"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	for peer, want := range map[string]struct{ text, first string }{
		"192.0.2.1:80":              {"192.0.2.1", "192.0.2.1"},
		"[::ffff:192.0.2.1]:80":     {"192.0.2.1", "192.0.2.1"},
		"[2001:db8:1:2:3:4:5:6]:80": {"2001:db8:1:2::/64", "2001:db8:1:2::"},
		"[fe80::1%eth0]:80":         {"fe80::/64", "fe80::"},
		"@":                         {"", "invalid IP"}, // a unix socket
	} {
		c := &call.Call{Peer: peer}
		if got := string(call.AppendNetwork(nil, call.Network(c.PeerIP()))); got != want.text {
			t.Errorf("network of %s = %q, want %q", peer, got, want.text)
		}
		if got := c.PeerNetwork().String(); got != want.first {
			t.Errorf("PeerNetwork of %s = %q, want %q", peer, got, want.first)
		}
	}
}
