package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/selector"
)

// The keys of an IKE SA are cleared with it, and unfinished computations find none.
func TestKeysAreForgotten(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	s := p.left.e.peers.order[0].party.main()
	keys := s.keys.keys
	p.left.disconnect("")
	p.drive(lingerDead + 5*time.Second)
	for _, k := range [][]byte{keys.D, keys.Ei, keys.Er, keys.Pi, keys.Pr} {
		if len(k) == 0 || !bytes.Equal(k, make([]byte, len(k))) {
			t.Fatal("a key is still there")
		}
	}
	if _, err := s.seal(wire.Informational, false, 9, nil); err == nil {
		t.Error("an IKE SA that is gone seals")
	}
	if _, err := s.rekeyKeys(s, testIKEProposal, nil, noncePair{}); err == nil {
		t.Error("an IKE SA that is gone has a successor")
	}
	if _, err := s.childSA(testESPProposal, nil, noncePair{}, true); err == nil {
		t.Error("an IKE SA that is gone has a child")
	}
}

// A TS payload counts its selectors in one octet. The selectors of the packet come first, whatever
// the size of the policy.
func TestManySelectors(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			var many []selector.Selector
			for i := range 300 {
				many = append(many, selector.FromPrefix(netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/25", 3+i/256, i%256))))
			}
			c := &s.peers[0].Children[0]
			if s == p.left {
				c.Remote = many
			} else {
				c.Local = many
			}
		}
	})
	p.left.traffic("lan")
	p.drive(3 * time.Second)
	p.left.traffic("lan")
	p.drive(time.Second)
	p.wantTunnel()
}
