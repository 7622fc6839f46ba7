package ike

import (
	"encoding/binary"
	"net/netip"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// Messages of an attacker: from any address, or as the authenticated peer, with the keys that the
// tap knows.

// attacker is an address of neither side. Nobody answers there, but what is sent to it is kept.
var attacker = netip.MustParseAddrPort("203.0.113.66:500")

// attack is a pair under attack.
type attack struct {
	*testPair
	forged  uint64
	replies []*testPacket // to addresses of neither side, and to rogues
}

func newAttack(p *testPair) *attack {
	a := &attack{testPair: p}
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.msg != nil && (pk.dst.Port() == roguePort || !p.left.hasAddr(pk.dst.Addr()) && !p.right.hasAddr(pk.dst.Addr())) {
			a.replies = append(a.replies, pk)
		}
		return link(pk)
	}
	return a
}

// inject hands a side a datagram from any address.
func (a *attack) inject(to *testSide, from netip.AddrPort, data []byte) {
	path := ipsec.UDPPath(netip.AddrPortFrom(to.addrs[0], 500), from)
	if from.Port() == 4500 {
		path = ipsec.NATPath(netip.AddrPortFrom(to.addrs[0], 4500), from)
	}
	to.handle(Datagram{Path: path, Data: data})
	a.settle()
}

// roguePort is a port of a side's address at which another than the side calls.
const roguePort = 501

// home is the address that a side's IKE messages come from.
func (s *testSide) home() netip.AddrPort { return netip.AddrPortFrom(s.addrs[0], 500) }

// established is the IKE SA that a side uses, as the tap knows it.
func (a *attack) established(s *testSide) (*ikeSA, *tapSA) {
	a.t.Helper()
	main := s.e.peers.order[0].party.main()
	if main == nil {
		a.fatalf("%s has no IKE SA", s.name)
	}
	return main, a.tap.sas[[2]wire.SPI{main.spi.I, main.spi.R}]
}

// forgeRequest returns a request with the given content, as the victim's peer would send it next on
// the current IKE SA.
func (a *attack) forgeRequest(victim *testSide, ex wire.ExchangeType, first wire.PayloadType, plain []byte) []byte {
	a.t.Helper()
	main, keys := a.established(victim)
	h := wire.Header{
		InitiatorSPI: main.spi.I, ResponderSPI: main.spi.R, MajorVersion: 2, Exchange: ex,
		Initiator: !main.initiator, MessageID: main.win.ExpectedID(),
	}
	return a.seal(keys, h, first, plain)
}

// asPeer sends the victim an authentic request with these payloads.
func (a *attack) asPeer(victim *testSide, ex wire.ExchangeType, ps ...wire.Payload) {
	a.t.Helper()
	a.inject(victim, victim.other().home(), a.forgeRequest(victim, ex, wire.FirstType(ps), wire.AppendPayloads(nil, ps)))
}

// seal protects a content with the keys of the SA, by the side that the header names.
func (a *attack) seal(keys *tapSA, h wire.Header, first wire.PayloadType, plain []byte) []byte {
	body := &wire.Encrypted{First: first, Body: make([]byte, 8+len(plain)+1+16)}
	m := wire.Message{Header: h, Payloads: []wire.Payload{body}}
	return a.sealBody(keys, h.Initiator, m.AppendTo(nil), len(body.Body), plain)
}

// sealFragment is the same for one fragment.
func (a *attack) sealFragment(keys *tapSA, h wire.Header, first wire.PayloadType, number, total uint16, plain []byte) []byte {
	body := &wire.EncryptedFragment{First: first, Number: number, Total: total, Body: make([]byte, 8+len(plain)+1+16)}
	m := wire.Message{Header: h, Payloads: []wire.Payload{body}}
	return a.sealBody(keys, h.Initiator, m.AppendTo(nil), len(body.Body), plain)
}

// sealBody writes IV, ciphertext and ICV into the end of a message that has room for them.
func (a *attack) sealBody(keys *tapSA, byInitiator bool, data []byte, bodyLen int, plain []byte) []byte {
	c := keys.responder
	if byInitiator {
		c = keys.initiator
	}
	a.forged++
	offset := len(data) - bodyLen
	iv := binary.BigEndian.AppendUint64(nil, 0xf0<<56|a.forged)
	nonce := append(append([]byte{}, c.salt...), iv...)
	sealed := c.aead.Seal(nil, nonce, append(append([]byte{}, plain...), 0), data[:offset])
	copy(data[offset:], iv)
	copy(data[offset+8:], sealed)
	return data
}

// rogue is an initiator without a configuration, which can make an IKE_SA_INIT exchange only.
type rogue struct {
	a      *attack
	victim *testSide
	spi    wire.SPI
	ke     *fakeKE
	nonce  []byte
	keys   *tapSA
	id     [2]wire.SPI
	from   netip.AddrPort
}

func (a *attack) newRogue(victim *testSide) *rogue {
	a.forged++
	ke, _ := fakeKEs{random: seededRand(a.forged, "rogue")}.New(wire.GroupX25519)
	nonce := make([]byte, 32)
	seededRand(a.forged, "rogue nonce").Read(nonce)
	return &rogue{a: a, victim: victim, spi: wire.SPI(0xbad<<48 | a.forged), ke: ke.(*fakeKE), nonce: nonce, from: attacker}
}

// payloads is what an honest IKE_SA_INIT request holds.
func (r *rogue) payloads() []wire.Payload {
	p := testIKEProposal
	p.Number = 1
	return []wire.Payload{&wire.SA{Proposals: []wire.Proposal{p}}, &wire.KE{Group: wire.GroupX25519, Data: r.ke.public}, &wire.Nonce{Data: r.nonce}}
}

func (r *rogue) message(ps []wire.Payload) []byte {
	m := wire.Message{Header: wire.Header{InitiatorSPI: r.spi, MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true}, Payloads: ps}
	return m.AppendTo(nil)
}

// sendInit sends the request, and takes the keys from the response if there is one.
func (r *rogue) sendInit(ps []wire.Payload) {
	r.a.tap.inits[r.spi] = []*tapRequest{{ni: r.nonce, ke: r.ke.public, group: wire.GroupX25519}}
	before := len(r.a.replies)
	r.a.inject(r.victim, r.from, r.message(ps))
	r.a.drive(100 * time.Millisecond)
	for _, pk := range r.a.replies[before:] {
		r.id = [2]wire.SPI{r.spi, pk.msg.hdr.ResponderSPI}
		r.keys = r.a.tap.sas[r.id]
	}
}

// send sends a protected message on the SA.
func (r *rogue) send(ex wire.ExchangeType, id uint32, ps []wire.Payload) {
	r.sendRaw(ex, id, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
}

func (r *rogue) sendRaw(ex wire.ExchangeType, id uint32, first wire.PayloadType, plain []byte) {
	h := wire.Header{InitiatorSPI: r.id[0], ResponderSPI: r.id[1], MajorVersion: 2, Exchange: ex, Initiator: true, MessageID: id}
	r.a.inject(r.victim, r.from, r.a.seal(r.keys, h, first, plain))
}

// authPayloads is an IKE_AUTH request of the identity, with an AUTH that is wrong.
func (r *rogue) authPayloads(id *wire.ID) []wire.Payload {
	p := testESPProposal
	p.Number, p.SPI = 1, []byte{0xba, 0xd0, 0, 1}
	peer := r.victim.peers[0]
	return []wire.Payload{
		id, &wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)}, &wire.SA{Proposals: []wire.Proposal{p}},
		wireTS(false, peer.Children[0].Remote), wireTS(true, peer.Children[0].Local),
	}
}
