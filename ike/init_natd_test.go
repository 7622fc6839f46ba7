package ike

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// The digests were computed with sha1sum over the octets that RFC 7296, Section 2.23, lists.
func TestNATHash(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"192.0.2.1:500", natdV4},
		{"[::ffff:192.0.2.1]:500", natdV4},
		{"[2001:db8::1]:4500", natdV6},
	} {
		got := hex.EncodeToString(natHash(0x0123456789abcdef, 0, ipsec.UDPPath(netip.MustParseAddrPort(c.addr), netip.AddrPort{}).Local()))
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.addr, got, c.want)
		}
	}
}

const (
	natdV4 = "9426429034924268452f8e3ff79fb69e2a8d71eb"
	natdV6 = "3171550555febfcaa96bf57ef38afe1449b1b00f"
)

func TestDetectNAT(t *testing.T) {
	local, remote := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	other := netip.MustParseAddrPort("10.0.0.1:500")
	const i, r = wire.SPI(1), wire.SPI(2)
	notify := func(kind wire.NotifyType, data []byte) wire.Payload { return &wire.Notify{Kind: kind, Data: data} }
	src := func(a netip.AddrPort) wire.Payload { return notify(wire.NATDetectionSourceIP, natHash(i, r, a)) }
	dst := func(a netip.AddrPort) wire.Payload { return notify(wire.NATDetectionDestinationIP, natHash(i, r, a)) }
	for _, c := range []struct {
		what      string
		ps        []wire.Payload
		want      NATState
		supported bool
	}{
		{"none", []wire.Payload{src(remote), dst(local)}, NATState{}, true},
		{"the peer", []wire.Payload{src(other), dst(local)}, NATState{Remote: true}, true},
		{"we", []wire.Payload{src(remote), dst(other)}, NATState{Local: true}, true},
		{"both", []wire.Payload{src(other), dst(other)}, NATState{Local: true, Remote: true}, true},
		{"one of several sources", []wire.Payload{src(other), src(remote), dst(local)}, NATState{}, true},
		{"none of several sources", []wire.Payload{src(other), src(local), dst(local)}, NATState{Remote: true}, true},
		{"the wrong way round", []wire.Payload{src(local), dst(remote)}, NATState{Local: true, Remote: true}, true},
		{"a false hash", []wire.Payload{notify(wire.NATDetectionSourceIP, falseNATHash(i, r)), dst(local)}, NATState{Remote: true}, true},
		{"short hashes", []wire.Payload{notify(wire.NATDetectionSourceIP, nil), notify(wire.NATDetectionDestinationIP, []byte{1})}, NATState{Local: true, Remote: true}, true},
		{"not supported", []wire.Payload{&wire.Nonce{}}, NATState{}, false},
		{"source only", []wire.Payload{src(remote)}, NATState{}, false},
	} {
		got, supported := detectNAT(c.ps, i, r, ipsec.UDPPath(local, remote))
		if got != c.want || supported != c.supported {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.what, got, supported, c.want, c.supported)
		}
	}
}
