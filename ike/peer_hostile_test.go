package ike

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// hostilePeer: the authenticated peer itself. It may end its own IKE SA, and no more.
var hostilePeer = []hostileRow{
	{"CVE-2023-38710: REKEY_SA with odd protocols and SPI sizes", func(a *attack) {
		for _, protocol := range []wire.ProtocolID{0, 1, 2, 255} {
			for _, size := range []int{0, 3, 4, 8} {
				if !a.alive() {
					a.again()
				}
				a.asPeer(a.right, wire.CreateChildSA, a.childRequest(
					&wire.Notify{Protocol: protocol, Kind: wire.RekeySA, SPI: make([]byte, size)})...)
				a.drive(time.Second)
			}
		}
	}, true},
	{"CVE-2023-23009: malformed traffic selectors", func(a *attack) {
		for _, ts := range []string{
			"01000000 07000010 0000ffff 0a010000 0a01", // short
			"01000000 07000011 0000ffff 0a010000 0a0100ff 00",
			"01000000 07000000 0000ffff 0a010000 0a0100ff",
			"01000000 07000010 0000ffff 0a0100ff 0a010000", // start > end
			"01000000 08000010 0000ffff 0a010000 0a0100ff", // IPv6 in 16 octets
			"01000000 07000028 0000ffff 20010db8000000000000000000000000 20010db80000000000000000000000ff",
			"00000000",
			"ff000000 07000010 0000ffff 0a010000 0a0100ff",
			"01000000 63000010 0000ffff 0a010000 0a0100ff",
			"",
		} {
			if !a.alive() {
				a.again()
			}
			body, err := hex.DecodeString(strings.ReplaceAll(ts, " ", ""))
			if err != nil {
				a.t.Fatal(err)
			}
			ps := a.childRequest(nil)
			ps = append(ps[:len(ps)-2], &wire.Unknown{PayloadType: wire.PayloadTSi, Body: body}, &wire.Unknown{PayloadType: wire.PayloadTSr, Body: body})
			a.asPeer(a.right, wire.CreateChildSA, ps...)
			a.drive(time.Second)
			a.wantNarrow()
		}
	}, true},
	{"libreswan impair-rekey-supernet: wider or other selectors in a rekeying", func(a *attack) {
		for _, networks := range [][2]string{{"0.0.0.0/0", "0.0.0.0/0"}, {"10.0.0.0/8", "10.2.0.0/24"}, {"10.1.0.0/24", "10.3.0.0/16"}, {"::/0", "::/0"}, {"10.1.0.0/25", "10.2.0.0/24"}} {
			main, _ := a.established(a.right)
			ps := a.childRequest(&wire.Notify{Protocol: wire.ProtoESP, Kind: wire.RekeySA, SPI: spiOctets(main.children.Pairs()[0].SA.SPIOut)})
			ps = append(ps[:len(ps)-2], wireTS(false, testNetworks(networks[0])), wireTS(true, testNetworks(networks[1])))
			a.asPeer(a.right, wire.CreateChildSA, ps...)
			a.drive(time.Second)
			a.wantNarrow()
		}
	}, true},
	{"CVE-2024-3652: GMAC, NULL with NONE, AEAD with integrity, key size 0 for a child", func(a *attack) {
		for _, words := range []string{"gmac noesn", "null noauth noesn", "null noesn", "gcm128 sha256 noesn", "gcm0 noesn", "gcm1 noesn", "gcmff noesn", "noesn", "gcm128", ""} {
			ps := a.childRequest(nil)
			for i, p := range ps {
				if _, ok := p.(*wire.SA); ok {
					ps[i] = &wire.SA{Proposals: proposaltest.Parse(a.t, "esp "+words)}
				}
			}
			a.asPeer(a.right, wire.CreateChildSA, ps...)
		}
	}, false},
	{"strongSwan 5.9.8: exchange type 34 inside SK", func(a *attack) {
		for _, ex := range []wire.ExchangeType{wire.IKESAInit, wire.IKEIntermediate, 0, 99, 255} {
			a.asPeer(a.right, ex)
		}
	}, false},
	{"strongSwan 5.9.8: an IKE rekeying without SPI, with short ones, with zero", func(a *attack) {
		for _, spi := range [][]byte{nil, {1}, {1, 2, 3, 4}, make([]byte, 8), make([]byte, 9)} {
			a.forged++
			p := testIKEProposal
			p.Number, p.SPI = 1, spi
			r := a.newRogue(a.right)
			a.asPeer(a.right, wire.CreateChildSA, &wire.SA{Proposals: []wire.Proposal{p}}, &wire.Nonce{Data: r.nonce}, &wire.KE{Group: wire.GroupX25519, Data: r.ke.public})
		}
		a.drive(time.Second)
	}, false},
	{"OpenIKED#150: a critical payload of unknown type from the peer", func(a *attack) {
		a.asPeer(a.right, wire.Informational, &wire.Unknown{PayloadType: 199, Critical: true, Body: []byte("x")})
	}, false},
	{"RFC 7383: authentic fragments in the worst order", func(a *attack) {
		main, keys := a.established(a.right)
		h := wire.Header{InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, Exchange: wire.Informational, Initiator: !main.initiator, MessageID: main.win.ExpectedID()}
		most := 0
		send := func(number, total uint16, size int) {
			a.inject(a.right, a.left.home(), a.sealFragment(keys, h, 0, number, total, make([]byte, size)))
			most = max(most, main.win.Fragments(wire.Header{}).Held())
		}
		for _, total := range []uint16{65535, 129, 128, 3, 127, 65535} {
			for n := total; n > 1 && n > total-128; n-- {
				send(n, total, 1200)
				send(n, total, 1200)
			}
		}
		if limit := 2*window.MaxReassembled + 24*window.MaxFragments; most > limit {
			a.fatalf("%d octets are kept, want %d at most", most, limit)
		}
		a.right.e.count("looked") // drops of authentic fragments need not be counted
	}, false},
	{"deletes of what is not there", func(a *attack) {
		a.asPeer(a.right, wire.Informational, &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4, SPIs: [][]byte{{0, 0, 0, 0}, {1, 2, 3, 4}}})
		a.asPeer(a.right, wire.Informational, &wire.Delete{Protocol: wire.ProtoAH, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}})
		a.right.e.count("looked") // answered as usual
	}, false},
	{"deletes with odd protocols and sizes", func(a *attack) {
		for _, d := range []*wire.Delete{{Protocol: 99, SPISize: 200}, {Protocol: wire.ProtoESP}, {Protocol: wire.ProtoESP, SPISize: 8, SPIs: [][]byte{make([]byte, 8)}}, {Protocol: wire.ProtoIKE, SPISize: 8, SPIs: [][]byte{make([]byte, 8)}}} {
			if !a.alive() {
				a.again()
			}
			a.asPeer(a.right, wire.Informational, d)
		}
	}, true},
	{"notifies of every type and size", func(a *attack) {
		for kind := wire.NotifyType(0); kind < 60; kind++ {
			a.asPeer(a.right, wire.Informational, &wire.Notify{Kind: kind, Data: []byte("\x1b[31m%s")}, &wire.Notify{Kind: 16384 + kind, SPI: []byte{1, 2, 3, 4}})
		}
		a.right.e.count("looked")
	}, false},
}

