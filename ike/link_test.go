package ike

import (
	"net/netip"
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// testSchedule holds the events of the virtual clock, as a heap of its own, which unlike
// container/heap allocates nothing: simulations spend their time here. Of two events at one moment
// the one planned first comes first.
type testSchedule struct {
	list []testEvent
	seq  uint64
}

type testEvent struct {
	at  time.Time
	seq uint64
	run func()
}

func (s *testSchedule) add(at time.Time, run func()) {
	s.seq++
	s.list = append(s.list, testEvent{at, s.seq, run})
	for i := len(s.list) - 1; i > 0 && s.before(i, (i-1)/2); i = (i - 1) / 2 {
		s.swap(i, (i-1)/2)
	}
}

// pop takes the first event if it is due by the given time.
func (s *testSchedule) pop(by time.Time) (testEvent, bool) {
	if len(s.list) == 0 || s.list[0].at.After(by) {
		return testEvent{}, false
	}
	first, last := s.list[0], len(s.list)-1
	s.swap(0, last)
	s.list[last] = testEvent{}
	s.list = s.list[:last]
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < last && s.before(child, least) {
				least = child
			}
		}
		if least == i {
			return first, true
		}
		s.swap(i, least)
		i = least
	}
}

func (s *testSchedule) next() (time.Time, bool) {
	if len(s.list) == 0 {
		return time.Time{}, false
	}
	return s.list[0].at, true
}

func (s *testSchedule) before(i, j int) bool {
	if c := s.list[i].at.Compare(s.list[j].at); c != 0 {
		return c < 0
	}
	return s.list[i].seq < s.list[j].seq
}

func (s *testSchedule) swap(i, j int) { s.list[i], s.list[j] = s.list[j], s.list[i] }

// testPacket is something on the wire: an IKE message, a keepalive, or an ESP packet of the model.
type testPacket struct {
	from     *testSide
	path     ipsec.Path // as the sender has it
	src, dst netip.AddrPort
	via      *ipsec.Transport
	whole    bool // IP may not fragment it
	part     int  // size of the fragments that it is sent in; 0: one packet
	msg      *testMessage
	data     []byte // of msg, as it goes: the link may change it
	esp      *espPacket
}

// on puts a packet of a side on a path.
func (s *testSide) on(p ipsec.Path, pk testPacket) *testPacket {
	pk.path = p
	if a := p.Local().Addr(); !a.IsValid() || a.IsUnspecified() {
		p = p.WithLocal(s.addrFor(p.Remote().Addr()))
	}
	pk.from, pk.src, pk.dst, pk.via = s, p.Local(), p.Remote(), p.Via()
	return &pk
}

// linkFate decides what the link does with a packet: one delivery after each delay; none: it is
// lost.
type linkFate func(pk *testPacket) []time.Duration

// steadyLink delivers everything after the delay.
func steadyLink(delay time.Duration) linkFate {
	return func(*testPacket) []time.Duration { return []time.Duration{delay} }
}

// eat loses what the given transport carries.
func (p *testPair) eat(via *ipsec.Transport) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if pk.via == via {
			return nil
		}
		return link(pk)
	}
}

// eatESPInUDP loses the ESP in UDP of some sides, while IKE passes at the same port.
func (p *testPair) eatESPInUDP(of ...*testSide) {
	link := p.link
	p.link = func(pk *testPacket) []time.Duration {
		if slices.Contains(of, pk.from) && pk.via == ipsec.NAT && pk.esp != nil {
			return nil
		}
		return link(pk)
	}
}

// older has both sides announce no abilities, so that without a NAT there is no UDP encapsulation.
func older(p *testPair) { p.left.older, p.right.older = true, true }

// natBox is a NAT with endpoint-independent mapping and filtering in front of one side. It supports
// UDP only.
type natBox struct {
	public   netip.Addr
	out, in  map[netip.AddrPort]netip.AddrPort
	nextPort uint16
	inside   netip.Addr // of a static NAT, which maps one address and keeps the ports
}

func newNAT(public netip.Addr) *natBox {
	n := &natBox{public: public, nextPort: 20000}
	n.forget()
	return n
}

// newStaticNAT returns the NAT of a cloud's machine or of forwarded ports: it maps an address to a
// public one, in both directions and for good.
func newStaticNAT(public, inside netip.Addr) *natBox { return &natBox{public: public, inside: inside} }

// inbound returns where a packet to a public address and port goes.
func (n *natBox) inbound(dst netip.AddrPort) (netip.AddrPort, bool) {
	if n.inside.IsValid() {
		return netip.AddrPortFrom(n.inside, dst.Port()), true
	}
	inside, ok := n.in[dst]
	return inside, ok
}

// forget drops all mappings: the next packet gets a new port.
func (n *natBox) forget() {
	n.out, n.in = map[netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort]netip.AddrPort{}
}

func (n *natBox) outbound(src netip.AddrPort) netip.AddrPort {
	if n.inside.IsValid() {
		return netip.AddrPortFrom(n.public, src.Port())
	}
	if mapped, ok := n.out[src]; ok {
		return mapped
	}
	n.nextPort++
	mapped := netip.AddrPortFrom(n.public, n.nextPort)
	n.out[src], n.in[mapped] = mapped, src
	return mapped
}

// send puts a packet on the link, through the sender's NAT, or on its stream.
func (p *testPair) send(pk *testPacket) {
	if pk.path.Stream() {
		p.streams.carry(pk)
		return
	}
	if p.unsent != nil && p.unsent(pk) {
		return
	}
	if box := pk.from.nat; box != nil {
		if pk.via == ipsec.Raw {
			return // it does not pass
		}
		pk.src = box.outbound(pk.src)
	}
	for _, delay := range p.link(pk) {
		p.events.add(p.now.Add(delay), func() { p.arrive(pk) })
	}
}

// arrive brings a packet to the side that has its destination address, through that side's NAT.
func (p *testPair) arrive(pk *testPacket) {
	dst := pk.dst
	for _, s := range p.sides() {
		if s.nat != nil && s.nat.public == dst.Addr() {
			inside, ok := s.nat.inbound(dst)
			if !ok {
				return
			}
			p.reach(s, pk, inside)
			return
		}
		if s.nat == nil && s.hasAddr(dst.Addr()) {
			p.reach(s, pk, dst)
			return
		}
	}
	if p.undelivered != nil {
		p.undelivered(pk, false)
	}
}

// reach brings a packet to a side, whose daemon may be dead.
func (p *testPair) reach(s *testSide, pk *testPacket, dst netip.AddrPort) {
	if s.e == nil && p.undelivered != nil {
		p.undelivered(pk, true)
		return
	}
	s.receive(pk, dst)
}
