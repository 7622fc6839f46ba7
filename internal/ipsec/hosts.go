package ipsec

import "net/netip"

// Hosts are the two ends of a Child SA pair in transport mode (RFC 4301, Section 4.1): the source
// and the destination of all its packets. A zero Hosts means tunnel mode.
//
// A NAT gives a host another address on its other side, and the peer makes the checksums of TCP and
// UDP with the addresses that it sees (RFC 7296, Section 2.23.1; RFC 3948, Section 3.1.2).
type Hosts struct {
	Local, Remote         netip.Addr // as this host sees them: the only addresses of the selectors
	SeenLocal, SeenRemote netip.Addr // the same two hosts as the peer sees them
}

// Transport reports whether the pair is in transport mode.
func (h *Hosts) Transport() bool { return h.Local.IsValid() }
