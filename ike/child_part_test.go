package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/selector"
)

// flowTo returns a packet of a child to, or at the right from, an address of the right's.
func (s *testSide) flowTo(child, dst string) selector.Flow {
	flow := s.flow(s.policy(child))
	if s.name == "right" {
		flow.Src = netip.MustParseAddr(dst)
		flow.SrcPort, flow.DstPort = flow.DstPort, flow.SrcPort
	} else {
		flow.Dst = netip.MustParseAddr(dst)
	}
	return flow
}

// carrier returns the SA that carries a flow of a child: the newest that is sent on, or nil.
func (s *testSide) carrier(child string, flow selector.Flow) *planeSA {
	var best *planeSA
	for _, psa := range s.plane.ofPolicy(s.policy(child)) {
		if psa.sends && selector.MatchOutbound(&flow, psa.sa.LocalTS, psa.sa.RemoteTS) {
			best = psa
		}
	}
	return best
}

// sendTo sends a packet on the SA that carries it, or asks for one.
func (s *testSide) sendTo(child, dst string) {
	flow := s.flowTo(child, dst)
	if psa := s.carrier(child, flow); psa != nil {
		s.plane.sendOn(psa)
		return
	}
	s.handle(Acquire{Policy: s.policy(child), Flow: flow})
}

// creates counts the left's CREATE_CHILD_SA requests.
func (p *testPair) creates() int { return p.left.sentRequests[wire.CreateChildSA] }

// parted returns two sides of which the left has one child for all of the right's networks, and the
// right one for each.
func parted(t *testing.T, edit func(p *testPair), networks ...string) *testPair {
	return newPair(t, 1, func(p *testPair) {
		local, whole := "10.1.0.0/16", "10.2.0.0/16"
		if strings.Contains(networks[0], ":") {
			local, whole = "2001:db8:1::/48", "2001:db8:2::/48"
		}
		l := &p.left.peers[0].Children[0]
		l.Local, l.Remote = testNetworks(local), testNetworks(whole)
		p.right.peers[0].Children = nil
		for i, n := range networks {
			c := testChild(p.right, fmt.Sprintf("part%d", i), i)
			c.Local, c.Remote = testNetworks(n), testNetworks(local)
			p.right.peers[0].Children = append(p.right.peers[0].Children, c)
		}
		if edit != nil {
			edit(p)
		}
	})
}

// wantCarried checks that both sides send to each other by the same SAs, one for each child of the
// right's, and that nothing was lost.
func (p *testPair) wantCarried(dsts ...string) {
	p.t.Helper()
	for i, dst := range dsts {
		name := fmt.Sprintf("part%d", i)
		l, r := p.left.carrier("lan", p.left.flowTo("lan", dst)), p.right.carrier(name, p.right.flowTo(name, dst))
		if l == nil || r == nil || l.sa.SPIOut != r.sa.SPIIn || r.sa.SPIOut != l.sa.SPIIn {
			p.fatalf("%s: left sends by %+v, right by %+v", dst, l, r)
		}
		p.left.sendTo("lan", dst)
		p.right.sendTo(name, dst)
	}
	p.drive(testRTT)
	p.wantNoLoss()
	p.wantSound()
}

