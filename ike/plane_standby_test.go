package ike

import (
	"slices"
	"time"

	"culvert/internal/ipsec"
)

// This file is the part of the model of a dataplane that is about policies with the same networks.

// standBy has a policy yield, or not.
func (pl *testPlane) standBy(f StandbyPolicy) {
	if _, ok := pl.spd[f.ID]; !ok {
		pl.s.p.violated("%s: StandbyPolicy of policy %d, which is not installed", pl.s.name, f.ID)
	}
	if pl.standby[f.ID] == f.Standby {
		pl.s.p.violated("%s: StandbyPolicy of policy %d changes nothing", pl.s.name, f.ID)
	}
	pl.lastOrder++
	pl.standby[f.ID], pl.orders[f.ID] = f.Standby, pl.lastOrder
	pl.s.p.note("%s: policy %d stands by: %t", pl.s.name, f.ID, f.Standby)
}

// matched returns the policy that packets between a policy's networks match.
func (pl *testPlane) matched(id ipsec.PolicyID) ipsec.PolicyID {
	like, best := pl.spd[id], ipsec.PolicyID(0)
	for id, p := range pl.spd {
		if !slices.Equal(p.Local, like.Local) || !slices.Equal(p.Remote, like.Remote) {
			continue
		}
		if best == 0 || pl.standby[best] && !pl.standby[id] || pl.standby[best] == pl.standby[id] && pl.orders[id] < pl.orders[best] {
			best = id
		}
	}
	return best
}

// planeCopies is what the dataplane was asked to copy.
type planeCopies struct {
	CopyPackets
	next time.Time
}

// copyPackets has packets copied.
func (pl *testPlane) copyPackets(f CopyPackets) {
	pl.copies = slices.DeleteFunc(pl.copies, func(c *planeCopies) bool { return c.On == f.On })
	if f.N > 0 {
		pl.trials++
		pl.copies = append(pl.copies, &planeCopies{CopyPackets: f})
	}
}

// sendCopies sends the copies of a packet of a policy.
func (pl *testPlane) sendCopies(policy ipsec.PolicyID) {
	now := pl.s.p.now
	for _, c := range pl.copies {
		psa := pl.sender(c.On, 1)
		if c.Of != policy || c.N == 0 || now.Before(c.next) || psa == nil {
			continue
		}
		c.N--
		pl.copied++
		c.next = now.Add(100 * time.Millisecond)
		pl.s.p.copied = true
		pl.sendOn(psa)
		pl.s.p.copied = false
	}
}

// probe sends a packet on a pair that the peer answers.
func (pl *testPlane) probe(id ipsec.ChildID) {
	psa := pl.sas[id]
	if psa == nil || pl.s.noProbes {
		return
	}
	e := pl.s.packet(psa)
	e.dummy, e.probe = true, true
	pl.s.p.send(pl.s.on(psa.sa.Path, testPacket{esp: e}))
}

// answerProbe answers a probe on a pair.
func (pl *testPlane) answerProbe(psa *planeSA) {
	if out := pl.sender(psa.sa.Policy, 1); out != nil {
		e := pl.s.packet(out)
		e.dummy, e.answer = true, true
		pl.s.p.send(pl.s.on(out.sa.Path, testPacket{esp: e}))
	}
}

// packet makes the next packet on an SA.
func (s *testSide) packet(psa *planeSA) *espPacket {
	psa.seqOut++
	return &espPacket{from: s, policy: psa.sa.Policy, spi: psa.sa.SPIOut, key: psa.sa.KeyOut, seq: psa.seqOut, at: s.p.now, first: s.plane.pairs[psa.sa.Name] == 1, copy: s.p.copied, own: s.p.unasked}
}
