package ike

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// testPlane models one side's dataplane: the installed SAs, the SA that each policy sends on, and
// the allocated SPIs.
type testPlane struct {
	s         *testSide
	rand      *rand.Rand
	allocated map[uint32]bool   // not yet installed
	lanes     map[uint32]uint32 // of SPIs
	inbound   map[uint32]*planeSA
	sas       map[ipsec.ChildID]*planeSA
	list      []*planeSA               // the same
	asked     map[askedFor]time.Time   // of the last Acquire
	unknown   time.Time                // of the last UnknownSPI
	pairs     map[ipsec.PolicyName]int // how many pairs each policy has sent on so far
	silenced  map[ipsec.PolicyID]int   // when DeactivateOutbound left a policy nothing to send on: the number of the Handle
	known     map[uint32]bool          // every SPI that was ever installed
	spd       map[ipsec.PolicyID]ipsec.Policy
	named     map[ipsec.PolicyName]ipsec.PolicyID // of the SPD
	removed   map[ipsec.PolicyID]bool             // policies that were in the SPD
	held      map[ipsec.PolicyID]bool
	standby   map[ipsec.PolicyID]bool
	orders    map[ipsec.PolicyID]int // of policies that match equally well: the lowest wins
	lastOrder int
	copies    []*planeCopies
	trials    int // CopyPackets
	copied    int // packets
}

// askedFor is what an Acquire is for: an SA of a policy, or one of it for a worker.
type askedFor struct {
	policy   ipsec.PolicyID
	resource int
}

type planeSA struct {
	sa              ipsec.ChildSA
	sends           bool
	lastIn, lastOut time.Time
	seqOut, seqIn   uint64
	sent, heard     uint64    // packets with content; with answers to probes that came
	answered        time.Time // when a probe was last answered
	unheard         time.Time // when the first packet was sent since one of these came
}

// espPacket is a packet that was sent on an SA. The other side can open it if it has the SPI and
// the key.
type espPacket struct {
	from   *testSide
	policy ipsec.PolicyID
	spi    uint32
	key    []byte
	seq    uint64
	at     time.Time
	first  bool // of the first pair that the child ever sent on
	copy   bool // of a packet that was sent on another SA, or an answer to one
	dummy  bool // it has no content
	probe  bool // it is a dummy that the receiver answers
	answer bool // it is a dummy that answers one
	own    bool // it is what the sender's hosts send unasked
}

func newPlane(s *testSide, seed uint64) *testPlane {
	return &testPlane{
		s: s, rand: rand.New(seededRand(seed, s.name+" spi")),
		allocated: map[uint32]bool{}, lanes: map[uint32]uint32{}, inbound: map[uint32]*planeSA{}, sas: map[ipsec.ChildID]*planeSA{},
		asked: map[askedFor]time.Time{}, pairs: map[ipsec.PolicyName]int{}, known: map[uint32]bool{}, silenced: map[ipsec.PolicyID]int{},
		spd: map[ipsec.PolicyID]ipsec.Policy{}, named: map[ipsec.PolicyName]ipsec.PolicyID{}, removed: map[ipsec.PolicyID]bool{}, held: map[ipsec.PolicyID]bool{},
		standby: map[ipsec.PolicyID]bool{}, orders: map[ipsec.PolicyID]int{},
	}
}

// AllocSPI and FreeSPI are the engine's SPIAllocator.
func (pl *testPlane) AllocSPI(lane uint32) (uint32, error) {
	for {
		if spi := pl.rand.Uint32(); spi >= 256 && !pl.allocated[spi] && pl.inbound[spi] == nil {
			pl.allocated[spi] = true
			pl.lanes[spi] = lane
			return spi, nil
		}
	}
}

func (pl *testPlane) FreeSPI(spi uint32) {
	if !pl.allocated[spi] {
		pl.s.p.violated("%s: FreeSPI(%08x) of an SPI that is not allocated, or installed", pl.s.name, spi)
	}
	delete(pl.allocated, spi)
}

func (pl *testPlane) install(sa ipsec.ChildSA) {
	if !pl.allocated[sa.SPIIn] {
		pl.s.p.violated("%s: InstallInbound of SPI %08x, which AllocSPI did not give", pl.s.name, sa.SPIIn)
	}
	if pl.sas[sa.ID] != nil {
		pl.s.p.violated("%s: InstallInbound of child %d for the second time", pl.s.name, sa.ID)
	}
	// An SA of a peer that is no longer configured may still come up, to be closed at once.
	if p, ok := pl.spd[sa.Policy]; !pl.removed[sa.Policy] && (!ok || !selector.Subset(sa.LocalTS, p.Local) || !selector.Subset(sa.RemoteTS, p.Remote)) {
		pl.s.p.violated("%s: InstallInbound of child %d, whose policy %d is not installed or is narrower", pl.s.name, sa.ID, sa.Policy)
	}
	for _, o := range pl.list { // a flow may go on from that one to this
		if o.sa.Policy == sa.Policy && pl.lanes[o.sa.SPIIn] != pl.lanes[sa.SPIIn] {
			pl.s.p.violated("%s: child %d has lane %d, and child %d of the policy %d", pl.s.name, sa.ID, pl.lanes[sa.SPIIn], o.sa.ID, pl.lanes[o.sa.SPIIn])
		}
	}
	pl.s.p.freshKey(sa.SPIIn, sa.KeyIn)
	delete(pl.allocated, sa.SPIIn)
	pl.known[sa.SPIIn] = true
	if sa.Hosts.Transport() {
		pl.s.p.hosts++
	}
	psa := &planeSA{sa: sa}
	pl.sas[sa.ID], pl.inbound[sa.SPIIn] = psa, psa
	pl.list = append(pl.list, psa)
}

