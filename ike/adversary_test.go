package ike

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/adversary"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// duel is an engine, the right side of a pair, against the adversary, which has the address and the
// name of the left side. At its end the left side itself comes, as an honest peer.
type duel struct {
	*testPair
	peer   *adversary.Peer
	over   bool     // the left side is itself again
	moved  int      // messages that a move changed
	sent   int      // IKE messages of the right side
	most   [3]int   // half-open IKE SAs, IKE SAs and Child SAs of the right side at a time
	limits [4]int   // of most and sent
	hold   bool     // what the adversary sends is kept
	held   [][]byte // in the order in which it was sent
	honest bool     // has the credential
}

// newDuel returns a duel in which nothing has happened. edit may change the pair and the adversary.
func newDuel(t testing.TB, edit func(p *testPair, c *adversary.Config)) *duel {
	d := &duel{honest: true, limits: [4]int{8, 8, 16, 200}}
	config := adversary.Config{
		Rand: seededRand(1, "adversary"), Groups: fakeKEs{random: seededRand(1, "adversary ke")},
		ID: wire.ID{IDType: wire.IDFQDN, Data: []byte("left.example.com")}, PSK: testPSK(),
		IKE: testIKEProposal, ESP: testESPProposal,
		Local: tsOf("10.1.0.0/24"), Remote: tsOf("10.2.0.0/24"),
	}
	d.testPair = newPair(t, 1, func(p *testPair) {
		twoChildren(p)
		p.right.peers[0].DPD = 30 * time.Second
		if edit != nil {
			edit(p, &config)
		}
	})
	d.peer = &adversary.Peer{Config: config}
	d.left.kill()
	link := d.link
	d.link = func(pk *testPacket) []time.Duration {
		if d.over || pk.from != d.right {
			return link(pk)
		}
		if pk.msg != nil {
			d.sent++
			d.events.add(d.now.Add(time.Millisecond), func() { d.take(pk) })
		}
		return nil
	}
	d.after = d.watch
	return d
}

func tsOf(network string) []wire.TrafficSelector {
	return wireTS(false, testNetworks(network)).Selectors
}

// take has the adversary receive a message of the right side.
func (d *duel) take(pk *testPacket) {
	if !d.over {
		d.send(d.peer.Receive(pk.data))
	}
}

// send brings datagrams of the adversary to the right side.
func (d *duel) send(list [][]byte) {
	if d.hold {
		d.held = append(d.held, list...)
		return
	}
	for _, data := range list {
		d.events.add(d.now.Add(time.Millisecond), func() {
			d.right.handle(Datagram{Path: ipsec.UDPPath(d.right.home(), d.left.home()), Data: slices.Clone(data)})
		})
	}
}

// release sends what was held, in the given order.
func (d *duel) release(order ...int) {
	d.hold = false
	held := d.held
	d.held = nil
	for _, i := range order {
		if i < len(held) {
			d.send(held[i : i+1])
			d.drive(20 * time.Millisecond)
		}
	}
}

// watch follows what the right side holds.
func (d *duel) watch(s *testSide) {
	if s != d.right || d.over || s.e == nil {
		return
	}
	for i, n := range [3]int{s.e.sas.halfOpen.Count(), len(s.e.sas.bySPI), len(s.plane.sas)} {
		d.most[i] = max(d.most[i], n)
	}
	for _, psa := range s.plane.sas {
		pol := s.plane.spd[psa.sa.Policy]
		if !selector.Subset(psa.sa.LocalTS, pol.Local) || !selector.Subset(psa.sa.RemoteTS, pol.Remote) {
			d.violated("child %d has %v and %v, beyond its policy", psa.sa.ID, psa.sa.LocalTS, psa.sa.RemoteTS)
		}
		if !d.honest {
			d.violated("child %d is of a peer that has not proved itself", psa.sa.ID)
		}
	}
	if !d.honest && slices.ContainsFunc(s.e.peers.order[0].party.sas, func(o *ikeSA) bool { return o.usable() || o.state == saRekeyed }) {
		d.violated("an IKE SA is established with a peer that has not proved itself")
	}
}

