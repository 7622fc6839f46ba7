package dataplane

import (
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// sourcePause is for how long an SA must have sent nothing before it is sent from another port:
// longer than a network card holds a packet back.
const sourcePause = time.Millisecond

// maxMoves bounds the moves that a worker watches. Others are posted again.
const maxMoves = 64

// A sourceMove is a change of the path from which a worker sends a pair of its own.
type sourceMove struct {
	pair     *pair
	from, to *ipsec.Path
	sent     uint64 // packets, when that was last looked at
	since    int64  // since when nothing was sent; UnixNano
}

// moveAtPause has the worker of a pair send it on another path at the next pause, unless its path
// is set meanwhile. Plane.mu is held.
func (p *Plane) moveAtPause(c *pair, to *ipsec.Path) {
	p.workers[c.sa.Resource-1].mail.putMove(sourceMove{pair: c, from: c.outer.Load(), to: to})
}

// addMoves adds moves to those that are watched.
func (t *tx) addMoves(list []sourceMove) {
	for _, m := range list {
		if len(t.moves) < maxMoves && !slices.ContainsFunc(t.moves, m.same) {
			t.moves = append(t.moves, m)
		}
	}
}

func (m sourceMove) same(o sourceMove) bool {
	return m.pair == o.pair && m.from == o.from && m.to == o.to
}

// watchMoves makes the moves of SAs that have paused, at the begin of a cycle and when all that it
// carried has left: then nothing that was sealed waits anywhere, but in slots or for a late turn.
func (t *tx) watchMoves(now int64) {
	still := t.reads.idle() && len(t.out.order.late.tickets) == 0
	left := t.moves[:0]
	for _, m := range t.moves {
		sent := m.pair.out.Used().Packets
		switch {
		case !still, sent != m.sent, m.since == 0:
			m.sent, m.since = sent, now
		case now-m.since >= int64(sourcePause):
			m.pair.outer.CompareAndSwap(m.from, m.to)
			continue
		}
		left = append(left, m)
	}
	clear(t.moves[len(left):]) // keeps no SA alive that was removed
	t.moves = left
}
