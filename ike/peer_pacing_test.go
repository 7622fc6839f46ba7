package ike

import (
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// A multitude is two gateways with many peers of one another, which left is to bring up at its
// start. Each computation takes a third of a millisecond, one after another on either side: a
// thousand tunnels in a second at best.
type multitude struct {
	*testPair
	n        int
	came     map[string]time.Duration // of left's peers: when they came up
	underWay int                      // the most IKE SAs that were half-open at right at a time
	free     time.Time                // when the processor has done what was asked for
}

// addressOf is the address of left's n-th peer where each has one of its own.
func addressOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)}) }

func newMultitude(t *testing.T, n int, edit func(m *multitude)) *multitude {
	m := &multitude{n: n, came: map[string]time.Duration{}}
	newPair(t, 1, func(p *testPair) {
		m.testPair = p
		p.left.peers, p.right.peers = crowdPeers(true, n), crowdPeers(false, n)
		for i := range p.left.peers {
			p.left.peers[i].Children[0].Start = StartBoot
			own := selector.FromAddr(netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)}))
			p.left.peers[i].Children[0].Remote = []selector.Selector{own}
			p.right.peers[i].Children[0].Local = p.left.peers[i].Children[0].Remote
		}
		p.compute = func() time.Duration {
			if m.free.Before(p.now) {
				m.free = p.now
			}
			m.free = m.free.Add(time.Second / 3000 / 2) // of four for a tunnel
			return m.free.Sub(p.now)
		}
		p.after = m.watch
		p.right.late = false
		if edit != nil {
			edit(m)
		}
		left := p.left.peers
		p.left.peers, p.left.late = nil, true
		p.events.add(p.now, func() {
			p.left.peers = left
			p.left.handle(SetPeers{Peers: slices.Clone(left)})
		})
	})
	return m
}

// watch notes what came up and how many are under way, after each input.
func (m *multitude) watch(s *testSide) {
	if s == m.right {
		m.underWay = max(m.underWay, s.e.sas.halfOpen.Count())
		return
	}
	for _, n := range s.notices {
		if n.Event == "ike-up" {
			m.came[n.Peer] = m.now.Sub(epoch)
		}
	}
	s.notices = s.notices[:0]
}

// driveUntil runs the clock until n peers are up, but not beyond a time.
func (m *multitude) driveUntil(n int, most time.Duration) {
	m.t.Helper()
	for len(m.came) < n && m.step(epoch.Add(most)) {
	}
	if len(m.came) < n {
		m.t.Fatalf("%d of %d peers are up after %v; left counts %v, right %v", len(m.came), n, most, m.left.e.Counters(), m.right.e.Counters())
	}
}

// wantNone checks that a side has counted none of these.
func (m *multitude) wantNone(s *testSide, counters ...string) {
	m.t.Helper()
	for _, name := range counters {
		if n := s.e.Counters()[name]; n != 0 {
			m.t.Errorf("%s has counted %d %s", s.name, n, name)
		}
	}
}

// TestThousandsOfPeersAtBoot: all of one address come up without a request repeated, a cookie asked
// for, or one dropped by the responder, and the first at once.
func TestThousandsOfPeersAtBoot(t *testing.T) {
	n := 5000
	if testing.Short() {
		n = 1000
	}
	m := newMultitude(t, n, nil)
	m.driveUntil(1, 60*time.Millisecond)
	m.driveUntil(n, time.Duration(n)*time.Millisecond)
	m.wantNone(m.left, "ike_retransmitted", "ike_stale_response")
	m.wantNone(m.right, "ike_half_open_limit", "ike_cookie_sent", "ike_half_open_expired", "ike_retransmitted")
	if m.underWay > 48 || m.underWay < 40 {
		t.Errorf("%d were under way at the responder", m.underWay)
	}
	if !m.left.e.pace.Idle() {
		t.Errorf("left over: %+v", m.left.e.pace)
	}
}

// TestDeadPeersHoldNobodyBack: the first half of the peers have addresses where nobody is. The
// others come up as if there were none of those, but for the second in which these have places.
func TestDeadPeersHoldNobodyBack(t *testing.T) {
	const n = 1000
	for _, tt := range []struct {
		what   string
		remote func(i int) netip.Addr
		within time.Duration
	}{
		{"of one address", func(int) netip.Addr { return netip.MustParseAddr("10.8.0.1") }, 400 * time.Millisecond},
		{"of an address each", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}) }, 2300 * time.Millisecond},
	} {
		t.Run(tt.what, func(t *testing.T) {
			m := newMultitude(t, n, func(m *multitude) {
				m.right.config.Limits = EngineLimits{CookieThreshold: n, MaxHalfOpen: 64 * n} // it stands for many
				for i := range m.left.peers {
					m.right.peers[i].Remote = m.left.addrs[:1]
					m.left.peers[i].Remote = []netip.Addr{tt.remote(i)}
					if i >= n/2 {
						m.left.peers[i].Remote = []netip.Addr{addressOf(i)}
						m.right.addrs = append(m.right.addrs, addressOf(i))
					}
				}
			})
			m.driveUntil(n/2, tt.within)
		})
	}
}

