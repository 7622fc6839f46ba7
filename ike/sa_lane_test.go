package ike

import (
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
)

// TestRemoteLane: what the kernel may take for one flow has one lane, at the ports of IKE and ESP
// alike; what a NAT tells apart by ports has others.
func TestRemoteLane(t *testing.T) {
	s := &ikeSA{e: &Engine{cfg: Config{IKEPort: 500, NATPort: 4500}}}
	lane := func(path func(local, remote netip.AddrPort) ipsec.Path, remote string) uint32 {
		s.net = network{sa: s, Path: path(netip.MustParseAddrPort("192.0.2.9:500"), netip.MustParseAddrPort(remote))}
		return s.lane()
	}
	seen := map[uint32]string{}
	for _, host := range []string{"192.0.2.1", "192.0.2.2", "[2001:db8::1]", "[2001:db8::2]"} {
		one := lane(ipsec.UDPPath, host+":500")
		if lane(ipsec.NATPath, host+":4500") != one || lane(ipsec.NATPath, host+":500") != one {
			t.Errorf("%s has several lanes", host)
		}
		if got := s.lane(); got != one {
			t.Errorf("%s: lane %d, and then %d", host, one, got)
		}
		for _, port := range []string{":500", ":1024", ":1025", ":4501"} {
			l := lane(ipsec.NATPath, host+port)
			if l == 0 || seen[l] != "" {
				t.Errorf("%s%s has lane %d, as %q", host, port, l, seen[l])
			}
			seen[l] = host + port
		}
	}
}

// TestLaneIsKept: the SAs of a peer have the lane of its others, wherever it has gone since.
func TestLaneIsKept(t *testing.T) {
	e := &Engine{cfg: Config{IKEPort: 500, NATPort: 4500}}
	p := &party{}
	at := func(remote string) *ikeSA {
		s := &ikeSA{e: e, party: p}
		s.net = network{sa: s, Path: ipsec.NATPath(netip.AddrPort{}, netip.MustParseAddrPort(remote))}
		p.sas = append(p.sas, s)
		return s
	}
	first := at("192.0.2.1:4500")
	lane := first.lane()
	first.net.Path = ipsec.NATPath(netip.AddrPort{}, netip.MustParseAddrPort("198.51.100.1:4500"))
	if got := first.lane(); got != lane {
		t.Errorf("a peer that moved: lane %d, was %d", got, lane)
	}
	second := at("198.51.100.1:4500")
	if got := second.lane(); got != lane {
		t.Errorf("its next IKE SA: lane %d, was %d", got, lane)
	}
	p.sas = p.sas[1:]
	successor := &ikeSA{e: e}
	successor.net.sa = successor
	successor.net.inherit(&second.net)
	if got := successor.lane(); got != lane {
		t.Errorf("a rekeyed IKE SA: lane %d, was %d", got, lane)
	}
}
