package ike

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/window"
	"culvert/ike/wire"
)

// neighbours are two peers of left's at one address, the first of which is up on demand. What the
// second sends and receives is subject to a link of its own.
type neighbours struct {
	*testPair
	link  linkFate // of the second
	sent  int      // datagrams that the second sent
	tries int      // its attempts
}

func newNeighbours(t *testing.T, edit func(n *neighbours)) *neighbours {
	n := &neighbours{}
	newPair(t, 1, func(p *testPair) {
		n.testPair = p
		p.left.peers, p.right.peers = crowdPeers(true, 2), crowdPeers(false, 2)
		p.left.peers[1].Children[0].Start = StartBoot
		mine := map[wire.SPI]bool{}
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg == nil {
				return steadyLink(testRTT / 2)(pk)
			}
			spi := pk.msg.hdr.InitiatorSPI
			if pk.from == p.left && !mine[spi] && pk.msg.hdr.Exchange == wire.IKESAInit {
				mine[spi] = slices.Contains(n.second().sas, p.left.e.sas.bySPI[spi])
				n.tries += btoi(mine[spi])
			}
			if !mine[spi] {
				return steadyLink(testRTT / 2)(pk)
			}
			n.sent += btoi(pk.from == p.left)
			return n.link(pk)
		}
		n.link = func(*testPacket) []time.Duration { return nil }
		if edit != nil {
			edit(n)
		}
	})
	return n
}

func (n *neighbours) second() *party { return n.left.e.peers.byName[crowdPeer(true, 1).Name].party }

// firstUp brings the first up, and takes it down again.
func (n *neighbours) firstUp() {
	n.t.Helper()
	name := crowdPeer(true, 0).Name
	ref := n.left.ref()
	n.left.handle(Connect{Peer: name, Ref: ref})
	n.drive(500 * time.Millisecond)
	n.wantDone(n.left, ref, "")
	n.left.handle(Disconnect{Peer: name, Ref: n.left.ref()})
}

// answered lets everything pass from now on, has the first come up, and returns when the second
// does.
func (n *neighbours) answered() time.Duration {
	n.t.Helper()
	n.link = steadyLink(testRTT / 2)
	n.firstUp()
	return n.waitFor(2*time.Minute, func() bool { return n.second().main() != nil })
}

// TestNeighbourHastens: a peer whose attempts were not answered is tried at once when another one
// of that address comes up, whatever its pause is, and at that address before others. A request of
// IKE_AUTH that is under way is sent again, and a gateway that was restarted says that it does not
// know the IKE SA.
func TestNeighbourHastens(t *testing.T) {
	for what, c := range map[string]struct {
		edit   func(n *neighbours)
		before func(n *neighbours)
		within time.Duration
	}{
		"in a pause":                      {nil, func(n *neighbours) { n.pauses() }, time.Second},
		"in the last pause of an attempt": {nil, func(n *neighbours) { n.drive(45 * time.Second) }, time.Second},
		"of several addresses": {func(n *neighbours) {
			peer := &n.left.peers[1]
			peer.Remote = []netip.Addr{netip.MustParseAddr("192.0.2.77"), peer.Remote[0]}
		}, func(n *neighbours) { n.pauses() }, time.Second},
		"over IPv6": {func(n *neighbours) {
			for i := range n.left.peers {
				n.left.peers[i].Remote = n.right.addrs[1:]
			}
		}, func(n *neighbours) { n.pauses() }, time.Second},
		"a restart before IKE_AUTH": {func(n *neighbours) {
			n.link = func(pk *testPacket) []time.Duration {
				if pk.msg.hdr.Exchange == wire.IKESAInit {
					return []time.Duration{testRTT / 2}
				}
				return nil
			}
		}, func(n *neighbours) {
			n.drive(45 * time.Second)
			n.right.kill()
			n.right.start()
		}, hintedCheck + time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			n := newNeighbours(t, c.edit)
			c.before(n)
			if took := n.answered(); took > c.within {
				n.fatalf("the second is up %v after the first", took)
			}
			if len(n.left.e.unanswered) > 0 || len(n.second().unanswered) > 0 {
				n.fatalf("left over: %v, %v", n.left.e.unanswered, n.second().unanswered)
			}
		})
	}
}

