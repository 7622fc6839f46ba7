package ike

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/ike/adversary"
	"culvert/ike/wire"
)

// shortStep is the distance of the cases of a stage that a short test runs. Which these are depends
// on the stage.
const shortStep = 23

// everyCase yields the moves that this run plays in a stage.
func everyCase(stage adversary.Stage, moves []adversary.Move) []adversary.Move {
	if !testing.Short() {
		return moves
	}
	var some []adversary.Move
	for i := int(stage) % shortStep; i < len(moves); i += shortStep {
		some = append(some, moves[i])
	}
	return some
}

// honestly returns what an honest peer sends in a stage: the payloads, and the length of the
// message.
func honestly(t *testing.T, stage adversary.Stage) (pieces []adversary.Piece, octets int) {
	d := newDuel(t, nil)
	d.choose(stage, adversary.Move{
		Pieces:    func(ps []adversary.Piece) []adversary.Piece { pieces = slices.Clone(ps); return ps },
		Datagrams: func(list [][]byte) [][]byte { octets = len(list[0]); return list },
	})
	d.play(stage)
	if octets == 0 {
		t.Fatalf("%v does not come", stage)
	}
	return pieces, octets
}

// movesOf returns all moves of the adversary itself in a stage, and those of somebody on the path
// who takes the message away.
func movesOf(t *testing.T, stage adversary.Stage) []adversary.Move {
	pieces, octets := honestly(t, stage)
	moves := slices.Concat(adversary.PayloadMoves(stage, pieces), adversary.AuthenticMoves())
	for _, f := range adversary.Forgeries(octets) {
		moves = append(moves, f.Instead())
	}
	return moves
}

// TestAdversaryMoves plays every move in every stage, against an engine with which the adversary
// has a credential: it may end its own IKE SA and no more.
func TestAdversaryMoves(t *testing.T) {
	for stage := range adversary.Stages {
		t.Run(stage.String(), func(t *testing.T) {
			for _, move := range everyCase(stage, movesOf(t, stage)) {
				playMove(t, stage, move)
			}
		})
	}
}

func playMove(t *testing.T, stage adversary.Stage, move adversary.Move) {
	d := newDuel(t, nil)
	d.choose(stage, move)
	d.play(stage)
	if d.moved == 0 {
		t.Errorf("%s: the message does not come", move.Name)
	}
	if move.Want != 0 && !stage.Response() && !d.refused(stage, move.Want) {
		t.Errorf("%s: it is not refused with %v\n%s", move.Name, move.Want, d.transcript(*simLines))
	}
	d.wantFinished(move.Name)
}

// refused reports whether the adversary's request of the stage was answered with the notify.
func (d *duel) refused(stage adversary.Stage, kind wire.NotifyType) bool {
	return slices.ContainsFunc(d.peer.Got, func(m adversary.Message) bool {
		_, ok := wire.FindNotify(m.Payloads, kind)
		return ok && m.Outcome == stage
	})
}

// TestAdversaryWithoutCredential plays the moves of the handshake without the credential: nobody
// gets in, whatever is sent.
func TestAdversaryWithoutCredential(t *testing.T) {
	for stage := adversary.InitRequest; stage <= adversary.AuthResponse; stage++ {
		t.Run(stage.String(), func(t *testing.T) {
			for _, move := range everyCase(stage, movesOf(t, stage)) {
				d := newDuel(t, func(_ *testPair, c *adversary.Config) { c.PSK = []byte("another secret") })
				d.honest = false
				d.choose(stage, move)
				d.play(stage)
				d.wantFinished(move.Name)
			}
		})
	}
}

// TestForgeriesChangeNothing has somebody on the path send every forgery before each genuine
// message of a stage: what is protected ends as if nothing had been sent.
func TestForgeriesChangeNothing(t *testing.T) {
	for stage := range adversary.Stages {
		t.Run(stage.String(), func(t *testing.T) {
			_, octets := honestly(t, stage)
			var moves []adversary.Move
			for _, f := range adversary.Forgeries(octets) {
				moves = append(moves, f.Before())
			}
			for _, move := range everyCase(stage, moves) {
				d := newDuel(t, nil)
				d.choose(stage, move)
				d.play(stage)
				// What is forged of IKE_SA_INIT may be the first to come, and costs an attempt.
				if got, want := d.outcome(), honestOutcomes[stage]; got != want && stage.Protected() {
					t.Errorf("%s: the outcome is %q, want %q\n%s", move.Name, got, want, d.transcript(*simLines))
				}
				d.wantFinished(move.Name)
			}
		})
	}
}

