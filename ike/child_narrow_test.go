package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/selector"
)

// narrowed counts the notices about less than was asked.
func (s *testSide) narrowed() (n int) {
	for _, e := range s.notices {
		if e.Event == "child-narrowed" {
			n++
		}
	}
	return n
}

// TestNarrowed: where one side's networks are less than the other's, the other says so once, in
// either role, shows both sets, and is told at once that no SA will come for a packet outside.
func TestNarrowed(t *testing.T) {
	for name, c := range map[string]struct {
		asked, granted string
		inside         string
		outside        string
		starts         func(*testPair) *testSide
	}{
		"initiator, IPv4": {"10.2.0.0/16", "10.2.0.0/24", "10.2.0.9", "10.2.1.9", func(p *testPair) *testSide { return p.left }},
		"responder, IPv4": {"10.2.0.0/16", "10.2.0.0/24", "10.2.0.9", "10.2.1.9", func(p *testPair) *testSide { return p.right }},
		"initiator, IPv6": {"2001:db8:2::/48", "2001:db8:2::/64", "2001:db8:2::9", "2001:db8:2:1::9", func(p *testPair) *testSide { return p.left }},
		"responder, IPv6": {"2001:db8:2::/48", "2001:db8:2::/64", "2001:db8:2::9", "2001:db8:2:1::9", func(p *testPair) *testSide { return p.right }},
	} {
		for mode, does := range map[NarrowMode]string{NarrowTraffic: "traffic", NarrowPeer: "peer"} {
			t.Run(name+", narrow = "+does, func(t *testing.T) {
				local := "10.1.0.0/16"
				if strings.Contains(c.asked, ":") {
					local = "2001:db8:1::/48"
				}
				p := newPair(t, 1, func(p *testPair) {
					l, r := &p.left.peers[0].Children[0], &p.right.peers[0].Children[0]
					l.Local, l.Remote = testNetworks(local), testNetworks(c.asked)
					r.Local, r.Remote = testNetworks(c.granted), testNetworks(local)
					l.Narrow = mode
				})
				side := c.starts(p)
				ref := side.connect("lan")
				p.drive(2 * time.Second)
				p.wantDone(side, ref, "")
				p.wantTunnel()
				if text := p.wantNotice(p.left, "child-narrowed").Text; !strings.Contains(text, c.asked) || !strings.Contains(text, c.granted) {
					t.Errorf("the notice does not name both sets: %s", text)
				}
				if p.right.narrowed() != 0 {
					t.Error("the side that has all of its networks complains")
				}
				st := p.left.e.Status()[0].Children[0]
				if !st.Narrow || !selector.Equal(st.AskedRemote, testNetworks(c.asked)) || !selector.Equal(st.RemoteTS, testNetworks(c.granted)) {
					t.Errorf("status: narrow %v, asked %v, granted %v", st.Narrow, st.AskedRemote, st.RemoteTS)
				}
				if p.right.e.Status()[0].Children[0].Narrow {
					t.Error("the other side's status is narrow, too")
				}
				flow := p.left.flow(p.left.policy("lan"))
				for addr, failed := range map[string]int{c.inside: 0, c.outside: 1} {
					before := p.left.failed[p.left.policy("lan")]
					p.drive(2 * time.Minute) // no back-off holds
					flow.Dst = testNetworks(addr + "/" + map[bool]string{true: "128", false: "32"}[strings.Contains(addr, ":")])[0].Start
					p.left.handle(Acquire{Policy: p.left.policy("lan"), Flow: flow})
					if mode == NarrowTraffic {
						p.drive(3 * testRTT) // the peer is asked
					}
					if n := p.left.failed[p.left.policy("lan")] - before; n != failed {
						t.Errorf("a packet to %s: %d answers that no SA comes, want %d", addr, n, failed)
					}
				}
				for _, s := range []*testSide{p.left, p.right} {
					ref := s.rekey("lan")
					p.drive(30 * time.Second)
					p.wantDone(s, ref, "")
				}
				p.wantTunnel()
				if p.left.narrowed() != 1 {
					t.Errorf("%d notices after rekeyings, want 1", p.left.narrowed())
				}
				p.left.disconnect("")
				p.drive(10 * time.Second)
				side.connect("lan")
				p.drive(2 * time.Second)
				p.wantTunnel()
				if p.left.narrowed() != 1 {
					t.Errorf("%d notices after it came up again as before, want 1", p.left.narrowed())
				}
			})
		}
	}
}
