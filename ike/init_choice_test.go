package ike

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"culvert/ike/identity"
	"culvert/ike/proposal"
	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

// choiceCase is a caller, and the IKE proposals of its own entry and of others, which have no
// address; known: its own has one.
type choiceCase struct {
	caller, own string
	others      []string
	known       bool
	want        string
}

const (
	x25519, ecp256 = "ike gcm256 prf256 x25519;", "ike gcm256 prf256 ecp256;"
	chacha, weaker = "ike cc20 prf256 x25519;", "ike gcm128 prf256 x25519;"
)

// A caller comes up whichever entries it may be: its own is not known when the proposal is chosen.
func TestProposalForAnUnknownCaller(t *testing.T) {
	wide := "ike gcm128 gcm256 prf256 x25519 ecp256"
	for name, c := range map[string]choiceCase{
		"our order":                  {weaker + x25519, x25519 + weaker, nil, false, x25519},
		"what both allow":            {x25519 + ecp256, ecp256, []string{x25519 + ecp256}, false, ecp256},
		"what both allow, in one":    {wide, "ike cc20 gcm256 prf256 ecp256", []string{wide}, false, ecp256},
		"what three allow":           {x25519 + chacha + ecp256, ecp256 + x25519, []string{chacha + x25519, x25519 + chacha}, false, x25519},
		"what the caller prefers":    {ecp256 + x25519, ecp256, []string{x25519}, false, ecp256},
		"beside one that is not its": {x25519 + ecp256, ecp256, []string{chacha, x25519 + ecp256}, false, ecp256},
		"beside one apart":           {ecp256 + weaker + x25519, ecp256, []string{weaker, x25519 + ecp256}, false, ecp256},
		"not weaker, by its address": {weaker + x25519, x25519 + weaker, []string{weaker}, true, x25519},
		"not at its address":         {weaker + x25519, x25519, []string{x25519 + weaker}, true, x25519},
	} {
		t.Run(name, func(t *testing.T) {
			c.try(t, false)
			c.try(t, true)
		})
	}
}

// try connects; reversed: the caller's entry is the last.
func (c *choiceCase) try(t *testing.T, reversed bool) {
	p := newPair(t, 1, func(p *testPair) {
		p.left.peers[0].Proposals = proposaltest.Parse(t, c.caller)
		own := p.right.peers[0]
		if own.Proposals = proposaltest.Parse(t, c.own); !c.known {
			own.Remote = nil
		}
		p.right.peers = []Peer{own}
		for i, text := range c.others {
			other := own
			other.Name, other.Remote, other.Proposals = fmt.Sprintf("other%d", i), nil, proposaltest.Parse(t, text)
			other.RemoteID = identity.ID{Type: wire.IDFQDN, Data: other.Name}
			p.right.peers = append(p.right.peers, other)
		}
		if reversed {
			slices.Reverse(p.right.peers)
		}
	})
	p.wantDone(p.left, p.left.connectFor2s(), "")
	got := proposal.List([]wire.Proposal{p.right.e.peers.byName["left"].party.main().keys.proposal})
	if want := proposal.List(proposaltest.Parse(t, c.want)); got != want {
		t.Errorf("%s, want %s; reversed: %v", got, want, reversed)
	}
}

func TestInitOffersForget(t *testing.T) {
	var offers initOffers
	a, b := proposaltest.Parse(t, x25519+ecp256), proposaltest.Parse(t, x25519)
	for i, step := range []struct {
		ps      []wire.Proposal
		n       int
		changed bool
		lists   int
	}{{a, 1, true, 1}, {b, 1, true, 2}, {a, 1, false, 2}, {a, -1, false, 2}, {a, -1, true, 1}, {b, -1, true, 0}} {
		if changed := offers.count(step.ps, step.n); changed != step.changed || len(offers) != step.lists {
			t.Errorf("step %d: changed: %v; %d lists", i, changed, len(offers))
		}
	}
}

// hostileOffer returns entries that allow lists of different proposals, and an SA payload that has
// something in common with each entry, in as many ways as there are.
func hostileOffer(t testing.TB) (offers initOffers, theirs []wire.Proposal) {
	var all []string
	for _, encr := range []string{"gcm128", "gcm192", "gcm256", "cc20"} {
		for _, ke := range []string{"x25519", "ecp256"} {
			for _, prf := range []string{"prf256", "prf384"} {
				all = append(all, fmt.Sprintf("ike %s %s %s;", encr, prf, ke))
			}
		}
	}
	wide := "ike gcm128 gcm192 gcm256 cc20 prf256 prf384 x25519 ecp256;"
	for i := range all {
		ours := strings.Join(slices.Concat(all[i:], all[:i]), "")
		offers.count(proposaltest.Parse(t, strings.TrimSuffix(ours, ";")), 1)
	}
	theirs = proposaltest.Parse(t, strings.TrimSuffix(strings.Repeat(wide, 255), ";"))
	return offers, theirs
}

// A choice among the proposals of a hostile caller costs a few times what a usual one costs.
func TestHostileOfferIsBounded(t *testing.T) {
	offers, theirs := hostileOffer(t)
	table := peerTable{offers: [2]initOffers{offers}}
	allocs := func(theirs []wire.Proposal) float64 {
		return testing.AllocsPerRun(3, func() {
			if _, ok := table.choose(nil, theirs); !ok {
				t.Error("nothing is chosen")
			}
		})
	}
	if usual, hostile := allocs(theirs[:8]), allocs(theirs); hostile > 5*usual {
		t.Errorf("%v allocations, %v for a usual offer", hostile, usual)
	}
}

func BenchmarkHostileOffer(b *testing.B) {
	offers, theirs := hostileOffer(b)
	table := peerTable{offers: [2]initOffers{offers}}
	b.ReportAllocs()
	for b.Loop() {
		table.choose(nil, theirs)
	}
}
