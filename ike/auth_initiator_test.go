package ike

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// Mistakes in a configuration: the error of the command names the mistake, the status keeps it, no
// state stays, and the attempts are bounded.

// failing is one such mistake. Words must be in left's error, or in left's or right's explanation
// or notices.
type failing struct {
	name              string
	edit              func(left, right *Peer)
	leftErr, rightSay string
	explain           []string // in left's PeerStatus.Explain or ChildStatus' reason
	ikeStays          bool     // only the child fails
}

var failings = []failing{
	{name: "wrong secret", edit: func(l, r *Peer) { r.PSK = []byte("wrong") }, leftErr: "AUTHENTICATION_FAILED", rightSay: "pre-shared keys differ", explain: []string{"ours: left.example.com", "expected of the peer: right.example.com"}},
	{name: "left is called otherwise", edit: func(l, r *Peer) { l.LocalID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"} }, leftErr: "AUTHENTICATION_FAILED", rightSay: "other.example.com"},
	{name: "right is called otherwise", edit: func(l, r *Peer) { r.LocalID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"} }, leftErr: "the peer identified itself as other.example.com, but remote_id is right.example.com", rightSay: "rejected"},
	{name: "left is called so by another type", edit: func(l, r *Peer) { l.LocalID.Type = wire.IDRFC822 }, leftErr: "AUTHENTICATION_FAILED", rightSay: "it identified itself as ID_RFC822_ADDR left.example.com, but remote_id is ID_FQDN left.example.com"},
	{name: "right is called so by another type", edit: func(l, r *Peer) { r.LocalID.Type = wire.IDRFC822 }, leftErr: "the peer identified itself as ID_RFC822_ADDR right.example.com, but remote_id is ID_FQDN right.example.com", rightSay: "rejected"},
	{name: "no IKE proposal", edit: func(l, r *Peer) { r.Proposals = []wire.Proposal{otherCipher(testIKEProposal)} }, leftErr: "NO_PROPOSAL_CHOSEN", rightSay: "aes256gcm16", explain: []string{"ours: aes256gcm16-prfsha256-x25519"}},
	{name: "no ESP proposal", edit: func(l, r *Peer) { r.Children[0].Proposals = []wire.Proposal{otherCipher(testESPProposal)} }, leftErr: "accepts none of our ESP proposals", rightSay: "chacha20poly1305", ikeStays: true},
	{name: "selectors do not meet", edit: func(l, r *Peer) { r.Children[0].Local = testNetworks("10.9.0.0/16") }, leftErr: "it grants none of our networks", rightSay: "10.9.0.0/16", ikeStays: true},
	{name: "no secret on the left", edit: func(l, r *Peer) { l.PSK = nil }, leftErr: "no pre-shared key"},
}

// otherCipher is the proposal with ChaCha20-Poly1305 instead.
func otherCipher(p wire.Proposal) wire.Proposal {
	p.Transforms = slices.Clone(p.Transforms)
	p.Transforms[0] = wire.Transform{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}
	return p
}

// saidAll returns all notices and status texts of a side.
func (s *testSide) saidAll() string {
	var b strings.Builder
	for _, n := range s.notices {
		b.WriteString(n.Text + "\n")
	}
	for _, r := range s.refused {
		b.WriteString(r.Text + "\n" + strings.Join(r.Explain, "\n") + "\n")
	}
	for _, st := range s.e.Status() {
		b.WriteString(st.Reason + "\n" + strings.Join(st.Explain, "\n") + "\n")
		for _, c := range st.Children {
			b.WriteString(c.Reason + "\n")
		}
	}
	return b.String()
}

// wantBoundedTries checks that a child that must always be up is tried again, but not continuously,
// and that the attempts leave no state.
func (p *testPair) wantBoundedTries(c failing) {
	p.t.Helper()
	before := p.left.requests(wire.IKESAInit) + p.left.requests(wire.CreateChildSA) + len(p.left.notices)
	p.drive(30 * time.Minute)
	tries := p.left.requests(wire.IKESAInit) + p.left.requests(wire.CreateChildSA) + len(p.left.notices) - before
	if tries < 20 || tries > 150 {
		p.fatalf("%d tries and notices in half an hour", tries)
	}
	want := 0
	if c.ikeStays {
		want = 1
	}
	p.left.handle(SetPeers{})
	p.drive(5 * time.Minute)
	if c.ikeStays && len(p.right.e.sas.bySPI) == want {
		p.fatalf("right keeps the IKE SA of a peer that was removed")
	}
	for _, s := range []*testSide{p.left, p.right} {
		if left := s.leftovers(); left != "" {
			p.fatalf("%s", left)
		}
	}
}

// requests returns the number of requests of an exchange type that a side ever sent, from the
// transcript of the tap.
func (s *testSide) requests(ex wire.ExchangeType) int { return s.sentRequests[ex] }

// The initiator rejects the responder and tells it so; the responder ends its half (RFC 7296,
// Section 2.21.2).
func TestInitiatorRejects(t *testing.T) {
	p := newPair(t, 1, func(p *testPair) {
		p.right.peers[0].LocalID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
	})
	p.script(true)
	p.left.connect("")
	p.deliver(p.wantSend("left asks", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	p.deliver(p.wantSend("left proves itself", p.left, wire.IKEAuth, false, "..."))
	p.deliver(p.wantSend("right proves itself", p.right, wire.IKEAuth, true, "..."))
	p.deliver(p.wantSend("left rejects it", p.left, wire.Informational, false, "N(AUTHENTICATION_FAILED)"))
	p.deliver(p.wantSend("right takes note", p.right, wire.Informational, true, ""))
	p.wantIdle("that is all")
	p.drive(2 * time.Minute)
	for _, s := range []*testSide{p.left, p.right} {
		if left := s.leftovers(); left != "" {
			p.fatalf("%s", left)
		}
	}
}