// TestWhatIsAwaitedComesFirst: beside thousands that wait for their turn, a command and a packet
// have their peers come up within the two round trips that it takes.
func TestWhatIsAwaitedComesFirst(t *testing.T) {
	const n, roundTrip = 1000, 200 * time.Millisecond
	m := newMultitude(t, n, func(m *multitude) { m.link = steadyLink(roundTrip / 2) })
	m.drive(roundTrip / 4) // those that began first wait for their answers
	name := func(i int) string { return crowdPeer(true, i).Name }
	if st, _ := m.left.e.StatusOf(name(n - 1)); st.Reason != "waiting for its turn among many peers to connect to" {
		t.Errorf("the last one is %q", st.Reason)
	}
	m.left.handle(Connect{Peer: name(n - 1), Ref: m.left.ref()})
	m.left.plane.send(m.left.plane.policyNamed(ipsec.PolicyName{Peer: name(n - 2), Child: "lan"}), 1)
	m.drive(2*roundTrip + 10*time.Millisecond)
	for _, i := range []int{n - 1, n - 2} {
		if m.came[name(i)] == 0 {
			t.Errorf("%s is not up; %d others are", name(i), len(m.came))
		}
	}
	if len(m.came) > 10 {
		t.Errorf("%d are up: they did not wait", len(m.came))
	}
}

// TestResponderThatTakesFew drops what comes beside five half-open IKE SAs. All peers come up all
// the same, most of them without a repetition.
func TestResponderThatTakesFew(t *testing.T) {
	const n = 300
	m := newMultitude(t, n, func(m *multitude) {
		m.right.config.Limits.MaxHalfOpen = 5 * 16 // for one address that is configured
		for i := range m.right.peers {
			m.right.peers[i].Remote = m.left.addrs[:1]
		}
	})
	m.driveUntil(n, 30*time.Second)
	if lost := m.right.e.Counters()["ike_half_open_limit"]; lost == 0 || lost > n/5 {
		t.Errorf("%d requests were dropped", lost)
	}
}

// TestTurnOfAPeerThatIsNoLongerWanted: one that leaves the configuration, or is taken down, leaves
// its place among those that wait.
func TestTurnOfAPeerThatIsNoLongerWanted(t *testing.T) {
	const n = 100
	m := newMultitude(t, n, nil)
	m.step(epoch)
	name := crowdPeer(true, n-1).Name
	p := m.left.e.peers.byName[name].party
	if !p.turn.Waiting() {
		t.Fatal("the last one does not wait")
	}
	m.left.handle(ChangePeers{Gone: []string{name}})
	if p.turn.Waiting() {
		t.Error("a peer that is gone waits for its turn")
	}
	down := crowdPeer(true, n-2).Name
	m.left.handle(Disconnect{Peer: down, Ref: m.left.ref()})
	if m.left.e.peers.byName[down].party.turn.Waiting() {
		t.Error("a peer that was taken down waits for its turn")
	}
	m.driveUntil(n-2, 2*time.Second)
	if !m.left.e.pace.Idle() {
		t.Errorf("left over: %+v", m.left.e.pace)
	}
}

// brokenAt is a source of randomness of which one read fails.
type brokenAt struct {
	io.Reader
	reads int // until then
}

func (b *brokenAt) Read(buf []byte) (int, error) {
	if b.reads--; b.reads == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return b.Reader.Read(buf)
}

// TestNoRandomness: an attempt for which there is no randomness leaves nothing behind that would
// keep another one from being made.
func TestNoRandomness(t *testing.T) {
	for reads := 1; reads <= 2; reads++ { // for the SPI, and for the nonce
		p := newPair(t, 1, nil)
		p.left.e.cfg.Rand = &brokenAt{p.left.e.cfg.Rand, reads}
		p.left.connect("lan")
		if n := len(p.left.e.sas.bySPI); n != 0 {
			t.Errorf("read %d: %d IKE SAs are left", reads, n)
		}
		p.wantReason(p.left, "no randomness")
		p.drive(time.Minute)
		p.left.connect("lan")
		p.drive(5 * time.Second)
		p.wantTunnel()
	}
}
