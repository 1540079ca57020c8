package call

import "net/netip"

// PeerIP is the client's address, as believed, without a port; the zero Addr if
// it is none, as on a unix socket.
func (c *Call) PeerIP() netip.Addr { return Address(c.Peer) }

// PeerNetwork is the first address of the [Network] of PeerIP.
func (c *Call) PeerNetwork() netip.Addr { return Network(c.PeerIP()).Addr() }

// networkBits are those of an IPv6 address that tell one customer from another (RFC
// 4291, section 2.5.1).
const networkBits = 64

// Network is the part of an address that stands for one client: an IPv4 address,
// and of IPv6, of which everybody has many, the first 64 bits. That of the zero
// Addr is the zero Prefix.
func Network(ip netip.Addr) netip.Prefix {
	bits := ip.BitLen()
	if ip.Is6() {
		bits = networkBits
	}
	network, _ := ip.Prefix(bits) // fails for lengths that no address has
	return network
}

// AppendNetwork appends a [Network] as text: an IPv4 address, an IPv6 prefix, or
// nothing for the zero one.
func AppendNetwork(b []byte, network netip.Prefix) []byte {
	switch {
	case !network.IsValid():
		return b
	case network.IsSingleIP():
		return network.Addr().AppendTo(b)
	default:
		return network.AppendTo(b)
	}
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
