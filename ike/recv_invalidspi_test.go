package ike

import (
	"net/netip"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/liveness"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A responder is killed and restarted, and does not call by itself. The next packet of the other
// side, in ESP with UDP or without, over IPv4 and through a NAT, has it say so: the tunnel is back
// after five round trips, long before any check of silence.
func TestPacketToRestartedPeer(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){
		"raw":       older,
		"auto":      func(*testPair) {},
		"UDP":       func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapAlways, EncapAlways },
		"NAT":       func(p *testPair) { p.left.nat = newNAT(netip.MustParseAddr("198.51.100.1")) },
		"its ports": withOtherPorts,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				withTokens(p)
				p.right.peers[0].Remote, p.right.peers[0].Children[0].Start = nil, StartNever
				edit(p)
			})
			p.up()
			p.left.rekey("lan") // the first pair's packets may be early
			p.drive(10 * time.Second)
			p.right.kill()
			p.right.start()
			p.left.traffic("lan")
			p.drive(5*rtt + 20*time.Millisecond) // with the time for computing
			p.wantNotice(p.left, "peer-restarted")
			p.left.traffic("lan")
			p.drive(rtt)
			p.wantTunnel()
		})
	}
}

// withOtherPorts has the sides use other ports than 500 and 4500.
func withOtherPorts(p *testPair) {
	for _, s := range []*testSide{p.left, p.right} {
		s.config.IKEPort, s.config.NATPort = 1500, 14500
		s.peers[0].RemotePort, s.peers[0].RemoteNATPort = 1500, 14500
	}
	p.right.peers[0].Remote = p.left.addrs[:1]
}

// The message of RFC 7296, Section 1.5, is shorter than any packet that it answers.
func TestInvalidSPIMessage(t *testing.T) {
	p := newPair(t, 1, nil)
	p.script(true)
	from := netip.MustParseAddrPort("203.0.113.5:4500")
	p.right.handle(UnknownSPI{Path: ipsec.NATPath(netip.AddrPortFrom(p.right.addrs[0], 4500), from), SPI: 0xc0ffee, Size: minAnsweredESP})
	m := p.wantSend("INVALID_SPI", p.right, wire.Informational, false, "N(INVALID_SPI)")
	n, _ := wire.FindNotify(m.payloads, wire.InvalidSPI)
	if n.Protocol != 0 || len(n.SPI) != 0 || string(n.Data) != "\x00\xc0\xff\xee" {
		p.fatalf("the notify is %+v", n)
	}
	if h := m.hdr; !h.Initiator || h.Response || h.MessageID != 0 || m.pk.dst != from || m.pk.via != ipsec.NAT {
		p.fatalf("the message is %v, to %v", h, m.pk.dst)
	}
	const udp, marker = 8, 4
	if len(m.pk.data)+max(udp, marker) > minAnsweredESP {
		p.fatalf("it has %d octets", len(m.pk.data))
	}
}

// What gets no INVALID_SPI.
func TestNoInvalidSPI(t *testing.T) {
	p := newPair(t, 1, older)
	p.up()
	p.script(true)
	own, peer := p.right.addrs[0], p.left.addrs[0]
	stranger := netip.MustParseAddr("203.0.113.5")
	for name, in := range map[string]UnknownSPI{
		"a short packet":           {Path: ipsec.RawPath(own, stranger), Size: minAnsweredESP - 1},
		"from our own address":     {Path: ipsec.RawPath(own, own), Size: 100},
		"from a multicast address": {Path: ipsec.RawPath(own, netip.MustParseAddr("224.0.0.1")), Size: 100},
		"from no address":          {Path: ipsec.RawPath(own, netip.IPv4Unspecified()), Size: 100},
		"to a multicast address":   {Path: ipsec.RawPath(netip.MustParseAddr("224.0.0.1"), stranger), Size: 100},
		"to another's address":     {Path: ipsec.RawPath(netip.MustParseAddr("192.0.2.255"), stranger), Size: 100},
		"a peer with an IKE SA":    {Path: ipsec.RawPath(own, peer), Size: 100},
		"the same in UDP":          {Path: ipsec.UDPPath(netip.AddrPortFrom(own, 500), netip.AddrPortFrom(peer, 500)), Size: 100},
	} {
		p.right.handle(in)
		for _, m := range p.right.out {
			if m.hdr.ResponderSPI == 0 {
				p.fatalf("%s: %v", name, m)
			}
		}
	}
	p.right.handle(UnknownSPI{Path: ipsec.NATPath(netip.AddrPortFrom(own, 4500), netip.AddrPortFrom(peer, 4501)), Size: 100})
	if p.right.e.Counters()["ike_invalid_spi_sent"] != 1 {
		p.fatalf("another behind the peer's NAT gets no answer")
	}
}

