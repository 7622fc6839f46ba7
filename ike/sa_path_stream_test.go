package ike

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// streamed is a transport with connections, as TCP encapsulation is one (RFC 9329). The engine
// knows nothing of it but these fields.
var streamed = &ipsec.Transport{Name: "stream", Headers: 20, CarriesESP: true, Stream: true}

// streams are the connections of a pair. They lose nothing and keep the order.
type streams struct {
	p    *testPair
	open []*stream
	made uint32
	lost int // packets for connections that are gone

	request *testPacket // the last of the left side
}

// A stream is one connection, with its path as each end has it. The end that opened it has no
// number in the path.
type stream struct {
	ends  [2]*testSide
	paths [2]ipsec.Path
}

// carry brings a packet to the other end of its connection. A connection that the sender may open
// is opened.
func (n *streams) carry(pk *testPacket) {
	if pk.whole || pk.part > 0 || pk.msg == nil && pk.esp == nil {
		n.p.violated("%s sends on a stream as on UDP: whole %v, in parts of %d, keepalive %v", pk.from.name, pk.whole, pk.part, pk.msg == nil && pk.esp == nil)
	}
	if pk.msg != nil && pk.msg.fragment != "" {
		n.p.violated("%s sends fragments on a stream", pk.from.name)
	}
	if pk.msg != nil && pk.from == n.p.left && !pk.msg.hdr.Response {
		n.request = pk
	}
	c, end := n.find(pk)
	switch {
	case c == nil && pk.path.Conn() != 0:
		n.lost++
		return
	case c == nil:
		c, end = n.dial(pk), 0
	}
	n.p.events.add(n.p.now.Add(testRTT/2), func() {
		if slices.Contains(n.open, c) {
			c.ends[1-end].take(pk, c.paths[1-end])
		}
	})
}

func (n *streams) find(pk *testPacket) (c *stream, end int) {
	for _, c := range n.open {
		for end := range c.ends {
			if c.ends[end] == pk.from && c.paths[end] == pk.path {
				return c, end
			}
		}
	}
	return nil, 0
}

// dial opens the connection of a path, from a new port.
func (n *streams) dial(pk *testPacket) *stream {
	n.made++
	from := netip.AddrPortFrom(pk.path.Local().Addr(), uint16(50000+n.made))
	if box := pk.from.nat; box != nil {
		from = box.outbound(from)
	}
	c := &stream{
		ends:  [2]*testSide{pk.from, pk.from.other()},
		paths: [2]ipsec.Path{pk.path, ipsec.NewPath(streamed, pk.path.Remote(), from, n.made)},
	}
	n.open = append(n.open, c)
	return c
}

// cut breaks all connections, with all that is under way on them.
func (n *streams) cut() { n.open = nil }

// streaming returns a pair of which the left side connects by a stream. A datagram is a violation.
func streaming(t *testing.T, edit func(p *testPair)) *testPair {
	return newPair(t, 1, func(p *testPair) {
		fragmenting(200)(p)
		p.left.peers[0].Transport = streamed
		p.right.peers[0].Remote = nil
		p.streams = &streams{p: p}
		p.link = func(pk *testPacket) []time.Duration {
			p.violated("%s sends a datagram from %v to %v by %s", pk.from.name, pk.src, pk.dst, pk.via.Name)
			return nil
		}
		if edit != nil {
			edit(p)
		}
	})
}

// wantOnStream checks that both sides' Child SAs are on the given connection and carry packets both
// ways.
func (p *testPair) wantOnStream(what string, number uint32) {
	p.t.Helper()
	p.left.traffic("lan")
	p.right.traffic("lan")
	p.drive(testRTT)
	p.wantTunnel()
	p.wantNoLoss()
	if len(p.streams.open) != 1 || p.streams.made != number {
		p.fatalf("%s: %d connections are open, and %d were opened", what, len(p.streams.open), p.streams.made)
	}
	for i, s := range p.streams.open[0].ends {
		psa := s.plane.ofPolicy(s.policy("lan"))[0]
		if want := p.streams.open[0].paths[i]; psa.sa.Path != want || psa.lastIn.Before(p.now.Add(-testRTT)) {
			p.fatalf("%s: %s sends on %v, want %v; it last received at %v", what, s.name, psa.sa.Path, want, psa.lastIn.Sub(epoch))
		}
		if st := s.e.Status()[0]; st.Remote != p.streams.open[0].paths[i].Remote() || !st.Children[0].Encap {
			p.fatalf("%s: the status of %s is %+v", what, s.name, st)
		}
	}
}