// pauses runs the clock into a pause of the second that lasts for more than half a minute still.
func (n *neighbours) pauses() {
	n.t.Helper()
	n.waitFor(time.Hour, func() bool { return n.second().try.At.Sub(n.now) > 40*time.Second })
	n.drive(5 * time.Second)
}

// TestNeighbourHastensWithoutAStorm: an IKE SA that comes up every two seconds for 15 minutes makes
// the attempts of a peer that is never answered follow each other, of 75 s each, and no more often
// than hastenPause allows. One that is refused is not hastened, and who is not wanted not tried.
func TestNeighbourHastensWithoutAStorm(t *testing.T) {
	for what, c := range map[string]struct {
		edit        func(n *neighbours)
		tries, sent int
	}{
		"no answer": {nil, 900 / 75, 900 / 75 * 13},
		"no answer to short attempts": {func(n *neighbours) { // 10 s are between two cuts
			n.left.peers[1].Retransmit = window.RetransmitPlan{First: 100 * time.Millisecond, Factor: 1, Tries: 1}
		}, 900/10 + 6, 2 * (900/10 + 6)},
		"refused": {func(n *neighbours) {
			n.right.peers[1].PSK = []byte("another secret, of another peer")
			n.link = steadyLink(testRTT / 2)
		}, 20, 2 * 20},
		"not wanted": {func(n *neighbours) { n.left.peers[1].Children[0].Start = StartNever }, 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			n := newNeighbours(t, c.edit)
			for n.now.Sub(epoch) < 15*time.Minute {
				n.firstUp()
				n.drive(1500 * time.Millisecond)
			}
			if n.tries > c.tries || n.sent > c.sent || n.tries < c.tries*3/4 {
				n.fatalf("%d attempts and %d datagrams", n.tries, n.sent)
			}
		})
	}
}

// TestCrowdComesBack: a thousand peers of one gateway were not answered for ten minutes. When the
// first is, the others follow as fast as the gateway takes them, and no faster.
func TestCrowdComesBack(t *testing.T) {
	const n = 1000
	cut := true
	m := newMultitude(t, n, func(m *multitude) {
		m.link = func(pk *testPacket) []time.Duration {
			if cut {
				return nil
			}
			return steadyLink(10 * time.Millisecond)(pk)
		}
	})
	m.drive(10 * time.Minute)
	cut = false
	back := m.now
	m.driveUntil(1, 12*time.Minute)
	first := m.now.Sub(back)
	m.driveUntil(n, 12*time.Minute)
	if took := m.now.Sub(back) - first; took > 3*time.Second {
		t.Errorf("all are up %v after the first", took)
	}
	if m.underWay > 64 {
		t.Errorf("%d were under way at the responder", m.underWay)
	}
	if m.wantNone(m.right, "ike_half_open_limit"); len(m.left.e.unanswered) > 0 || !m.left.e.pace.Idle() {
		t.Errorf("left over: %v, %+v", m.left.e.unanswered, m.left.e.pace)
	}
}

// TestUnansweredLeavesWithThePeer: a peer that is gone, or has other addresses, waits at none that
// it had.
func TestUnansweredLeavesWithThePeer(t *testing.T) {
	for _, gone := range []bool{true, false} {
		n := newNeighbours(t, nil)
		n.drive(10 * time.Second)
		at := n.left.peers[1].Remote[0]
		if n.left.e.unanswered[at] == nil {
			n.fatalf("it is not listed at %v", at)
		}
		if gone {
			n.left.handle(ChangePeers{Gone: []string{n.left.peers[1].Name}})
		} else {
			n.left.peers[1].Remote = []netip.Addr{at.Next()}
			n.left.handle(ChangePeers{Set: n.left.peers[1:]})
		}
		n.drive(time.Millisecond)
		if n.left.e.unanswered[at] != nil {
			n.fatalf("gone %v: it is listed still", gone)
		}
	}
}
