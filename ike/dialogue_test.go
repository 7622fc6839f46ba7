package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// The verbs of dialogue tests: commands to a side, messages that it must send, and what the link
// does with them.

// ike and esp proposals of tests.
var (
	testIKEProposal = wire.Proposal{Protocol: wire.ProtoIKE, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 256},
		{Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256},
		{Type: wire.TransformKE, ID: wire.GroupX25519},
	}}
	testESPProposal = wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128},
		{Type: wire.TransformESN, ID: wire.ESNNo},
	}}
)

// withGroup is the proposal with another key exchange method, or, for ESP, with PFS.
func withGroup(p wire.Proposal, group wire.TransformID) wire.Proposal {
	p.Transforms = slices.DeleteFunc(slices.Clone(p.Transforms), func(t wire.Transform) bool { return t.Type == wire.TransformKE })
	p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformKE, ID: group})
	return p
}

func testPSK() []byte { return []byte("correct horse battery staple") }

// defaultPeer is what from knows of to: one child "lan", that waits for traffic.
func defaultPeer(from, to *testSide) Peer {
	return Peer{
		Name: to.name, Remote: []netip.Addr{to.addrs[0]}, Local: from.addrs[0],
		LocalID:   identity.ID{Type: wire.IDFQDN, Data: from.name + ".example.com"},
		RemoteID:  identity.ID{Type: wire.IDFQDN, Data: to.name + ".example.com"},
		PSK:       testPSK(),
		Proposals: []wire.Proposal{testIKEProposal},
		Lifetime:  8 * time.Hour, DPD: 30 * time.Second, Fragment: 1280,
		Children: []Child{testChild(from, "lan", 0)},
	}
}

// testChild is a child with its own networks: 10.1.n.0/24 on the left, 10.2.n.0/24 on the right.
func testChild(of *testSide, name string, n int) Child {
	left := selector.FromPrefix(netip.MustParsePrefix(fmt.Sprintf("10.1.%d.0/24", n)))
	right := selector.FromPrefix(netip.MustParsePrefix(fmt.Sprintf("10.2.%d.0/24", n)))
	c := Child{Name: name, Local: []selector.Selector{left}, Remote: []selector.Selector{right}, Proposals: []wire.Proposal{testESPProposal}, Lifetime: time.Hour, ReplayWindow: 64}
	if of.name == "right" {
		c.Local, c.Remote = c.Remote, c.Local
	}
	return c
}

func (s *testSide) ref() uint64 {
	s.nextRef++
	return s.nextRef
}

// connect, disconnect and rekey give the command and return its reference.
func (s *testSide) connect(child string) uint64 {
	ref := s.ref()
	s.handle(Connect{Peer: s.peers[0].Name, Child: child, Ref: ref})
	return ref
}

func (s *testSide) disconnect(child string) uint64 {
	ref := s.ref()
	s.handle(Disconnect{Peer: s.peers[0].Name, Child: child, Once: true, Ref: ref})
	return ref
}

func (s *testSide) rekey(child string) uint64 {
	ref := s.ref()
	s.handle(Rekey{Peer: s.peers[0].Name, Child: child, Ref: ref})
	return ref
}

// policy is the first peer's child of that name.
func (s *testSide) policy(child string) ipsec.PolicyID {
	return s.plane.policyNamed(ipsec.PolicyName{Peer: s.peers[0].Name, Child: child})
}

// traffic sends a packet of the child, by the dataplane's first worker.
func (s *testSide) traffic(child string) { s.trafficBy(1, child) }

// trafficBy sends a packet of the child by a worker, counted from 1.
func (s *testSide) trafficBy(worker int, child string) { s.plane.send(s.policy(child), worker) }

// wantDone checks that the command has ended, and how: with a nil error if text is empty.
func (p *testPair) wantDone(s *testSide, ref uint64, text string) {
	p.t.Helper()
	err := s.done[ref]
	switch {
	case !s.answered[ref]:
		p.fatalf("%s: command %d has not ended", s.name, ref)
	case text == "" && err != nil:
		p.fatalf("%s: command %d failed: %v", s.name, ref, err)
	case text != "" && (err == nil || !strings.Contains(err.Error(), text)):
		p.fatalf("%s: command %d ended with %v, want an error with %q", s.name, ref, err, text)
	}
}

// up brings the tunnel up with one command from the left, and checks that both sides have it.
func (p *testPair) up() {
	p.t.Helper()
	p.script(false)
	ref := p.left.connect("")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}

// script sets whether IKE messages wait for the test to deliver them.
func (p *testPair) script(on bool) { p.scripted = on }

