package ike

import (
	"testing"

	"culvert/ike/wire"
)

// The octets of the Vendor ID payload do not change: other versions read them.
func TestAbilitiesOctets(t *testing.T) {
	if got := string(ableUDP.octets()); got != "culvert: abilities 1\x01" || len(abilitiesVendorID) != 20 || ablePorts != 2 {
		t.Errorf("the Vendor ID is %q", got)
	}
	if ps := abilities(0).payload(); ps != nil {
		t.Errorf("without abilities there is %v", ps)
	}
}

// TestAbilitiesIn reads announcements, also longer ones of later versions.
func TestAbilitiesIn(t *testing.T) {
	vendor := func(data string) wire.Payload { return &wire.VendorID{Data: []byte(data)} }
	for _, tt := range []struct {
		what string
		ps   []wire.Payload
		want abilities
	}{
		{"nothing", nil, 0},
		{"ours", []wire.Payload{&wire.Nonce{}, vendor("culvert: abilities 1\x01")}, 1},
		{"beside other vendors", []wire.Payload{vendor(""), vendor("culvert: address update 1"), vendor("culvert: abilities 1\x05")}, 5},
		{"the first of two", []wire.Payload{vendor("culvert: abilities 1\x02"), vendor("culvert: abilities 1\x05")}, 2},
		{"of a later version", []wire.Payload{vendor("culvert: abilities 1\x03and more")}, 3},
		{"cut", []wire.Payload{vendor("culvert: abilities 1")}, 0},
		{"of another kind", []wire.Payload{vendor("culvert: abilities 2\x01"), vendor("Culvert: abilities 1\x01")}, 0},
		{"in a notify", []wire.Payload{&wire.Notify{Data: []byte("culvert: abilities 1\x01")}}, 0},
	} {
		if got := abilitiesIn(tt.ps); got != tt.want {
			t.Errorf("%s: %b, want %b", tt.what, got, tt.want)
		}
	}
}

// What both sides announce is in force, on both, and stays so when the IKE SA is rekeyed.
func TestAbilitiesOfBoth(t *testing.T) {
	for _, tt := range []struct {
		name        string
		left, right EncapMode
		want        abilities
	}{
		{"both", EncapAuto, EncapAuto, ableUDP | ablePorts},
		{"the initiator forbids it", EncapNever, EncapAuto, 0},
		{"the responder forbids it", EncapAuto, EncapNever, 0},
		{"the initiator forces it", EncapAlways, EncapAuto, ablePorts},
		{"the responder forces it", EncapAuto, EncapAlways, ablePorts},
	} {
		p := newPair(t, 1, func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = tt.left, tt.right })
		p.up()
		for range 2 {
			for _, s := range p.sides() {
				if got := s.e.peers.order[0].party.main().net.able; got != tt.want {
					t.Errorf("%s: %s takes %b for agreed, want %b", tt.name, s.name, got, tt.want)
				}
			}
			p.left.rekey("")
			p.drive(5e9)
		}
	}
}