// TestTheRestFollows: a tunnel that the peer narrows gets a further Child SA for what a packet
// needs and no other carries. Each lives by itself: rekeyings of either side, of the IKE SA as
// well, and deletions lose nothing and leave the others alone.
func TestTheRestFollows(t *testing.T) {
	for name, nets := range map[string][4]string{
		"IPv4": {"10.2.0.0/24", "10.2.1.0/24", "10.2.0.9", "10.2.1.9"},
		"IPv6": {"2001:db8:2::/64", "2001:db8:2:1::/64", "2001:db8:2::9", "2001:db8:2:1::9"},
	} {
		t.Run(name, func(t *testing.T) {
			p := parted(t, nil, nets[:2]...)
			p.left.sendTo("lan", nets[2])
			p.drive(2 * time.Second)
			p.left.sendTo("lan", nets[3])
			p.drive(time.Second)
			both := nets[2:]
			p.wantCarried(both...)
			if st := p.left.e.Status()[0].Children[0]; len(st.Parts) != 1 || !selector.Equal(st.Parts[0].RemoteTS, testNetworks(nets[1])) || !selector.Equal(st.RemoteTS, testNetworks(nets[0])) {
				t.Errorf("status: %v, parts %+v", st.RemoteTS, st.Parts)
			}
			if p.left.narrowed() != 1 {
				t.Errorf("%d notices that the peer granted less", p.left.narrowed())
			}
			was := p.left.e.Status()[0].Children[0]
			ref := p.left.rekey("lan")
			p.drive(time.Second)
			p.wantDone(p.left, ref, "")
			now := p.left.e.Status()[0].Children[0]
			if now.SPIIn == was.SPIIn || len(now.Parts) != 1 || now.Parts[0].SPIIn == was.Parts[0].SPIIn {
				t.Errorf("after a rekeying of both: %+v, before: %+v", now, was)
			}
			p.wantCarried(both...)
			ref = p.right.rekey("part1")
			p.drive(time.Second)
			p.wantDone(p.right, ref, "")
			was, now = now, p.left.e.Status()[0].Children[0]
			if now.SPIIn != was.SPIIn || len(now.Parts) != 1 || now.Parts[0].SPIIn == was.Parts[0].SPIIn {
				t.Errorf("after the peer's rekeying of the part: %+v, before: %+v", now, was)
			}
			p.wantCarried(both...)
			ref = p.left.rekey("")
			p.drive(time.Second)
			p.wantDone(p.left, ref, "")
			p.wantCarried(both...)
			p.right.disconnect("part0") // the main one's
			p.drive(10 * time.Second)
			if st := p.left.e.Status()[0].Children[0]; st.State != ChildInstalled || len(st.Parts) != 0 || !selector.Equal(st.RemoteTS, testNetworks(nets[1])) {
				t.Errorf("after the peer deleted the first: %+v", st)
			}
			p.left.sendTo("lan", nets[3])
			p.left.sendTo("lan", nets[2])
			p.drive(time.Second)
			p.wantCarried(both...)
			ref = p.left.disconnect("lan")
			p.drive(10 * time.Second)
			p.wantDone(p.left, ref, "")
			if n := len(p.left.plane.sas) + len(p.right.plane.sas); n != 0 {
				t.Errorf("%d SAs are left", n)
			}
			p.wantSound()
		})
	}
}

// TestThePeerAsksForParts: the peer asks for several Child SAs, of which each has a part of our
// policy. All are sent on, and each is replaced by its own successor.
func TestThePeerAsksForParts(t *testing.T) {
	dsts := []string{"10.2.0.9", "10.2.1.9", "10.2.2.9"}
	p := parted(t, nil, "10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24")
	for _, c := range p.right.peers[0].Children {
		p.right.connect(c.Name)
		p.drive(2 * time.Second)
	}
	p.wantCarried(dsts...)
	for range 2 {
		for _, s := range []*testSide{p.left, p.right} {
			for _, c := range s.peers[0].Children {
				ref := s.rekey(c.Name)
				p.drive(2 * time.Second)
				p.wantDone(s, ref, "")
				p.wantCarried(dsts...)
			}
		}
	}
	p.drive(10 * time.Second)
	if st := p.left.e.Status()[0].Children[0]; len(st.Parts) != 2 || len(p.left.plane.sas) != 3 {
		t.Errorf("%d parts, %d SAs", len(st.Parts), len(p.left.plane.sas))
	}
	p.right.disconnect("part0")
	p.drive(10 * time.Second)
	if p.left.carrier("lan", p.left.flowTo("lan", dsts[2])) == nil {
		t.Error("the end of one Child SA ended another")
	}
}

// TestFirstPacketIsNotTheTunnel: a peer that narrows to the ports of the first packet grants the
// rest to the next one.
func TestFirstPacketIsNotTheTunnel(t *testing.T) {
	p := parted(t, func(p *testPair) {
		first := &p.right.peers[0].Children[0]
		first.Local[0].Protocol, first.Local[0].StartPort, first.Local[0].EndPort = 17, 2000, 2000
	}, "10.2.0.5/32", "10.2.7.0/24")
	p.left.sendTo("lan", "10.2.0.5")
	p.drive(2 * time.Second)
	if st := p.left.e.Status()[0].Children[0]; len(st.RemoteTS) != 1 || st.RemoteTS[0].EndPort != 2000 || !st.Narrow {
		t.Fatalf("the peer granted %v", st.RemoteTS)
	}
	p.left.sendTo("lan", "10.2.7.7")
	p.drive(time.Second)
	p.wantCarried("10.2.0.5", "10.2.7.7")
}