// wantSend returns the next message that a side sends, waiting for slow computations. It checks the
// exchange, the direction and the payloads, as FormatPayloads writes them and in any order; "..."
// stands for any others.
func (p *testPair) wantSend(what string, s *testSide, ex wire.ExchangeType, response bool, payloads string) *testMessage {
	p.t.Helper()
	for range 100 {
		if len(s.out) > 0 || !p.step(p.now.Add(400*time.Millisecond)) {
			break
		}
	}
	if len(s.out) == 0 {
		p.fatalf("%s: %s sends nothing", what, s.name)
	}
	m := s.out[0]
	s.out = s.out[1:]
	if m.hdr.Exchange != ex || m.hdr.Response != response {
		p.fatalf("%s: %s sends %v", what, s.name, m)
	}
	if want, got := splitPayloads(payloads), splitPayloads(wire.FormatPayloads(m.payloads)); !samePayloads(want, got) {
		p.fatalf("%s: %s sends %v,\nwant {%s}", what, s.name, m, payloads)
	}
	return m
}

func splitPayloads(s string) []string {
	list := strings.Split(s, ", ")
	slices.Sort(list)
	return slices.DeleteFunc(list, func(w string) bool { return w == "" })
}

func samePayloads(want, got []string) bool {
	open := false
	for _, w := range want {
		if w == "..." {
			open = true
			continue
		}
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = slices.Delete(slices.Clone(got), i, i+1)
	}
	return open || len(got) == 0
}

// deliver brings a message that waited to its receiver, now.
func (p *testPair) deliver(m *testMessage) {
	p.note("delivered: %s's %v", m.from.name, m)
	p.arrive(m.pk)
	p.settle()
}

// settle does what is due now, but leaves timers of the future alone.
func (p *testPair) settle() {
	for p.step(p.now) {
	}
}

// wantIdle checks that no side sends anything within the next tenth of a second.
func (p *testPair) wantIdle(what string) {
	p.t.Helper()
	p.drive(100 * time.Millisecond)
	for _, s := range []*testSide{p.left, p.right} {
		if len(s.out) > 0 {
			p.fatalf("%s: %s sends %v", what, s.name, s.out[0])
		}
	}
	p.wantSound()
}

// wantTunnel checks that every child is up on both sides, once, with the same SPIs.
func (p *testPair) wantTunnel() {
	p.t.Helper()
	for _, s := range []*testSide{p.left, p.right} {
		for _, c := range s.peers[0].Children {
			p.wantChild(s, c.Name)
		}
	}
	p.wantSound()
}

func (p *testPair) wantChild(s *testSide, child string) {
	p.t.Helper()
	mine, theirs := s.plane.ofPolicy(s.policy(child)), s.other().plane.ofPolicy(s.other().policy(child))
	if len(mine) != 1 || len(theirs) != 1 {
		p.fatalf("child %s: %s has %d SAs, %s has %d, want one each", child, s.name, len(mine), s.other().name, len(theirs))
	}
	if mine[0].sa.SPIOut != theirs[0].sa.SPIIn || s.plane.sender(s.policy(child), 1) != mine[0] {
		p.fatalf("child %s: %s does not send on what %s receives", child, s.name, s.other().name)
	}
}

// wantNoChild checks that neither side has anything of the child.
func (p *testPair) wantNoChild(child string) {
	p.t.Helper()
	for _, s := range []*testSide{p.left, p.right} {
		if n := len(s.plane.ofPolicy(s.policy(child))); n > 0 {
			p.fatalf("child %s: %s still has %d SAs", child, s.name, n)
		}
	}
	p.wantSound()
}

// wantSound checks that all invariants held so far.
func (p *testPair) wantSound() {
	p.t.Helper()
	if len(p.broken) > 0 {
		p.fatalf("invariants do not hold:\n%s", strings.Join(p.broken, "\n"))
	}
}

// wantNoLoss checks that every packet sent on an SA was opened.
func (p *testPair) wantNoLoss() {
	p.t.Helper()
	if len(p.lost) > 0 {
		p.fatalf("%d of %d packets lost, the first: %s", len(p.lost), p.sentData, p.lost[0].why)
	}
}

// wantNotice checks that the side has told people of an event.
func (p *testPair) wantNotice(s *testSide, event string) Notice {
	p.t.Helper()
	for _, n := range slices.Backward(s.notices) {
		if n.Event == event {
			return n
		}
	}
	p.fatalf("%s gives no notice %q", s.name, event)
	return Notice{}
}

func (p *testPair) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("seed %d: %s\n%s", p.seed, fmt.Sprintf(format, args...), p.transcript(*simLines))
}

func TestPairUp(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	p.left.traffic("lan")
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
}

// testNetworks is the selectors of networks.
func testNetworks(prefixes ...string) []selector.Selector {
	var list []selector.Selector
	for _, p := range prefixes {
		list = append(list, selector.FromPrefix(netip.MustParsePrefix(p)))
	}
	return list
}

// Times and limits of ike/child that dialogues run into.
const (
	maxLingering  = 16
	lingerPair    = 5 * time.Second
	replacedLife  = 90 * time.Second
	provenLimit   = 10 * time.Second
	resourcePause = 10 * time.Minute
)
