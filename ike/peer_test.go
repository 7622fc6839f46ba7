package ike

import (
	"net/netip"
	"testing"
)

// All parties of a profile are its own one, then the members; who looks may stop.
func TestAllParties(t *testing.T) {
	own, a, b := &party{}, &party{}, &party{}
	p := &profile{party: own, members: members{list: []*party{a, b}}}
	var got []*party
	for q := range p.all() {
		got = append(got, q)
		if q == a {
			break
		}
	}
	if len(got) != 2 || got[0] != own || got[1] != a {
		t.Errorf("got %v", got)
	}
}

// Settings that are left out take their defaults; what is given stays, and is kept as given.
func TestSettingsThatAreLeftOut(t *testing.T) {
	e := New(Config{}, epoch)
	for _, tt := range []struct {
		given       Peer
		port, natt  uint16
		mayConnect  bool
		description string
	}{
		{Peer{}, 500, 4500, false, "nothing"},
		{Peer{Remote: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, 500, 4500, true, "an address"},
		{Peer{RemotePort: 4500}, 4500, 4500, false, "a port"},
		{Peer{RemoteNATPort: 7}, 500, 7, false, "a NAT port"},
	} {
		p := e.newProfile(tt.given)
		if p.cfg.RemotePort != tt.port || p.cfg.RemoteNATPort != tt.natt || p.canConnect() != tt.mayConnect {
			t.Errorf("%s: ports %d and %d, may connect: %v", tt.description, p.cfg.RemotePort, p.cfg.RemoteNATPort, p.canConnect())
		}
		if p.given.RemotePort != tt.given.RemotePort || p.given.RemoteNATPort != tt.given.RemoteNATPort {
			t.Errorf("%s: given were ports %d and %d", tt.description, p.given.RemotePort, p.given.RemoteNATPort)
		}
	}
}
