package dataplane

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

var (
	outerC      = netip.MustParseAddrPort("192.0.2.3:4500")
	outerMapped = netip.MustParseAddrPort("192.0.2.1:14000") // outerA, as a NAT shows it
)

// portOf returns the port of its own from which a pair is sent; 0: it has none.
func (g *gateway) portOf(id ipsec.ChildID) uint16 {
	st, _ := g.ChildStats(id)
	return st.SourcePort
}

// sourced is two gateways of two workers, of which a's can send from source ports 40000 and 40001,
// with a pair for all and one, number 2, of the second worker. What a sends from a port in lost is
// lost, by the error if it has one.
type sourced struct {
	t    *testing.T
	a, b *gateway
	own  ipsec.ChildSA

	mu    sync.Mutex
	lost  map[uint16]error
	ports []uint16 // of what worker 1 sent as traffic, since ask
	asked []uint16 // of the requests and others without traffic
}

func newSourced(t *testing.T, change func(own *ipsec.ChildSA)) *sourced {
	s := &sourced{t: t, lost: map[uint16]error{}}
	s.a, s.b = twoGateways(t, 2, func(c *Config) { c.Probe = true })
	for _, g := range []*gateway{s.a, s.b} {
		g.clock.Store(time.Unix(1000, 0).UnixNano())
	}
	for i, p := range s.a.ports {
		p.source = uint16(40000 + i)
	}
	s.a.ports[1].sending(func(o *netio.Outgoing) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		port := o.Path.Local().Port()
		if o.TOS == 0 {
			s.asked = append(s.asked, port)
		} else {
			s.ports = append(s.ports, port)
		}
		return s.lost[port]
	})
	shared := childSA(t, s.a, s.b, 1)
	install(t, s.a, s.b, shared)
	s.own = childSA(t, s.a, s.b, 2)
	s.own.Resource, s.own.PerResource, s.own.OtherPorts = 2, true, true
	if change != nil {
		change(&s.own)
	}
	install(t, s.a, s.b, s.own)
	return s
}

// send sends a packet on the worker's own pair, after a time, and returns the port that it left by.
func (s *sourced) send(after time.Duration) uint16 {
	s.t.Helper()
	s.a.clock.Add(int64(after))
	s.mu.Lock()
	before := len(s.ports)
	s.mu.Unlock()
	pkt := udpPacket(src4, dst4, true, nil)
	pkt[1] = 0xb8 // to tell it from dummy packets
	s.a.queues[1].inject(pkt)
	var port uint16
	eventually(s.t, "the packet leaves", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.ports) == before {
			return false
		}
		port = s.ports[before]
		return true
	})
	s.settle()
	return port
}

// lose has what leaves by a port lost, with an error; nil: not any more.
func (s *sourced) lose(port uint16, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[port] = err
}

// wantWhy checks why the worker's own pair is not sent from a source port; "": it is.
func (s *sourced) wantWhy(want string) {
	s.t.Helper()
	if st, _ := s.a.ChildStats(2); st.SourceWhy != want || (st.SourcePort != 0) != (want == "") {
		s.t.Errorf("it has port %d: %q, want %q", st.SourcePort, st.SourceWhy, want)
	}
}

// settle waits until the worker has noted what it sent.
func (s *sourced) settle() {
	s.t.Helper()
	w := s.a.workers[1]
	eventually(s.t, "the worker sleeps", func() bool { return !w.mail.full.Load() && w.idle.Load() })
}

// wantPort checks the port that a packet leaves by after a time.
func (s *sourced) wantPort(what string, after time.Duration, want uint16) {
	s.t.Helper()
	if got := s.send(after); got != want {
		s.t.Errorf("%s: it left by port %d, want %d", what, got, want)
	}
}

