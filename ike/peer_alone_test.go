package ike

import (
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// connectAlone gives the command for the IKE SA alone and returns its reference.
func (s *testSide) connectAlone() uint64 {
	ref := s.ref()
	s.handle(Connect{Peer: s.peers[0].Name, Alone: true, Ref: ref})
	return ref
}

// TestConnectAlone: the command brings up the IKE SA and no child, says by what the sides proved
// who they are, and keeps it over rekeyings. Children come up there when they are asked for. A
// second command finds it up.
func TestConnectAlone(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Lifetime, p.left.peers[0].AuthLifetime = time.Minute, 5*time.Minute
	})
	with, without := childrenInAuth(p, p.left)
	ref := p.left.connectAlone()
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.drive(2 * time.Minute)
	again := p.left.connectAlone()
	p.wantDone(p.left, again, "")
	for _, s := range p.sides() {
		st := s.e.Status()[0]
		if st.State != PeerEstablished || st.Auth != (AuthMethods{wire.AuthSharedKey, wire.AuthSharedKey}) || st.LocalID != s.name+".example.com" || st.Children[0].State != ChildWaiting {
			t.Errorf("%s: %+v", s.name, st)
		}
	}
	p.drive(4 * time.Minute) // it ends with the authentication, and is not made again
	if *with != 0 || *without != 1 || p.left.main() != nil {
		t.Errorf("%d requests of IKE_AUTH with a Child SA, %d without", *with, *without)
	}
	p.wantDone(p.left, driven(p, p.left.connectAlone()), "")
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantTunnel()
	p.wantNoLoss()
	p.wantSteadyTraffic(10 * time.Minute) // which is authenticated again
	if *with == 0 {
		t.Error("no IKE SA took the place of the one with a child")
	}
}

// TestConnectAloneRefused: where the peer makes no IKE SA without a Child SA the command says so,
// and leaves nothing. A child that comes to be wanted meanwhile is not refused with it.
func TestConnectAloneRefused(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) { p.right.peers[0].Childless = ChildlessNever })
	ref := p.left.connectAlone()
	p.drive(time.Second)
	p.wantDone(p.left, ref, errAlone.Error())
	if n := len(p.left.e.sas.bySPI) + p.left.requests(wire.IKEAuth); n != 0 {
		t.Errorf("%d IKE SAs and requests of IKE_AUTH", n)
	}
	p.wantReason(p.left, "it does not announce CHILDLESS_IKEV2_SUPPORTED")
	ref = p.left.connectAlone()
	p.left.traffic("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// TestConnectAloneFails: the command ends with the reason where the peer does not answer, refuses
// the proposals or fails to prove who it is, where it is taken down, and where there is nobody to
// connect to. Nothing is tried after that.
func TestConnectAloneFails(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(p *testPair)
		then func(p *testPair)
		want string
	}{
		"silence": {func(p *testPair) { p.link = steadyLink(10 * time.Minute) }, nil, "no answer to IKE_SA_INIT"},
		"proposals": {func(p *testPair) {
			p.right.peers[0].Proposals = []wire.Proposal{withGroup(testIKEProposal, wire.GroupECP384)}
		}, nil, "NO_PROPOSAL_CHOSEN"},
		"secret":    {func(p *testPair) { p.right.peers[0].PSK = []byte("another one") }, nil, "AUTHENTICATION_FAILED"},
		"down":      {nil, func(p *testPair) { p.left.handle(Disconnect{Peer: "right", By: "root"}) }, "taken down by another command"},
		"down once": {nil, func(p *testPair) { p.left.disconnect("") }, "taken down by another command"},
		"stopping":  {nil, func(p *testPair) { p.left.handle(Shutdown{}) }, "stopping"},
		"nobody":    {func(p *testPair) { p.left.peers[0].Remote = nil }, nil, "no remote address is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, c.edit)
			ref := p.left.connectAlone()
			if c.then != nil {
				c.then(p)
			}
			p.drive(2 * time.Minute)
			p.wantDone(p.left, ref, c.want)
			n := p.left.requests(wire.IKESAInit)
			p.drive(5 * time.Minute)
			if p.left.requests(wire.IKESAInit) != n || n > 3 {
				t.Errorf("%d IKE SAs were begun, and %d later", n, p.left.requests(wire.IKESAInit)-n)
			}
		})
	}
}

// TestConnectAloneTriesEachAddress: an address that does not answer is followed by the next.
func TestConnectAloneTriesEachAddress(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		peer := &p.left.peers[0]
		peer.Remote = append(peer.Remote[:0:0], nobody, peer.Remote[0])
	})
	ref := p.left.connectAlone()
	p.drive(time.Minute)
	p.wantDone(p.left, ref, "")
	if said := p.left.saidAll(); !strings.Contains(said, "the next address is tried") {
		t.Errorf("it says %s", said)
	}
}