// Floods are answered up to the limits, and an answer is not answered.
func TestInvalidSPIsAreFew(t *testing.T) {
	p := newPair(t, 1, nil)
	p.script(true)
	own := p.right.addrs[0]
	for n := range 2000 {
		for range 3 {
			from := netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)})
			p.right.handle(UnknownSPI{Path: ipsec.RawPath(own, from), SPI: 7, Size: 1400})
		}
	}
	if n := len(p.right.out); n != budget.InvalidSPILimit.Strangers {
		p.fatalf("%d answers to a flood of strangers", n)
	}
	m := p.right.out[0]
	p.right.out = nil
	for range 5 {
		p.right.handle(UnknownSPI{Path: ipsec.RawPath(own, p.left.addrs[0]), SPI: 7, Size: 1400})
	}
	if n := p.right.e.Counters()["ike_invalid_spi_sent"]; n != uint64(budget.InvalidSPILimit.Strangers+budget.InvalidSPILimit.Host) {
		p.fatalf("%d answers with those to a configured address", n)
	}
	p.left.handle(Datagram{Path: ipsec.UDPPath(p.left.home(), p.right.home()), Data: m.pk.data})
	if len(p.left.out) > 0 {
		p.fatalf("INVALID_SPI is answered by %v", p.left.out[0])
	}
}

// A token beside INVALID_SPI counts as one beside INVALID_IKE_SPI (RFC 6290, Section 8.2), if both
// are of the same IKE SA.
func TestTokenBesideInvalidSPI(t *testing.T) {
	for _, right := range []bool{true, false} {
		a := newCrashAttack(t)
		token := a.token
		if !right {
			token = a.right.e.crashToken(spiPair{1, 2}, false)
		}
		out := a.left.plane.ofPolicy(a.left.policy("lan"))[0].sa.SPIOut
		m := wire.Message{
			Header:   wire.Header{Exchange: wire.Informational, Initiator: true},
			Payloads: append([]wire.Payload{&wire.Notify{Kind: wire.InvalidSPI, Data: spiOctets(out)}}, tokenNotify(token)...),
		}
		a.inject(a.left, a.right.home(), m.AppendTo(nil))
		if a.main.state.ended() != right {
			a.fatalf("with a right token (%v) the IKE SA is %v", right, a.main.state)
		}
	}
}

// ESP comes from a peer that has all IKE SAs with its address: it is of yet another one, which was
// lost. After a check that the peer answered, and only then, INVALID_SPI tells so.
func TestInvalidSPIToAVouchedPeer(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	stray := UnknownSPI{Path: ipsec.RawPath(p.right.addrs[0], p.left.addrs[0]), SPI: 7, Size: 100}
	for i, c := range []struct {
		pause            time.Duration
		checks, answered int
	}{{0, 1, 0}, {0, 1, 0}, {2 * rtt, 1, 1}, {liveness.HintInterval, 2, 1}, {2 * rtt, 2, 2}} {
		p.drive(c.pause)
		p.right.handle(stray)
		checks, answered := p.right.requests(wire.Informational), int(p.right.e.Counters()["ike_invalid_spi_sent"])
		if checks -= answered; checks != c.checks || answered != c.answered {
			p.fatalf("packet %d: %d checks and %d INVALID_SPI", i+1, checks, answered)
		}
	}
}
