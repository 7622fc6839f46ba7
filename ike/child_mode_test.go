package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// askedFor sends right a request of left's for a Child SA, with notifies in front, and returns the
// answer.
func (a *attack) askedFor(child string, n int, notifies ...wire.Payload) *testMessage {
	a.t.Helper()
	offer, left := testESPProposal, testChild(a.left, child, n)
	offer.Number, offer.SPI = 1, []byte{1, 2, 3, byte(n)}
	a.asPeer(a.right, wire.CreateChildSA, append(slices.Clone(notifies),
		&wire.SA{Proposals: []wire.Proposal{offer}}, &wire.Nonce{Data: make([]byte, 32)}, wireTS(false, left.Local), wireTS(true, left.Remote))...)
	return a.wantSend("right answers", a.right, wire.CreateChildSA, true, "...")
}

// oneOfTwo returns a tunnel of "lan", and "more" that both sides know as well.
func oneOfTwo(t *testing.T, edit func(p *testPair)) *attack {
	a := newAttack(newPair(t, 1, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			more := testChild(s, "more", 1)
			more.Start = StartNever
			s.peers[0].Children = append(s.peers[0].Children, more)
		}
		if edit != nil {
			edit(p)
		}
	}))
	ref := a.left.connect("lan")
	a.drive(2 * time.Second)
	a.wantDone(a.left, ref, "")
	a.script(true)
	return a
}

// TestPeerAsksForTransportMode: it gets tunnel mode, which is said, and no notify of that kind. Nor
// does it change anything that the peer takes no TFC padding: we add none to packets, and every
// receiver takes dummy packets (RFC 4303, Sections 2.6 and 2.7).
func TestPeerAsksForTransportMode(t *testing.T) {
	for kind, told := range map[wire.NotifyType]bool{wire.UseTransportMode: true, wire.ESPTFCPaddingNotSupported: false} {
		a := oneOfTwo(t, nil)
		m := a.askedFor("more", 1, &wire.Notify{Kind: kind})
		if got := wire.FormatPayloads(m.payloads); got != "SA, Nonce, TSi, TSr" {
			a.fatalf("%v is answered by %s", kind, got)
		}
		if n := a.right.said("transport-declined"); (n == 1) != told {
			a.fatalf("%v: said %d times", kind, n)
		}
		if n := len(a.right.plane.ofPolicy(a.right.policy("more"))); n != 1 {
			a.fatalf("%v: %d Child SAs", kind, n)
		}
	}
}

// TestPeerAnswersInTransportMode: what was not asked for is not used, and the peer is told to
// delete it.
func TestPeerAnswersInTransportMode(t *testing.T) {
	for kind, why := range map[wire.NotifyType]string{
		wire.UseTransportMode: "it is in transport mode, which was not asked for", wire.ESPTFCPaddingNotSupported: "", wire.AdditionalTSPossible: "",
	} {
		a := oneOfTwo(t, nil)
		ref := a.left.connect("more")
		a.deliver(a.wantSend("left asks", a.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr"))
		m := a.wantSend("right answers, which is lost", a.right, wire.CreateChildSA, true, "...")
		keys, ps := a.tap.sas[[2]wire.SPI{m.hdr.InitiatorSPI, m.hdr.ResponderSPI}], append(m.payloads, &wire.Notify{Kind: kind})
		a.inject(a.left, a.right.home(), a.seal(keys, m.hdr, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
		a.wantDone(a.left, ref, why)
		if why != "" {
			a.wantSend("left deletes it", a.left, wire.Informational, false, "D(ESP x1)")
		}
	}
}

// TestPeerSaysLargerWindow: a peer may have several requests outstanding, as it says. We go on with
// one at a time, and say nothing of ours, which is one (RFC 7296, Section 2.3).
func TestPeerSaysLargerWindow(t *testing.T) {
	a := oneOfTwo(t, nil)
	for _, size := range [][]byte{{0, 0, 0, 10}, {0, 0, 0, 0}, {255, 255, 255, 255}, {1}} {
		a.asPeer(a.left, wire.Informational, &wire.Notify{Kind: wire.SetWindowSize, Data: size})
		a.wantSend("left answers", a.left, wire.Informational, true, "")
	}
	a.left.connect("more")
	a.left.rekey("lan")
	a.wantSend("left asks for one", a.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr")
	a.wantIdle("and waits")
}

// TestPeerAsksForTooMany: a responder at its limit of Child SAs says so, and so does the initiator
// that hears it.
func TestPeerAsksForTooMany(t *testing.T) {
	a := oneOfTwo(t, func(p *testPair) { p.right.config.Limits.MaxChildren = 1 })
	ref := a.left.connect("more")
	a.deliver(a.wantSend("left asks", a.left, wire.CreateChildSA, false, "SA, Nonce, TSi, TSr"))
	a.script(false)
	a.deliver(a.wantSend("right has no room", a.right, wire.CreateChildSA, true, "N(NO_ADDITIONAL_SAS)"))
	a.drive(time.Second)
	if !slices.ContainsFunc(a.left.notices, func(n Notice) bool { return strings.Contains(n.Text, "the peer answered NO_ADDITIONAL_SAS") }) {
		a.fatalf("left does not say why, and ended its command with %v", a.left.done[ref])
	}
}

// TestPeerRekeysWhatIsNotThere: the answer names the SPI of the request.
func TestPeerRekeysWhatIsNotThere(t *testing.T) {
	a := oneOfTwo(t, nil)
	m := a.askedFor("more", 1, &wire.Notify{Protocol: wire.ProtoESP, SPI: []byte{9, 8, 7, 6}, Kind: wire.RekeySA})
	n, ok := wire.FindNotify(m.payloads, wire.ChildSANotFound)
	if !ok || n.Protocol != wire.ProtoESP || string(n.SPI) != "\x09\x08\x07\x06" || len(m.payloads) != 1 {
		a.fatalf("the answer is %v", m)
	}
}

// TestOthersArePossible: a responder that grants a part of a request by one child, and has another
// one for the rest, says so; one that grants all, or has no other, says nothing.
func TestOthersArePossible(t *testing.T) {
	for name, c := range map[string]struct {
		networks []string
		want     bool
	}{
		"two children": {[]string{"10.2.0.0/24", "10.2.1.0/24"}, true},
		"one child":    {[]string{"10.2.0.0/24"}, false},
		"the whole":    {[]string{"10.2.0.0/16", "10.2.1.0/24"}, false},
	} {
		p := parted(t, nil, c.networks...)
		p.script(true)
		p.left.sendTo("lan", "10.2.0.9")
		p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
		p.deliver(p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "..."))
		m := p.wantSend("right answers", p.right, wire.IKEAuth, true, "...")
		if _, ok := wire.FindNotify(m.payloads, wire.AdditionalTSPossible); ok != c.want {
			p.fatalf("%s: said: %v", name, ok)
		}
	}
}