// hold begins or ends to drop the packets of a policy.
func (pl *testPlane) hold(f HoldPolicy) {
	if _, ok := pl.spd[f.ID]; !ok {
		pl.s.p.violated("%s: HoldPolicy of policy %d, which is not installed", pl.s.name, f.ID)
	}
	pl.held[f.ID] = f.Held
}

func (pl *testPlane) activate(id ipsec.ChildID) {
	psa := pl.sas[id]
	if psa == nil {
		pl.s.p.violated("%s: ActivateOutbound of child %d, which is not installed", pl.s.name, id)
		return
	}
	if pl.held[psa.sa.Policy] {
		pl.s.p.violated("%s: ActivateOutbound of child %d, which is held down", pl.s.name, id)
	}
	if pl.silenced[psa.sa.Policy] == pl.s.handled {
		pl.s.p.violated("%s: ActivateOutbound of child %d only after DeactivateOutbound of the last that was sent on", pl.s.name, id)
	}
	if !psa.sends {
		pl.pairs[psa.sa.Name]++
	}
	psa.sends = true
	delete(pl.asked, askedFor{psa.sa.Policy, 0})
}

func (pl *testPlane) deactivate(id ipsec.ChildID) {
	psa := pl.sas[id]
	if psa == nil {
		pl.s.p.violated("%s: DeactivateOutbound of child %d, which is not installed", pl.s.name, id)
		return
	}
	psa.sends = false
	if pl.sender(psa.sa.Policy, 1) == nil {
		pl.silenced[psa.sa.Policy] = pl.s.handled
	}
}

// sender returns the SA that a worker of the policy sends on, or nil: the newest of its own,
// otherwise of those for all, otherwise of any. Worker 0 has none of its own.
func (pl *testPlane) sender(policy ipsec.PolicyID, worker int) *planeSA {
	var best *planeSA
	rank := func(psa *planeSA) int {
		switch psa.sa.Resource {
		case worker:
			return 2
		case 0:
			return 1
		}
		return 0
	}
	for _, psa := range pl.list {
		if !psa.sends || psa.sa.Policy != policy {
			continue
		}
		if best == nil || rank(psa) > rank(best) || rank(psa) == rank(best) && psa.sa.ID > best.sa.ID {
			best = psa
		}
	}
	return best
}

// senders is how many policies have an SA to send on.
func (pl *testPlane) senders() int {
	policies := map[ipsec.PolicyID]bool{}
	for _, psa := range pl.sas {
		if psa.sends {
			policies[psa.sa.Policy] = true
		}
	}
	return len(policies)
}

func (pl *testPlane) remove(id ipsec.ChildID) {
	psa := pl.sas[id]
	if psa == nil {
		pl.s.p.violated("%s: RemoveSA of child %d, which is not installed", pl.s.name, id)
		return
	}
	delete(pl.sas, id)
	pl.list = slices.DeleteFunc(pl.list, func(o *planeSA) bool { return o == psa })
	delete(pl.inbound, psa.sa.SPIIn)
}

// ask asks for an SA, not too often.
func (pl *testPlane) ask(policy ipsec.PolicyID, resource int) {
	key := askedFor{policy, resource}
	if last, ok := pl.asked[key]; ok && pl.s.p.now.Sub(last) < time.Second {
		return
	}
	pl.asked[key] = pl.s.p.now
	pl.s.later(Acquire{Policy: policy, Flow: pl.s.flow(policy), Resource: resource})
}

// send sends one packet of a worker, or asks for an SA.
func (pl *testPlane) send(policy ipsec.PolicyID, worker int) {
	psa := pl.sender(policy, worker)
	if psa == nil {
		pl.ask(policy, 0)
		return
	}
	if psa.sa.PerResource && psa.sa.Resource != worker {
		pl.ask(policy, worker)
	}
	pl.sendCopies(policy)
	pl.sendOn(psa)
}

// sendOn sends one packet on an SA.
func (pl *testPlane) sendOn(psa *planeSA) {
	psa.lastOut = pl.s.p.now
	psa.sent++
	if psa.unheard.IsZero() {
		psa.unheard = pl.s.p.now
	}
	pl.s.p.sentData++
	pl.s.p.send(pl.s.on(psa.sa.Path, testPacket{esp: pl.s.packet(psa)}))
}