// collisions are what both sides may do at the same time on one IKE SA.
var collisions = map[string]struct {
	ours   func(d *duel)
	theirs func(d *duel, s *adversary.SA) [][]byte
}{
	"rekeyings of a child":           {func(d *duel) { d.right.rekey("lan") }, rekeyChild},
	"rekeyings of the IKE SA":        {func(d *duel) { d.right.rekey("") }, rekeyIKE},
	"child by us, IKE SA by it":      {func(d *duel) { d.right.rekey("lan") }, rekeyIKE},
	"IKE SA by us, child by it":      {func(d *duel) { d.right.rekey("") }, rekeyChild},
	"child by us, its Delete":        {func(d *duel) { d.right.rekey("lan") }, deleteChild},
	"Delete by us, its rekeying":     {func(d *duel) { d.right.disconnect("lan") }, rekeyChild},
	"IKE SA by us, its Delete":       {func(d *duel) { d.right.rekey("") }, deleteIKE},
	"Delete of IKE SA, its rekeying": {func(d *duel) { d.right.disconnect("") }, rekeyIKE},
	"Deletes of a child":             {func(d *duel) { d.right.disconnect("lan") }, deleteChild},
	"Deletes of the IKE SA":          {func(d *duel) { d.right.disconnect("") }, deleteIKE},
	"a new child, its Delete":        {func(d *duel) { d.right.connect("two") }, deleteIKE},
	"a new child, its rekeying":      {func(d *duel) { d.right.connect("two") }, rekeyIKE},
}

func rekeyChild(d *duel, s *adversary.SA) [][]byte  { return d.peer.RekeyChild(s, s.Children[0]) }
func rekeyIKE(d *duel, s *adversary.SA) [][]byte    { return d.peer.RekeyIKE(s) }
func deleteChild(d *duel, s *adversary.SA) [][]byte { return d.peer.DeleteChild(s, s.Children[0]) }
func deleteIKE(d *duel, s *adversary.SA) [][]byte   { return d.peer.DeleteIKE(s) }

// TestMalformedAnswerToDelete has the peer answer the Delete of the IKE SA by what is malformed,
// while the Delete of a Child SA, which came up after the command, waits behind it: both SAs end at
// once, and the IKE SA is not left without anything that would end it.
func TestMalformedAnswerToDelete(t *testing.T) {
	d := newDuel(t, nil)
	d.establish(true)
	d.hold = true
	d.right.connect("two")
	d.drive(20 * time.Millisecond)
	ref := d.right.ref()
	d.right.handle(Disconnect{Peer: "left", Ref: ref})
	d.choose(adversary.DeleteIKEResponse, adversary.Move{Pieces: func(ps []adversary.Piece) []adversary.Piece {
		return append(ps, adversary.Piece{Type: 200, Flags: adversary.Critical})
	}})
	d.release(0)
	d.drive(time.Second)
	if d.moved != 1 || !d.right.answered[ref] {
		d.fatalf("the Delete of the IKE SA is not answered, or the command waits")
	}
	if why := d.right.leftovers() + d.unsound(); why != "" {
		d.fatalf("%s", why)
	}
}

// TestAdversaryCollides has every two exchanges cross, with the adversary's request and its
// response to ours coming in each order, late, twice, or not at all.
func TestAdversaryCollides(t *testing.T) {
	orders := [][]int{{0, 1}, {1, 0}, {0}, {1}, {}, {0, 0, 1, 1}, {1, 0, 1, 0}}
	for name, c := range collisions {
		for _, byRight := range []bool{false, true} {
			for i, order := range orders {
				for _, late := range []time.Duration{0, 5 * time.Second} {
					d := newDuel(t, nil)
					d.establish(byRight)
					d.drive(5 * time.Second)
					d.hold = true
					c.ours(d)
					d.send(c.theirs(d, d.peer.Current()))
					d.drive(100*time.Millisecond + late)
					if len(d.held) < 2 {
						t.Fatalf("%s: they do not cross", name)
					}
					d.release(order...)
					d.drive(time.Minute)
					d.wantFinished(fmt.Sprintf("%s, order %d, begun by us %v, late %v", name, i, byRight, late))
				}
			}
		}
	}
}
