package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// mostSPIs is how many SPIs a datagram has room for in one Delete.
const mostSPIs = 15500

// upWithChildren returns a pair with a number of Child SAs, as a peer may have them.
func upWithChildren(tb testing.TB, n int) *attack {
	p := newPair(tb, 1, func(p *testPair) {
		for i, s := range p.sides() {
			c := s.peers[0].Children[0]
			s.peers[0].Children = nil
			for k := range n {
				net := func(of int) []selector.Selector {
					return []selector.Selector{selector.FromPrefix(netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 100+of, k)))}
				}
				c.Name, c.Local, c.Remote = fmt.Sprint("c", k), net(i), net(1-i)
				s.peers[0].Children = append(s.peers[0].Children, c)
			}
		}
	})
	for k := range n {
		p.left.connect(fmt.Sprint("c", k))
		p.drive(100 * time.Millisecond)
	}
	p.drive(time.Second)
	if got := len(p.right.main().children.Pairs()); got != n {
		tb.Fatalf("%d Child SAs", got)
	}
	return newAttack(p)
}

// deleteOf returns a Delete of a number of Child SAs that no side has, and then of the pairs.
func deleteOf(unknown int, pairs ...[]byte) *wire.Delete {
	d := &wire.Delete{Protocol: wire.ProtoESP, SPISize: 4}
	for n := range unknown {
		d.SPIs = append(d.SPIs, spiOctets(1+uint32(n)))
	}
	d.SPIs = append(d.SPIs, pairs...)
	return d
}

// handleAsPeer has the right side handle a request of the left one's, and returns how long that
// takes.
func (a *attack) handleAsPeer(ps []wire.Payload) (time.Duration, *Effects) {
	request := a.forgeRequest(a.right, wire.Informational, wire.FirstType(ps), wire.AppendPayloads(nil, ps))
	fx, start := &Effects{}, time.Now()
	a.right.e.Handle(a.now, Datagram{Path: ipsec.UDPPath(a.right.home(), a.left.home()), Data: request}, fx)
	return time.Since(start), fx
}

// TestDeleteOfManySPIs: a Delete costs what its own length does, and not that times the number of
// Child SAs. The same for many Deletes in one message.
func TestDeleteOfManySPIs(t *testing.T) {
	one := []wire.Payload{deleteOf(mostSPIs)}
	many := slices.Repeat([]wire.Payload{deleteOf(mostSPIs/250 - 2)}, 250)
	least := func(children int, ps []wire.Payload) time.Duration {
		a, least := upWithChildren(t, children), time.Hour
		for range 20 {
			a.drive(time.Second)
			took, fx := a.handleAsPeer(ps)
			if len(fx.List) == 0 {
				t.Fatal("no answer")
			}
			least = min(least, took)
		}
		return least
	}
	for _, ps := range [][]wire.Payload{one, many} {
		if few, all := least(1, ps), least(255, ps); all > 4*few {
			t.Errorf("%d payloads: %v with 1 Child SA, %v with 255", len(ps), few, all)
		}
	}
}

// TestDeleteOfAll: among thousands of SPIs that are unknown, each pair that is named ends, once.
func TestDeleteOfAll(t *testing.T) {
	a := upWithChildren(t, 30)
	var spis, ours [][]byte
	for _, p := range a.right.main().children.Pairs() {
		spis, ours = append(spis, spiOctets(p.SA.SPIOut)), append(ours, spiOctets(p.SA.SPIIn))
	}
	a.script(true)
	a.asPeer(a.right, wire.Informational, deleteOf(1000, spis[:20]...), deleteOf(10, spis[10:29]...), deleteOf(0, []byte{1, 2, 3, 4}))
	left := a.right.main().children.Pairs()
	if len(left) != 1 || !slices.Equal(spiOctets(left[0].SA.SPIIn), ours[29]) {
		t.Errorf("%d Child SAs are left", len(left))
	}
	d, _ := wire.Find[*wire.Delete](a.wantSend("the Deletes", a.right, wire.Informational, true, "D(ESP x29)").payloads)
	if !slices.EqualFunc(d.SPIs, ours[:29], slices.Equal) {
		t.Errorf("the response names %x", d.SPIs)
	}
}

// TestLongRequestsAreCharged: what takes long to handle costs as much of the peer's budget. Beyond
// it a Delete is left for later: a refusal would count as its answer.
func TestLongRequestsAreCharged(t *testing.T) {
	const asked = 400
	for _, ps := range [][]wire.Payload{{deleteOf(mostSPIs)}, slices.Repeat([]wire.Payload{&wire.Unknown{PayloadType: 200}}, 250)} {
		a, answered := upWithChildren(t, 1), 0
		for range asked {
			if _, fx := a.handleAsPeer(ps); len(fx.List) > 0 {
				answered++
			}
		}
		later := a.right.e.Counters()["ike_over_budget_later"]
		if most := 5632 / weight(ps); answered > most || answered < most-2 || int(later) != asked-answered {
			t.Errorf("of %d requests of %d payloads at once %d are handled, and %d left for later; want %d", asked, len(ps), answered, later, most)
		}
	}
}