// choose has one message of the stage, the first, changed by the move. If it no longer proves who
// the adversary is, all later ones of the stage are changed too, and it must not get in.
func (d *duel) choose(stage adversary.Stage, move adversary.Move) {
	pieces := move.Pieces
	if pieces != nil && (stage == adversary.AuthRequest || stage == adversary.AuthResponse) {
		move.Pieces = func(ps []adversary.Piece) []adversary.Piece {
			proof := proofOf(ps)
			ps = pieces(ps)
			if proofOf(ps) != proof {
				d.honest = false
			}
			return ps
		}
	}
	d.peer.Choose = func(s adversary.Stage) adversary.Move {
		if s != stage || d.moved > 0 && d.honest {
			return adversary.Move{}
		}
		d.moved++
		return move
	}
}

// proofOf returns what proves an identity in IKE_AUTH: the ID payload, and AUTH without its
// reserved octets, as a receiver reads them.
func proofOf(ps []adversary.Piece) string {
	var proof [3]string
	for _, p := range ps {
		switch {
		case p.Lie != 0:
			return "a chain that lies"
		case p.Type == wire.PayloadIDi && proof[0] == "":
			proof[0] = string(p.Body)
		case p.Type == wire.PayloadIDr && proof[1] == "":
			proof[1] = string(p.Body)
		case p.Type == wire.PayloadAuth && proof[2] == "" && len(p.Body) > 4:
			proof[2] = string(p.Body[:1]) + string(p.Body[4:])
		}
	}
	return strings.Join(proof[:], "|")
}

// establish makes an IKE SA with the child "lan"; which side begins depends on the flag.
func (d *duel) establish(byRight bool) {
	d.t.Helper()
	if byRight {
		d.right.connect("lan")
	} else {
		d.send(d.peer.Connect())
	}
	d.drive(time.Second)
	if s := d.peer.Current(); s == nil || !s.Proved || len(d.right.plane.sas) != 1 {
		d.fatalf("the adversary cannot connect")
	}
}

// play brings the duel to where the adversary sends a message of the stage, and beyond.
func (d *duel) play(stage adversary.Stage) {
	switch stage {
	case adversary.InitRequest, adversary.AuthRequest:
		d.send(d.peer.Connect())
	case adversary.InitResponse, adversary.AuthResponse:
		d.right.connect("lan")
	default:
		d.establish(stage/2%2 == 0)
		d.drive(5 * time.Second)
		d.playOn(stage, d.peer.Current())
	}
	d.drive(10 * time.Second)
}

// playOn does the same on an established IKE SA.
func (d *duel) playOn(stage adversary.Stage, s *adversary.SA) {
	switch stage {
	case adversary.NewChildRequest:
		d.send(d.peer.NewChild(s))
	case adversary.NewChildResponse:
		d.right.connect("two")
	case adversary.RekeyChildRequest:
		d.send(d.peer.RekeyChild(s, s.Children[0]))
	case adversary.RekeyChildResponse:
		d.right.rekey("lan")
	case adversary.RekeyIKERequest:
		d.send(d.peer.RekeyIKE(s))
	case adversary.RekeyIKEResponse:
		d.right.rekey("")
	case adversary.DeleteChildRequest:
		d.send(d.peer.DeleteChild(s, s.Children[0]))
	case adversary.DeleteChildResponse:
		d.right.disconnect("lan")
	case adversary.DeleteIKERequest:
		d.send(d.peer.DeleteIKE(s))
	case adversary.DeleteIKEResponse:
		d.right.disconnect("")
	case adversary.LivenessRequest:
		d.send(d.peer.Probe(s))
	case adversary.LivenessResponse:
		for range 8 {
			d.right.traffic("lan")
			d.drive(5 * time.Second)
		}
	}
}

// outcome is what the right side has, in words.
func (d *duel) outcome() string {
	var list []string
	for _, s := range d.right.e.peers.order[0].party.sas {
		if !s.state.ended() {
			list = append(list, fmt.Sprintf("IKE SA %v, by us %v", s.state, s.initiator))
		}
	}
	for _, name := range []string{"lan", "two"} {
		list = append(list, fmt.Sprintf("%d of %s", len(d.right.plane.ofPolicy(d.right.policy(name))), name))
	}
	return strings.Join(list, "; ")
}

