package child

import (
	"fmt"
	"slices"
	"time"

	"culvert/ike/timer"
)

// Replaced records that another pair does, or will do, the work of this one. One side will delete
// this one.
func (p *Pair) Replaced(next *Pair) {
	p.next = next
	if p.state == Live {
		p.moveTo(Replaced)
	}
	p.dates.planned, p.dates.rekeyAt = p.dates.rekeyAt, time.Time{}
	p.dates.soft.Fire = p.replacedEnd
	lasts := replacedLife
	if next != nil && next.carrier != p.carrier {
		lasts = 2 * replacedLife // which carrier stays may be decided otherwise in the end
	}
	p.table().after(&p.dates.soft, lasts)
}

// replacedLife is how long a replaced pair waits for the side that should delete it.
const replacedLife = 90 * time.Second

// replacedEnd deletes a replaced pair that the other side has not deleted. If there is no live
// successor it revives the pair instead.
func (p *Pair) replacedEnd() {
	if p.carrier == nil || p.state != Replaced {
		return
	}
	if successor := p.chain.Best(); successor == p || successor.state != Live {
		p.Revive()
		return
	}
	p.Delete(EndReplaced, "replaced, but the peer did not delete it")
}

// Revive makes a replaced pair live again, because its successor ended first. It is rekeyed when it
// would have been, or soon.
func (p *Pair) Revive() {
	if p.state != Replaced {
		return
	}
	p.moveTo(Live)
	p.next = nil
	p.Origin.Revived()
	p.dates.soft.Fire = p.softDue
	if wait := p.dates.planned.Sub(p.table().host.Now()); wait > timer.TemporaryPause {
		p.dates.rekeyAt = p.dates.planned
		p.table().after(&p.dates.soft, wait)
		return
	}
	p.table().after(&p.dates.soft, timer.TemporaryPause)
}

// SettleRedundant decides between a new pair and other pairs of its chain that are not rekeyed by
// it, which happens when both sides ask at the same time. Of two pairs that the sides asked for,
// the one that does not outlast the other is closed by its creator, but only once the peer
// certainly has the other pair. Of two pairs that we asked for, the older one is closed.
func (p *Pair) SettleRedundant() {
	for _, q := range slices.Clone(p.chain.pairs) {
		if q == p || q.state != Live || p.state != Live || q.carrier != p.carrier || q.Origin.Crossed() || !p.creator && !q.creator {
			continue
		}
		loser, winner := q, p
		if q.creator != p.creator && !p.Origin.Outlasts(q.Origin) {
			loser, winner = p, q
		}
		if !winner.carriesAll(loser) {
			continue
		}
		loser.Replaced(winner)
		if loser.creator {
			loser.dates.soft.Fire = func() { loser.Delete(EndReplaced, "redundant") }
			p.table().after(&loser.dates.soft, lingerPair)
		}
	}
}

// Replaces records that the pair was made in place of another, by a rekeying of either side.
func (p *Pair) Replaces(old *Pair) {
	p.policy.rekeys++
	p.Report("child-rekeyed", fmt.Sprintf("%s replaces %s", p, old))
}

// Supersedes ends the work of a pair that we have rekeyed: this one is sent on, and the old one is
// deleted. Also, it replaces those that the peer made in place of the old one.
func (p *Pair) Supersedes(old *Pair, also ...*Pair) {
	p.activate()
	old.Replaced(p)
	for _, q := range also {
		q.Replaced(p)
	}
	old.Delete(EndReplaced, "rekeyed")
	p.SettleRedundant()
}