// look looks at the sources after a time, and returns the number of requests from the source port.
func (s *sourced) look(after time.Duration) (n int) {
	s.t.Helper()
	s.a.clock.Add(int64(after))
	s.a.lookForSilence(s.a.cfg.Now())
	s.settle()
	s.send(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, port := range s.asked {
		if port == 40001 {
			n++
		}
	}
	return n
}

func (s *sourced) wantProven(want bool) {
	s.t.Helper()
	eventually(s.t, "the source is judged", func() bool {
		s.a.mu.Lock()
		defer s.a.mu.Unlock()
		return len(s.a.sources) == 1 && s.a.sources[0].proven == want && s.a.sources[0].tries == 0
	})
}

// prove lets the port be proven, and the worker's pair use it.
func (s *sourced) prove() {
	s.t.Helper()
	s.send(0)
	s.look(silenceEvery)
	s.wantProven(true)
	s.send(0)
	s.wantPort("proven, after a pause", sourcePause, 40001)
}

// A worker's own pair is sent from the worker's port when the peer has answered what came from
// there, and when it has paused.
func TestSourcePort(t *testing.T) {
	s := newSourced(t, nil)
	s.wantWhy("UDP port 40001 is tried")
	s.wantPort("at first", time.Second, 4500)
	if n := s.look(silenceEvery); n != 1 {
		t.Errorf("%d requests", n)
	}
	s.wantProven(true)
	s.wantPort("proven, without a pause", 0, 4500)
	s.wantPort("after a pause that is too short", sourcePause-1, 4500)
	s.wantWhy("UDP port 40001 is used from the next pause on")
	s.wantPort("after a pause", sourcePause, 40001)
	s.wantPort("from now on", 0, 40001)
	s.wantWhy("")
	if port := s.a.portOf(2); port != 40001 {
		t.Errorf("it has port %d", port)
	}
	if s.a.portOf(1) != 0 || s.a.portOf(77) != 0 {
		t.Error("others have a port")
	}
	s.b.wantNoEvent(t)
	for i, want := range []int{1, 2, 2, 3} { // one each second while it is used
		if n := s.look(silenceEvery); n != want {
			t.Errorf("look %d: %d requests, want %d", i, n, want)
		}
		s.wantProven(true)
	}
}

// A pair that replaces another one is sent from where that was, at once; on another path it begins
// at the port of that; what is removed is forgotten.
func TestSourceFollows(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	next := childSA(t, s.a, s.b, 3)
	next.Resource, next.PerResource, next.OtherPorts = 2, true, true
	install(t, s.a, s.b, next)
	s.wantPort("the successor", 0, 40001)
	if s.a.portOf(3) != 40001 {
		t.Error("the successor has no port")
	}
	s.a.RemoveSA(2)
	s.wantProven(true)
	s.a.SetPath(3, ipsec.NATPath(outerA, outerC))
	s.wantPort("another path", sourcePause, 4500)
	s.a.mu.Lock()
	if len(s.a.sources) != 1 || s.a.sources[0].proven || s.a.sources[0].path.outer.Remote() != outerC {
		t.Errorf("sources %+v", s.a.sources)
	}
	s.a.mu.Unlock()
	s.a.RemoveSA(3)
	if len(s.a.sources) != 0 {
		t.Errorf("sources %+v", s.a.sources)
	}
}

// A worker's first pair on a path of which the port is proven waits for a pause: what went before
// left on the pair for all.
func TestSourceOfAnotherPolicy(t *testing.T) {
	s := newSourced(t, nil)
	s.prove()
	other := childSA(t, s.a, s.b, 3)
	other.Policy, other.Resource, other.PerResource, other.OtherPorts = spare, 2, true, true
	install(t, s.a, s.b, other)
	if s.a.portOf(3) != 0 {
		t.Error("it has the port without a pause")
	}
	s.send(0)
	s.send(sourcePause)
	if s.a.portOf(3) != 40001 {
		t.Error("it has no port after a pause")
	}
}

// Pairs that the peer does not take from other ports, those for all, those by protocol 50, and
// those without probes have none.
func TestNoSource(t *testing.T) {
	for name, change := range map[string]func(*ipsec.ChildSA){
		"not agreed":  func(sa *ipsec.ChildSA) { sa.OtherPorts = false },
		"for all":     func(sa *ipsec.ChildSA) { sa.Resource = 0 },
		"protocol 50": func(sa *ipsec.ChildSA) { sa.Path = ipsec.RawPath(outerA.Addr(), outerB.Addr()) },
	} {
		s := newSourced(t, change)
		s.a.mu.Lock()
		if len(s.a.sources) > 0 || s.a.pairs[2].sourceOf() != nil {
			t.Errorf("%s: there is %+v", name, s.a.sources)
		}
		s.a.mu.Unlock()
	}
	g := newGateway(t, 2, nil)
	g.ports[1].source = 40001
	sa := childSA(t, g, g, 1)
	sa.Resource, sa.OtherPorts = 2, true
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	if len(g.sources) > 0 {
		t.Error("without probes there is one")
	}
}

// What comes on a pair from another port tells nothing of where the peer is, if it may.
func TestOtherPortsDoNotMoveThePeer(t *testing.T) {
	for _, may := range []bool{false, true} {
		s := newSourced(t, func(sa *ipsec.ChildSA) { sa.OtherPorts = may })
		s.a.ports[1].sending(func(o *netio.Outgoing) error {
			o.Path = o.Path.WithLocalPort(14000)
			return nil
		})
		s.a.queues[1].inject(udpPacket(src4, dst4, true, nil))
		s.b.wantAnywhere(t)
		if !may {
			s.b.wantEvent(t, ipsec.EventPeerMoved)
		}
		s.b.wantNoEvent(t)
	}
}
