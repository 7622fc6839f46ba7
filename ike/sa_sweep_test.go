package ike

import (
	"net/netip"
	"testing"
	"time"
)

// The address comes first, and becomes usable or gets a route later, without a notification.
func TestRouteComesLater(t *testing.T) {
	p := roamer(t, nil)
	p.up2()
	was := p.left.e.peers.order[0].party.main()
	p.left.addrs = nil
	p.left.handle(AddressesChanged{})
	p.drive(2 * time.Second)
	p.left.addrs = []netip.Addr{netip.MustParseAddr("192.0.2.101")}
	p.drive(strayMax + time.Second)
	if st := p.right.e.Status()[0]; st.Remote.Addr() != p.left.addrs[0] {
		p.fatalf("right sends to %v", st.Remote)
	}
	p.wantSameIKESA(was)
}

// An address changes under very many IKE SAs: each is looked at and told of, and no Handle looks
// at more than its portion.
func TestRoamingOfVeryMany(t *testing.T) {
	const n = 3*maxLooks + 7
	c := newCrowd(t)
	addr, asked, checked := crowdLeft, 0, 0
	c.left.cfg.LocalAddr = func(netip.Addr) netip.Addr { asked++; return addr }
	c.left.cfg.HasAddr = func(a netip.Addr) bool { checked++; return a == addr }
	c.one(c.left, SetPeers{Peers: crowdPeers(true, n)})
	c.one(c.right, SetPeers{Peers: crowdPeers(false, n)})
	c.later(time.Second)
	c.connectAll(n)
	addr = netip.MustParseAddr("192.0.2.101")
	asked, checked = 0, 0
	c.handle(c.left, AddressesChanged{})
	handles := 1
	for ; !c.left.Deadline().After(c.now); handles++ {
		if asked > maxLooks+1 {
			t.Fatalf("one Handle asks the system %d times", asked)
		}
		asked = 0
		c.handle(c.left, Wake{})
	}
	if checked > 2*handles {
		t.Errorf("two addresses are looked for %d times in %d Handles", checked, handles)
	}
	if least := n / maxLooks; handles < least || handles > least+3 {
		t.Errorf("%d Handles for %d peers", handles, n)
	}
	moved := 0
	for st := range c.right.peers.all() {
		if s := st.party.main(); s != nil && s.net.Remote().Addr() == addr {
			moved++
		}
	}
	if moved != n {
		t.Errorf("%d of %d were told", moved, n)
	}
}

// An address that changes during a sweep is looked for by another one: no IKE SA stays at the
// address of the first.
func TestAddressChangesDuringSweep(t *testing.T) {
	const n = 2*maxLooks + 1
	c := newCrowd(t)
	addr := crowdLeft
	c.left.cfg.LocalAddr = func(netip.Addr) netip.Addr { return addr }
	c.left.cfg.HasAddr = func(a netip.Addr) bool { return a == addr }
	c.one(c.left, SetPeers{Peers: crowdPeers(true, n)})
	c.one(c.right, SetPeers{Peers: crowdPeers(false, n)})
	c.later(time.Second)
	c.connectAll(n)
	addr = netip.MustParseAddr("192.0.2.101")
	c.handle(c.left, AddressesChanged{})
	if at := c.left.Deadline(); at.After(c.now) {
		t.Fatalf("Deadline is %v during a sweep", at)
	}
	addr = netip.MustParseAddr("192.0.2.102")
	c.handle(c.left, AddressesChanged{})
	for !c.left.Deadline().After(c.now) {
		c.handle(c.left, Wake{})
	}
	for p := range c.left.peers.all() {
		if s := p.party.main(); s == nil || s.net.Local().Addr() != addr {
			t.Fatalf("an IKE SA is left behind: %+v", s)
		}
	}
}
