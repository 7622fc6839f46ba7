package ike

import "hash/fnv"

// lane returns the number by which the dataplane keeps what the peer sends in one order
// (SPIAllocator), whichever Child SA it sends on: a flow goes on to another SA when one is rekeyed,
// or when the peer makes SAs for its CPUs (RFC 9611). The lane is that of the peer's other IKE SAs,
// wherever the peer has gone since; without any, it is that of all peers at the address and port,
// which UDP encapsulation makes one flow to the kernel.
func (s *ikeSA) lane() uint32 {
	if s.net.lane == 0 && s.party != nil {
		for _, o := range s.party.sas {
			if o.net.lane != 0 {
				s.net.lane = o.net.lane
				break
			}
		}
	}
	if s.net.lane == 0 {
		s.net.lane = s.net.remoteLane()
	}
	return s.net.lane
}

// remoteLane returns the lane of all that comes from the remote address and port; never 0. A peer
// that no NAT hides has one lane for IKE, for ESP in UDP, and for ESP.
func (n *network) remoteLane() uint32 {
	remote := n.Remote()
	port := remote.Port()
	if cfg := &n.sa.e.cfg; port == cfg.IKEPort || port == cfg.NATPort {
		port = 0
	}
	h := fnv.New32a()
	_, _ = h.Write(remote.Addr().WithZone("").AsSlice())
	_, _ = h.Write([]byte{byte(port >> 8), byte(port)})
	return max(h.Sum32(), 1)
}