// IKE and ESP share the one connection, whatever NAT detection finds: there are no NAT ports, no
// fragments, no keepalives and no path probes. Rekeying stays on it.
func TestStream(t *testing.T) {
	for name, nat := range map[string]*natBox{"no NAT": nil, "NAT": newNAT(netip.MustParseAddr("198.51.100.1"))} {
		t.Run(name, func(t *testing.T) {
			p := streaming(t, func(p *testPair) { p.left.nat = nat })
			p.up()
			if st := p.left.e.Status()[0]; st.NAT != (NATState{Local: true}) && nat != nil {
				p.fatalf("left sees %+v", st.NAT)
			}
			p.wantOnStream("up", 1)
			for _, s := range []*testSide{p.left, p.right} {
				for _, child := range []string{"lan", ""} {
					ref := s.rekey(child)
					p.drive(time.Minute) // until what was replaced is gone
					p.wantDone(s, ref, "")
					p.wantOnStream(s.name+" has rekeyed "+child, 1)
				}
			}
			p.drive(5 * time.Minute)
			p.wantOnStream("after a pause", 1)
			id := p.probe(1400)
			p.wantProbed(ipsec.PathProbe{ID: id, Size: 1400})
		})
	}
}

// A connection breaks: the side that opened it opens another with what it sends next, and the other
// side follows to that, without NAT detection as well.
func TestStreamBreaks(t *testing.T) {
	for name, send := range map[string]func(p *testPair){
		"ESP": func(p *testPair) { p.left.traffic("lan") },
		"IKE": func(p *testPair) { p.left.rekey("lan") },
		"IKE after a loss": func(p *testPair) {
			p.right.rekey("lan") // has no connection to go by
			p.drive(time.Second)
			p.left.rekey("lan")
		},
		"a liveness check": func(p *testPair) {
			p.left.traffic("lan")
			p.streams.cut() // what it opened is gone as well, with the packet
			p.drive(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := streaming(t, func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapNever, EncapNever })
			p.up()
			was, before := p.left.e.peers.order[0].party.main(), p.streams.made
			p.streams.cut()
			send(p)
			p.drive(time.Minute)
			if p.streams.made == before {
				p.fatalf("no connection was opened")
			}
			p.wantOnStream("connected again", p.streams.made)
			p.wantSameIKESA(was)
		})
	}
}

// A copy of a request on another connection is answered there, and moves nothing.
func TestStreamOfCopies(t *testing.T) {
	p := streaming(t, nil)
	p.up()
	p.left.rekey("lan")
	p.drive(time.Minute)
	last := p.streams.request
	copied := ipsec.NewPath(streamed, p.right.home(), netip.MustParseAddrPort("203.0.113.66:999"), 77)
	lost := p.streams.lost
	p.right.handle(Datagram{Path: copied, Data: last.data})
	if p.streams.lost == lost {
		p.fatalf("the copy was not answered where it came from")
	}
	p.wantOnStream("after a copy", 1)
}

// The left side leaves for another address: it opens a connection from there. The right side has
// no connection to open, and keeps its path.
func TestStreamRoams(t *testing.T) {
	p := streaming(t, func(p *testPair) { p.left.peers[0].Local, p.right.peers[0].Local = netip.Addr{}, netip.Addr{} })
	p.up()
	was := p.left.e.peers.order[0].party.main()
	p.right.roamTo("192.0.2.22")
	p.drive(time.Second)
	p.wantOnStream("the right side has another address", 1)
	p.streams.cut()
	p.left.roamTo("192.0.2.101")
	p.drive(time.Second)
	p.wantOnStream("the left side has moved", 2)
	p.wantSameIKESA(was)
	if l := p.left.e.Status()[0].Local.Addr(); l != p.left.addrs[0] {
		p.fatalf("left sends from %v", l)
	}
	if n := slices.IndexFunc(p.right.notices, func(n Notice) bool { return n.Event == "address-changed" }); n >= 0 {
		p.fatalf("right changed the address of a connection that it did not open: %s", p.right.notices[n].Text)
	}
}

// A cookie holds on another connection, which has another port, of the same address.
func TestCookieOnStreams(t *testing.T) {
	on := func(remote string, number uint32) netip.AddrPort {
		return cookieSource(ipsec.NewPath(streamed, netip.MustParseAddrPort("192.0.2.2:4500"), netip.MustParseAddrPort(remote), number))
	}
	jar := cookieJar{secrets{rand: seededRand(1, "cookie")}}
	ni, spi := []byte("nonce of sixteen"), wire.SPI(1)
	cookie, err := jar.make(epoch, ni, on("192.0.2.1:50001", 1), spi)
	if err != nil || !jar.valid(epoch, cookie, ni, on("192.0.2.1:50002", 2), spi) || jar.valid(epoch, cookie, ni, on("192.0.2.9:50001", 1), spi) {
		t.Errorf("the cookie holds for another connection: %v, %v", jar.valid(epoch, cookie, ni, on("192.0.2.1:50002", 2), spi), err)
	}
	if from := netip.MustParseAddrPort("192.0.2.1:501"); cookieSource(ipsec.UDPPath(from, from)) != from {
		t.Error("a cookie over UDP does not cover the port")
	}
}