// unsound returns what rule was broken so far, or "".
func (d *duel) unsound() string {
	switch {
	case d.right.e.Counters()["ike_panic"] > 0:
		return "panic: " + d.wantNotice(d.right, "panic").Text
	case len(d.broken) > 0:
		return strings.Join(d.broken, "\n")
	case d.sent > d.limits[3]:
		return fmt.Sprintf("the right side sends %d messages", d.sent)
	}
	for i, n := range d.most {
		if n > d.limits[i] {
			return fmt.Sprintf("the right side holds %v half-open IKE SAs, IKE SAs and Child SAs, of %v at most", d.most, d.limits)
		}
	}
	return ""
}

// finish ends the duel: the right side closes what it has, of which nothing may stay, and connects
// with the honest left side. It returns what is wrong, or "".
func (d *duel) finish() string {
	if why := d.unsound(); why != "" {
		return why
	}
	d.hold = false
	d.right.disconnect("")
	d.drive(3 * time.Minute)
	if why := d.right.leftovers(); why != "" {
		return why
	}
	if n := d.right.e.sas.halfOpen.Octets(); n != 0 {
		return fmt.Sprintf("%d octets stay charged", n)
	}
	if why := d.unsound(); why != "" {
		return why
	}
	d.over = true
	d.left.start()
	d.up()
	d.left.traffic("lan")
	d.right.traffic("two")
	d.drive(time.Second)
	if len(d.lost) > 0 {
		return "a packet of the honest peer is lost: " + d.lost[0].why
	}
	return d.unsound()
}

// want fails the test unless the duel ends well.
func (d *duel) wantFinished(what string) {
	d.t.Helper()
	if why := d.finish(); why != "" {
		d.t.Errorf("%s: %s\n%s", what, why, d.transcript(*simLines))
	}
}

// Without a move the adversary is an honest peer: every stage comes, with the same outcome and the
// same keys on both sides.
func TestAdversaryIsAPeer(t *testing.T) {
	for stage := range adversary.Stages {
		d := newDuel(t, nil)
		d.choose(stage, adversary.Move{})
		d.play(stage)
		if d.moved != 1 {
			t.Errorf("%v: it does not come", stage)
		}
		if got, want := d.outcome(), honestOutcomes[stage]; got != want {
			t.Errorf("%v: the outcome is %q, want %q", stage, got, want)
		}
		if s := d.peer.Current(); s != nil && len(s.Live()) > 0 {
			c := s.Live()[len(s.Live())-1]
			if !slices.ContainsFunc(d.right.plane.list, func(psa *planeSA) bool {
				return bytes.Equal(psa.sa.KeyIn, c.KeyOut) && bytes.Equal(psa.sa.KeyOut, c.KeyIn)
			}) {
				t.Errorf("%v: the right side has no Child SA with the adversary's keys", stage)
			}
		}
		d.wantFinished(stage.String())
	}
}

const (
	upByPeer = "IKE SA established, by us false; "
	upByUs   = "IKE SA established, by us true; "
	lan      = "1 of lan; 0 of two"
	nothing  = "0 of lan; 0 of two"
)

// honestOutcomes are what the right side has when an honest peer has played a stage.
var honestOutcomes = map[adversary.Stage]string{
	adversary.InitRequest:         upByPeer + lan,
	adversary.InitResponse:        upByUs + lan,
	adversary.AuthRequest:         upByPeer + lan,
	adversary.AuthResponse:        upByUs + lan,
	adversary.NewChildRequest:     upByUs + "2 of lan; 0 of two",
	adversary.NewChildResponse:    upByUs + "1 of lan; 1 of two",
	adversary.RekeyChildRequest:   upByPeer + lan,
	adversary.RekeyChildResponse:  upByPeer + lan,
	adversary.RekeyIKERequest:     upByPeer + lan,
	adversary.RekeyIKEResponse:    upByUs + lan,
	adversary.DeleteChildRequest:  upByPeer + nothing,
	adversary.DeleteChildResponse: upByPeer + nothing,
	adversary.DeleteIKERequest:    nothing,
	adversary.DeleteIKEResponse:   nothing,
	adversary.LivenessRequest:     upByPeer + lan,
	adversary.LivenessResponse:    upByPeer + lan,
}
