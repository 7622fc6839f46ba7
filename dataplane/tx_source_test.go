package dataplane

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// moving is a worker that does not run, a pair of its own, and another path for it.
func moving(t *testing.T) (tx *tx, c *pair, to *ipsec.Path) {
	t.Helper()
	g := newGateway(t, 2, nil)
	sa := childSA(t, g, g, 1)
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	other := sa.Path.WithLocalPort(40001)
	return &g.workers[1].tx, g.pairs[1], &other
}

// An SA moves when it has sent nothing for long enough, and nothing of it waits to be sent.
func TestMoveAtPause(t *testing.T) {
	const begin = int64(1000 * time.Second)
	for name, tt := range map[string]struct {
		change func(tx *tx, c *pair)
		after  int64
		want   bool
	}{
		"a pause":       {func(*tx, *pair) {}, int64(sourcePause), true},
		"a short pause": {func(*tx, *pair) {}, int64(sourcePause) - 1, false},
		"a packet":      {func(_ *tx, c *pair) { _, _, _ = c.out.Reserve(1, 100) }, int64(sourcePause), false},
		"a slot in use": {func(tx *tx, _ *pair) { tx.reads.tickets.Add(1) }, int64(sourcePause), false},
		"a late ticket": {func(tx *tx, c *pair) { tx.out.order.late.put(c, 1, 2) }, int64(sourcePause), false},
		"another path":  {func(_ *tx, c *pair) { p := *c.outer.Load(); c.outer.Store(&p) }, int64(sourcePause), false},
	} {
		tx, c, to := moving(t)
		tx.addMoves([]sourceMove{{pair: c, from: c.outer.Load(), to: to}})
		tx.watchMoves(begin)
		tt.change(tx, c)
		tx.watchMoves(begin + tt.after)
		if moved := c.outer.Load() == to; moved != tt.want {
			t.Errorf("%s: moved %t", name, moved)
		}
		if name == "another path" && len(tx.moves) > 0 {
			t.Errorf("%s: it is still watched", name)
		}
		tx.reads.tickets.Store(0)
		if len(tx.out.order.late.tickets) > 0 {
			tx.out.order.late.remove(0, 0, 0)
		}
		tx.watchMoves(begin + tt.after)
		tx.watchMoves(begin + tt.after + int64(sourcePause))
		if moved := c.outer.Load() == to; moved != (name != "another path") || len(tx.moves) > 0 {
			t.Errorf("%s, and a pause: moved %t, %d are watched", name, moved, len(tx.moves))
		}
	}
}

// A move that is posted again is watched once, and what is watched has a bound.
func TestMovesAreBounded(t *testing.T) {
	tx, c, to := moving(t)
	m := sourceMove{pair: c, from: c.outer.Load(), to: to}
	tx.addMoves([]sourceMove{m, m})
	tx.watchMoves(1)
	tx.addMoves([]sourceMove{m})
	if len(tx.moves) != 1 || tx.moves[0].since != 1 {
		t.Errorf("watched: %+v", tx.moves)
	}
	for range 2 * maxMoves {
		p := *to
		tx.addMoves([]sourceMove{{pair: c, from: m.from, to: &p}})
		tx.mail.putMove(m)
	}
	if len(tx.moves) != maxMoves || len(tx.mail.takeMoves()) != maxMoves {
		t.Errorf("%d moves are watched", len(tx.moves))
	}
}