// TestPartsThatThePeerRefuses: a peer that does not have what a packet needs may grant what else it
// has, which is kept. Requests then become rare, packets are answered at once, and what stands
// stays. A success ends the back-off.
func TestPartsThatThePeerRefuses(t *testing.T) {
	p := parted(t, nil, "10.2.0.0/24", "10.2.1.0/24")
	p.left.sendTo("lan", "10.2.0.9")
	p.drive(2 * time.Second)
	const seconds = 120
	for i := range seconds {
		failed := p.left.failed[p.left.policy("lan")]
		p.left.sendTo("lan", "10.2.9.9")
		p.drive(time.Second)
		if n := p.left.failed[p.left.policy("lan")] - failed; n != 1 {
			p.fatalf("packet %d: %d answers, want 1", i, n)
		}
	}
	if n := p.creates(); n < 3 || n > 8 {
		t.Errorf("%d requests in %d s", n, seconds)
	}
	p.wantCarried("10.2.0.9", "10.2.1.9")
	more := p.right.peers[0]
	c := testChild(p.right, "part2", 2)
	c.Local, c.Remote = testNetworks("10.2.9.0/24"), testNetworks("10.1.0.0/16")
	more.Children = append(slices.Clone(more.Children), c)
	p.right.reload(more, false)
	p.drive(2 * time.Minute)
	p.left.sendTo("lan", "10.2.9.9")
	p.drive(time.Second)
	p.wantCarried("10.2.0.9", "10.2.1.9", "10.2.9.9")
	p.left.sendTo("lan", "10.2.8.8") // the success has reset the back-off
	p.drive(time.Second)
	before := p.creates()
	p.drive(3 * time.Second)
	p.left.sendTo("lan", "10.2.8.8")
	p.drive(time.Second)
	if n := p.creates() - before; n != 1 {
		t.Errorf("%d requests 4 s after the first refusal, want 1", n)
	}
}

// TestBothAskForParts: the first requests of both sides cross, and are granted different parts.
// Both are sent on, and each is rekeyed by itself.
func TestBothAskForParts(t *testing.T) {
	p := parted(t, nil, "10.2.0.0/24", "10.2.1.0/24")
	p.left.sendTo("lan", "10.2.0.9")
	p.drive(2 * time.Second)
	p.left.disconnect("lan")
	p.drive(10 * time.Second)
	p.left.sendTo("lan", "10.2.1.9")
	p.right.connect("part0")
	p.drive(2 * time.Second)
	p.wantCarried("10.2.0.9", "10.2.1.9")
	if st := p.left.e.Status()[0].Children[0]; len(st.Parts) != 1 || len(p.left.plane.sas) != 2 {
		t.Errorf("%d parts, %d SAs", len(st.Parts), len(p.left.plane.sas))
	}
	for _, s := range []*testSide{p.left, p.right} {
		for _, c := range s.peers[0].Children {
			ref := s.rekey(c.Name)
			p.drive(2 * time.Second)
			p.wantDone(s, ref, "")
			p.wantCarried("10.2.0.9", "10.2.1.9")
		}
	}
}

// TestPartsLeaveRoom: parts have no more than half of the Child SAs of an IKE SA.
func TestPartsLeaveRoom(t *testing.T) {
	hosts := []string{"10.2.0.1/32", "10.2.0.2/32", "10.2.0.3/32", "10.2.0.4/32"}
	p := parted(t, func(p *testPair) { p.left.config.Limits.MaxChildren = 4 }, hosts...)
	for _, h := range hosts {
		p.left.sendTo("lan", strings.TrimSuffix(h, "/32"))
		p.drive(2 * time.Minute)
	}
	if n := len(p.left.plane.sas); n != 2 {
		t.Errorf("%d SAs, want 2", n)
	}
}