// receive opens a packet if it can.
func (pl *testPlane) receive(e *espPacket, from ipsec.Path) {
	psa := pl.inbound[e.spi]
	// "the responder MAY begin sending on an SA as soon as it sends its response" (RFC 7296,
	// Section 2.8). The first packets of a child may overtake it.
	if psa == nil && e.first && !pl.known[e.spi] {
		return
	}
	if psa == nil || !bytes.Equal(psa.sa.KeyIn, e.key) {
		pl.s.p.lose(e, fmt.Sprintf("%s has no inbound SA %08x for it", pl.s.name, e.spi))
		if now := pl.s.p.now; psa == nil && now.Sub(pl.unknown) >= time.Second {
			pl.unknown = now
			pl.s.later(UnknownSPI{Path: from, SPI: e.spi, Size: 100})
		}
		return
	}
	if pl.s.p.opened != nil && !e.dummy && !e.own {
		pl.s.p.copied = e.copy
		pl.s.p.opened(pl.s, psa.sa.Name)
		pl.s.p.copied = false
	}
	first := psa.lastIn.IsZero()
	psa.lastIn = pl.s.p.now
	if !e.dummy || e.answer {
		psa.heard++
		for _, o := range pl.list { // of the policy, as the dataplane counts
			if o.sa.Policy == psa.sa.Policy {
				o.unheard = time.Time{}
			}
		}
	}
	if e.answer {
		psa.answered = pl.s.p.now
	}
	if e.seq > psa.seqIn {
		psa.seqIn = e.seq
		if psa.sa.Path.Encapsulated() && !psa.sa.Path.SameRemote(from) {
			pl.s.later(PeerMoved{ID: psa.sa.ID, Path: from})
		}
	}
	if first {
		pl.s.later(psa.traffic())
	}
	if e.probe {
		pl.answerProbe(psa)
		pl.s.later(Probed{ID: psa.sa.ID})
	}
}

func (psa *planeSA) traffic() Traffic {
	return Traffic{ID: psa.sa.ID, Traffic: ipsec.Traffic{In: psa.lastIn, Out: psa.lastOut, Answered: psa.answered}}
}

// ofPolicy is the policy's SAs, the oldest first.
func (pl *testPlane) ofPolicy(policy ipsec.PolicyID) []*planeSA {
	var list []*planeSA
	for _, psa := range pl.sas {
		if psa.sa.Policy == policy {
			list = append(list, psa)
		}
	}
	slices.SortFunc(list, func(a, b *planeSA) int { return int(a.sa.ID) - int(b.sa.ID) })
	return list
}

// flow is a packet of the policy, as Acquire tells it.
func (s *testSide) flow(policy ipsec.PolicyID) selector.Flow {
	p, ok := s.plane.spd[policy]
	if !ok {
		return selector.Flow{}
	}
	return selector.Flow{Src: p.Local[0].Start, Dst: p.Remote[0].Start, Protocol: 17, SrcPort: 1000, DstPort: 2000}
}

// setPolicy adds a policy to the SPD or changes it.
func (pl *testPlane) setPolicy(p ipsec.Policy) {
	if pl.removed[p.ID] {
		pl.s.p.violated("%s: InstallPolicy of %d, whose ID was used before", pl.s.name, p.ID)
	}
	if err := pl.outside(p); err != "" {
		pl.s.p.violated("%s: InstallPolicy of %s: %s", pl.s.name, p.Name, err)
	}
	if _, ok := pl.spd[p.ID]; !ok {
		pl.lastOrder++
		pl.standby[p.ID], pl.orders[p.ID] = p.Standby, pl.lastOrder
	}
	pl.spd[p.ID], pl.named[p.Name] = p, p.ID
}

// outside returns what is wrong with a policy of a party: what lies outside of the peer's own
// networks is not protected before the party comes. It returns "" for any other policy.
func (pl *testPlane) outside(p ipsec.Policy) string {
	if p.Within == 0 {
		if p.Name.Party != "" {
			return "it lies within no other policy"
		}
		return ""
	}
	in, ok := pl.spd[p.Within]
	switch {
	case !ok:
		return fmt.Sprintf("it is within %d, which is not installed", p.Within)
	case !in.Fallback || in.Name != (ipsec.PolicyName{Peer: p.Name.Peer, Child: p.Name.Child}):
		return fmt.Sprintf("it is within %s", in.Name)
	case !selector.Subset(p.Local, in.Local) || !selector.Subset(p.Remote, in.Remote):
		return fmt.Sprintf("%v to %v is not within %v to %v", p.Local, p.Remote, in.Local, in.Remote)
	}
	return ""
}

func (pl *testPlane) removePolicy(id ipsec.PolicyID) {
	if _, ok := pl.spd[id]; !ok {
		pl.s.p.violated("%s: RemovePolicy of %d, which is not installed", pl.s.name, id)
	}
	if name := pl.spd[id].Name; pl.named[name] == id {
		delete(pl.named, name)
	}
	delete(pl.spd, id)
	pl.removed[id] = true
}

// policyNamed returns the ID of the policy with a name, or 0.
func (pl *testPlane) policyNamed(name ipsec.PolicyName) ipsec.PolicyID { return pl.named[name] }