// alive reports whether the right side still has its IKE SA.
func (a *attack) alive() bool { return a.right.e.peers.order[0].party.main() != nil }

// again brings the tunnel up again after the peer's own action ended it.
func (a *attack) again() {
	a.t.Helper()
	a.left.disconnect("")
	a.drive(3 * time.Minute)
	a.up()
	a.drive(10 * time.Second)
}

// childRequest is a CREATE_CHILD_SA request for the child "lan", as left could make it, TSi and TSr
// last.
func (a *attack) childRequest(rekey *wire.Notify) []wire.Payload {
	r := a.newRogue(a.right)
	p := testESPProposal
	p.Number, p.SPI = 1, []byte{0xba, 0xd0, 0, byte(a.forged)}
	var ps []wire.Payload
	if rekey != nil {
		ps = append(ps, rekey)
	}
	c := a.right.peers[0].Children[0]
	return append(ps, &wire.SA{Proposals: []wire.Proposal{p}}, &wire.Nonce{Data: r.nonce}, wireTS(false, c.Remote), wireTS(true, c.Local))
}

// wantNarrow checks that no Child SA of the right side lets in or out more than its policy says.
func (a *attack) wantNarrow() {
	a.t.Helper()
	c := a.right.peers[0].Children[0]
	for _, psa := range a.right.plane.sas {
		for _, s := range psa.sa.LocalTS {
			if !c.Local[0].Covers(s) {
				a.fatalf("child %d lets %v in", psa.sa.ID, s)
			}
		}
		for _, s := range psa.sa.RemoteTS {
			if !c.Remote[0].Covers(s) {
				a.fatalf("child %d lets %v out", psa.sa.ID, s)
			}
		}
	}
}

// CVE-2014-2338: a request to rekey an IKE SA that is not yet authenticated must be refused by the
// initiator as well as the responder.
func TestHostileRekeyBeforeAuth(t *testing.T) {
	p := newPair(t, 1, nil)
	a := newAttack(p)
	p.script(true)
	ref := p.left.connect("")
	init := p.wantSend("left begins", p.left, wire.IKESAInit, false, "...")
	p.deliver(init)
	p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
	auth := p.wantSend("left authenticates itself", p.left, wire.IKEAuth, false, "...")

	keys := p.tap.sas[[2]wire.SPI{auth.hdr.InitiatorSPI, auth.hdr.ResponderSPI}]
	proposal := testIKEProposal
	proposal.Number, proposal.SPI = 1, []byte{1, 2, 3, 4, 5, 6, 7, 8}
	r := a.newRogue(p.left)
	ps := []wire.Payload{&wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.Nonce{Data: r.nonce}, &wire.KE{Group: wire.GroupX25519, Data: r.ke.public}}
	for _, to := range []*testSide{p.left, p.right} {
		for id := range uint32(3) {
			h := wire.Header{InitiatorSPI: auth.hdr.InitiatorSPI, ResponderSPI: auth.hdr.ResponderSPI, Exchange: wire.CreateChildSA, Initiator: to == p.right, MessageID: id}
			a.inject(to, to.other().home(), a.seal(keys, h, wire.PayloadSA, wire.AppendPayloads(nil, ps)))
		}
	}
	p.wantIdle("nobody answers the rekeying")
	p.deliver(auth)
	p.deliver(p.wantSend("right authenticates itself", p.right, wire.IKEAuth, true, "..."))
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.wantTunnel()
}
