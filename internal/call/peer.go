package call

import "net/netip"

// PeerIP is the client's address, as believed, without a port; the zero Addr if
// it is none, as on a unix socket.
func (c *Call) PeerIP() netip.Addr { return Address(c.Peer) }

// networkBits are those of an IPv6 address that tell one customer from another (RFC
// 4291, section 2.5.1).
const networkBits = 64

// PeerNetwork is the part of PeerIP that stands for one client: the address, or of
// IPv6, of which everybody has many, its first 64 bits.
func (c *Call) PeerNetwork() netip.Addr {
	ip := c.PeerIP()
	if !ip.Is6() {
		return ip
	}
	network, _ := ip.Prefix(networkBits) // fails for lengths that no address has
	return network.Addr()
}

// Address reads an IP address with or without a port, an IPv6 one with or without
// brackets; the zero Addr if text is none. An IPv4-mapped address is the IPv4
// address, and zones are dropped.
func Address(text string) netip.Addr {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if n := len(text); n > 2 && text[0] == '[' && text[n-1] == ']' {
		text = text[1 : n-1]
	}
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap().WithZone("")
}
