package ike

import (
	"net/netip"
	"runtime"
	"testing"

	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// mostPerHalfOpen bounds the memory of a half-open IKE SA, in bytes, with a request of 208 octets
// and an elliptic curve. EngineLimits.MaxHalfOpen bounds their number, so that all take 20 MB.
const mostPerHalfOpen = 5400

// TestMemoryOfHalfOpen has strangers begin IKE SAs that they do not authenticate.
func TestMemoryOfHalfOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of IKE SAs")
	}
	const n = 2000
	c := newCrowd(t)
	c.right.cfg.KE = suite.SystemGroups{}
	c.right.cfg.Limits.CookieThreshold, c.right.cfg.Limits.MaxHalfOpen = 1<<20, 1<<20
	c.handle(c.right, SetPeers{Peers: crowdPeers(false, 1)})
	ke, err := suite.SystemGroups{}.New(wire.GroupX25519)
	if err != nil {
		t.Fatal(err)
	}
	var size int
	begin := func(from, to int) {
		for i := from; i < to; i++ {
			p := testIKEProposal
			p.Number = 1
			nonce := make([]byte, 32)
			nonce[0], nonce[1] = byte(i), byte(i>>8)
			m := wire.Message{Header: wire.Header{InitiatorSPI: wire.SPI(i + 1), MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true}, Payloads: []wire.Payload{
				&wire.SA{Proposals: []wire.Proposal{p}}, &wire.KE{Group: wire.GroupX25519, Data: ke.Public()}, &wire.Nonce{Data: nonce},
				&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: make([]byte, 20)}, &wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: make([]byte, 20)},
				&wire.Notify{Kind: wire.FragmentationSupported}}}
			data := m.AppendTo(nil)
			size = len(data)
			path := ipsec.UDPPath(netip.AddrPortFrom(crowdRight, 500), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 500))
			c.one(c.right, Datagram{Path: path, Data: data})
			c.wire = nil
		}
	}
	begin(0, 100)
	before := heapInUse()
	begin(100, 100+n)
	got := (heapInUse() - before) / n
	t.Logf("%d bytes for each half-open IKE SA, begun by a request of %d octets", got, size)
	if open := c.right.sas.halfOpen.Count(); open != 100+n || got > mostPerHalfOpen {
		t.Errorf("%d half-open IKE SAs take %d bytes each, want at most %d", open, got, mostPerHalfOpen)
	}
	runtime.KeepAlive(c)
}
