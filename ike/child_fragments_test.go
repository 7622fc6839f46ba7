package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/selector"
)

// toPort limits selectors to UDP and a port.
func toPort(list []selector.Selector, port uint16) []selector.Selector {
	for i := range list {
		list[i].Protocol, list[i].StartPort, list[i].EndPort = selector.ProtoUDP, port, port
	}
	return list
}

// TestNonFirstFragments: later fragments are asked for and agreed on where the selectors tell ports
// apart, in every exchange that makes such a Child SA, and nowhere else.
func TestNonFirstFragments(t *testing.T) {
	for _, tt := range []struct {
		name              string
		left, right       bool // its child is limited to a port
		request, response bool
	}{
		{"ports at both", true, true, true, true},
		{"all ports", false, false, false, false},
		{"ports at the asking side", true, false, true, true},
		{"ports at the answering side", false, true, false, false}, // "included in both the request proposing an SA and the response accepting it"
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				if l := &p.left.peers[0].Children[0]; tt.left {
					l.Remote = toPort(l.Remote, 5001)
				}
				if r := &p.right.peers[0].Children[0]; tt.right {
					r.Local = toPort(r.Local, 5001)
				}
				p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0
				p.scripted = true
			})
			says := func(what string, s *testSide, ex wire.ExchangeType, response, want bool) {
				t.Helper()
				m := p.wantSend(what, s, ex, response, "...")
				if _, ok := wire.FindNotify(m.payloads, wire.NonFirstFragmentsAlso); ok != want {
					p.fatalf("%s: it speaks of later fragments: %t, want %t", what, ok, want)
				}
				p.deliver(m)
			}
			ref := p.left.connect("lan")
			says("left begins", p.left, wire.IKESAInit, false, false)
			says("right answers", p.right, wire.IKESAInit, true, false)
			says("left asks", p.left, wire.IKEAuth, false, tt.request)
			says("right agrees", p.right, wire.IKEAuth, true, tt.response)
			p.wantDone(p.left, ref, "")
			p.drive(time.Second)
			narrow := tt.left || tt.right
			p.right.rekey("lan")
			says("right rekeys", p.right, wire.CreateChildSA, false, narrow)
			says("left agrees", p.left, wire.CreateChildSA, true, narrow)
		})
	}
}