// TestPartsAreBounded: a peer that narrows everything to single hosts has a bounded number of Child
// SAs, and what exceeds it is refused.
func TestPartsAreBounded(t *testing.T) {
	var hosts []string
	for i := range 40 {
		hosts = append(hosts, fmt.Sprintf("10.2.0.%d/32", i+1))
	}
	p := parted(t, nil, hosts...)
	for _, h := range hosts {
		p.left.sendTo("lan", strings.TrimSuffix(h, "/32"))
		p.drive(2 * time.Second)
	}
	if n := len(p.left.plane.sas); n != 33 || p.left.failed[p.left.policy("lan")] != 7 {
		t.Errorf("%d SAs, %d refused; want 33 and 7", n, p.left.failed[p.left.policy("lan")])
	}
	p.wantSound()
}

// TestUnusedPartIsNotRekeyed: a part that carried nothing ends with its lifetime.
func TestUnusedPartIsNotRekeyed(t *testing.T) {
	p := parted(t, func(p *testPair) { p.left.peers[0].Children[0].Lifetime = time.Minute }, "10.2.0.0/24", "10.2.1.0/24")
	p.left.sendTo("lan", "10.2.0.9")
	p.drive(2 * time.Second)
	p.left.sendTo("lan", "10.2.1.9")
	p.drive(70 * time.Second)
	if st := p.left.e.Status()[0].Children[0]; st.Rekeys != 1 || len(st.Parts) != 0 || st.State != ChildInstalled {
		t.Errorf("%d rekeyings, parts %+v", st.Rekeys, st.Parts)
	}
}

// TestPartsOverAReauthentication: a new IKE SA gets all parts before the old one is deleted,
// although the first of them that the peer grants there is another one.
func TestPartsOverAReauthentication(t *testing.T) {
	dsts := []string{"10.2.0.9", "10.2.1.9", "10.2.2.9"}
	for first := range dsts {
		p := parted(t, func(p *testPair) { p.left.peers[0].AuthLifetime = 10 * time.Minute }, "10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24")
		for i := range dsts {
			p.left.sendTo("lan", dsts[(first+i)%len(dsts)])
			p.drive(2 * time.Second)
		}
		p.wantCarried(dsts...)
		for range 20 * 60 * 5 { // two lives of an authentication
			for i, dst := range dsts {
				name := fmt.Sprintf("part%d", i)
				if p.left.carrier("lan", p.left.flowTo("lan", dst)) == nil || p.right.carrier(name, p.right.flowTo(name, dst)) == nil {
					p.fatalf("nothing carries %s", dst)
				}
				p.left.sendTo("lan", dst)
				p.right.sendTo(name, dst)
			}
			p.drive(200 * time.Millisecond)
		}
		p.wantCarried(dsts...)
		if n := p.left.requests(wire.IKESAInit); n != 3 {
			t.Errorf("%d IKE SAs, want 3", n)
		}
		if st := p.left.e.Status()[0].Children[0]; len(st.Parts) != 2 || len(p.left.plane.sas) != 3 {
			t.Errorf("%d parts, %d SAs", len(st.Parts), len(p.left.plane.sas))
		}
	}
}

// TestRefusedPartOverAReauthentication: a part that the peer refuses on the new IKE SA is asked for
// there once, and does not keep the old one.
func TestRefusedPartOverAReauthentication(t *testing.T) {
	p := parted(t, func(p *testPair) { p.left.peers[0].AuthLifetime = 10 * time.Minute }, "10.2.0.0/24", "10.2.1.0/24")
	p.left.sendTo("lan", "10.2.0.9")
	p.drive(2 * time.Second)
	p.left.sendTo("lan", "10.2.1.9")
	p.drive(2 * time.Second)
	before := p.creates()
	p.right.e.peers.order[0].party.policies[1].Settings.Remote = testNetworks("10.3.0.0/16") // what it has stays
	p.drive(11 * time.Minute)
	if n := p.creates() - before; n != 1 || p.left.requests(wire.IKESAInit) != 2 || len(p.left.e.sas.bySPI) != 1 {
		t.Errorf("%d requests, %d IKE SAs", n, len(p.left.e.sas.bySPI))
	}
	p.wantCarried("10.2.0.9")
}
