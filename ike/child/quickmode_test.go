package child

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// This file is a second protocol under the pairs, in the manner of IKEv1's quick mode (RFC 2409,
// Section 5.5): two messages make a pair, and are repeated until the second one is there; a
// rekeying is another negotiation, which names no pair; a deletion is a message without a response,
// which may be lost.

var epoch = time.Unix(1_000_000_000, 0)

// A world is two sides, the messages between them, and the time.
type world struct {
	t     *testing.T
	now   time.Time
	sides [2]*side
	mail  []letter
	rand  *rand.Rand
	loss  float64 // of negotiations
	mute  bool    // deletions are lost; packets on pairs arrive
	seq   int
}

// letter is a message or a packet on its way.
type letter struct {
	at   time.Time
	seq  int
	take func()
}

const (
	latency    = 10 * time.Millisecond
	packetEach = 100 * time.Millisecond // by each side
)

// side is one end: the host, the owner and the dataplane of one policy.
type side struct {
	w          *world
	name       string
	other      *side
	timers     timer.Heap
	table      *Table
	pol        *Policy
	sa         *quickSA
	inbound    map[uint32]ipsec.ChildID
	sends      []ipsec.ChildID // active
	up         bool            // it has sent since the policy came up
	installed  map[ipsec.ChildID]ipsec.ChildSA
	reports    []string
	done       map[uint64]error
	failed     int // AcquireFailed
	sent, lost int // packets
	whenDead   Intent
	backoff    timer.Backoff
	touched    bool
	lastSPI    uint32
	workers    int
	collisions int // the peer replaced a pair while we did
}

func newWorld(t *testing.T, seed uint64, settings Settings) *world {
	w := &world{t: t, now: epoch, rand: rand.New(rand.NewPCG(seed, seed))}
	for i, name := range []string{"left", "right"} {
		s := &side{w: w, name: name, inbound: map[uint32]ipsec.ChildID{}, installed: map[ipsec.ChildID]ipsec.ChildSA{}, done: map[uint64]error{}, lastSPI: uint32(i+1) << 16, workers: 1}
		s.table = NewTable(s)
		s.pol = NewPolicy(s.table, s, ipsec.PolicyID(1), ipsec.PolicyName{Peer: "peer", Child: settings.Name}, settings)
		w.sides[i] = s
	}
	w.sides[0].other, w.sides[1].other = w.sides[1], w.sides[0]
	w.connect()
	return w
}

// connect gives both sides an SA to negotiate on.
func (w *world) connect() {
	for _, s := range w.sides {
		s.sa = &quickSA{side: s, open: map[uint64]*quick{}, answers: map[uint64]uint32{}}
		s.touched = true
	}
	w.settle()
}

// post delivers a message of a side to its peer's SA, or loses it.
func (w *world) post(to *side, take func(*quickSA)) {
	if w.rand.Float64() < w.loss {
		return
	}
	sa := to.sa
	w.deliver(func() {
		if !sa.ended {
			take(sa)
		}
	})
}

func (w *world) deliver(take func()) {
	w.seq++
	w.mail = append(w.mail, letter{w.now.Add(latency), w.seq, take})
}

// run lets time pass. Both sides send a packet each tenth of a second.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for w.now.Before(end) {
		w.now = w.next(end)
		for len(w.mail) > 0 && !w.mail[0].at.After(w.now) {
			m := w.mail[0]
			w.mail = w.mail[1:]
			m.take()
			w.settle()
		}
		for _, s := range w.sides {
			s.timers.FireDue(w.now)
			w.settle()
			if w.now.Sub(epoch)%packetEach == 0 {
				s.sendPacket()
			}
		}
	}
}

// next returns the time at which something happens next, at the latest end: a message or a packet
// arrives, a timer fires, or packets are sent.
func (w *world) next(end time.Time) time.Time {
	next := w.now.Add(packetEach - w.now.Sub(epoch)%packetEach)
	if next.After(end) {
		next = end
	}
	if len(w.mail) > 0 && w.mail[0].at.Before(next) {
		next = w.mail[0].at
	}
	for _, s := range w.sides {
		if at := s.timers.Next(); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if !next.After(w.now) { // what is due is handled by the next step
		next = w.now.Add(1)
	}
	return next
}

// settle does what an engine does at the end of each input: it starts what is due.
func (w *world) settle() {
	w.t.Helper()
	for _, s := range w.sides {
		if s.touched {
			s.touched = false
			if s.sa != nil && !s.sa.ended && s.pol.Due() {
				s.pol.Begin()
				s.sa.negotiate(nil)
			}
		}
		s.up = s.up && len(s.pol.Pairs()) > 0
		if best := s.pol.Best(); best != nil && s.up && !s.pol.Held() && len(s.sends) == 0 {
			w.t.Fatalf("%v: %s has %v, which is %v, and sends on none", w.now.Sub(epoch), s.name, best, best.State())
		}
	}
}

// sendPacket sends on the newest pair that is active. It arrives if the peer still has the pair.
func (s *side) sendPacket() {
	if len(s.sends) == 0 {
		return
	}
	s.sent++
	newest := slices.Max(s.sends)
	spi := s.installed[newest].SPIOut
	p := s.table.Pair(newest)
	p.Saw(ipsec.Traffic{In: p.Seen().In, Out: s.w.now})
	o := s.other
	s.w.deliver(func() {
		if q := o.table.Pair(o.inbound[spi]); q != nil {
			q.Saw(ipsec.Traffic{In: o.w.now, Out: q.Seen().Out})
		} else {
			o.lost++
		}
	})
}

// A side is the Host of its table.
func (s *side) Now() time.Time             { return s.w.now }
func (s *side) Timers() *timer.Heap        { return &s.timers }
func (s *side) Rand() io.Reader            { return randReader{s.w.rand} }
func (s *side) Workers() int               { return s.workers }
func (s *side) Done(ref uint64, err error) { s.done[ref] = err }

type randReader struct{ r *rand.Rand }

func (r randReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.r.Uint32())
	}
	return len(b), nil
}

func (s *side) InstallInbound(sa ipsec.ChildSA) {
	s.inbound[sa.SPIIn], s.installed[sa.ID] = sa.ID, sa
}

func (s *side) ActivateOutbound(id ipsec.ChildID) {
	if _, ok := s.installed[id]; !ok {
		s.w.t.Errorf("%s sends on %d, which is not installed", s.name, id)
	}
	s.sends, s.up = append(s.sends, id), true
}

func (s *side) DeactivateOutbound(id ipsec.ChildID) {
	s.sends = slices.DeleteFunc(s.sends, func(o ipsec.ChildID) bool { return o == id })
}

func (s *side) RemoveSA(id ipsec.ChildID) {
	delete(s.inbound, s.installed[id].SPIIn)
	delete(s.installed, id)
	s.DeactivateOutbound(id)
}

func (s *side) NeedTraffic(id ipsec.ChildID) {
	s.w.deliver(func() {
		if p := s.table.Carried(id); p != nil {
			p.Saw(p.Seen())
		}
	})
}

func (s *side) AcquireFailed(ipsec.PolicyID) { s.failed++ }

// A side is the Owner of its policy.
func (s *side) Carrier() Carrier {
	if s.sa == nil || s.sa.ended {
		return nil
	}
	return s.sa
}
func (s *side) Touch()                 { s.touched = true }
func (s *side) Closed() bool           { return false }
func (s *side) Pausing() bool          { return s.sa == nil }
func (s *side) Awaited(*Policy) bool   { return false }
func (s *side) GaveUp(*Policy, error)  {}
func (s *side) WhenDead() Intent       { return s.whenDead }
func (s *side) Backoff() timer.Backoff { return s.backoff }

func (s *side) Networks(pol *Policy) (local, remote []selector.Selector) {
	return pol.Settings.Local, pol.Settings.Remote
}

func (s *side) Report(r Report) { s.reports = append(s.reports, r.Event) }

// quickSA is the SA on which quick modes run.
type quickSA struct {
	side    *side
	bundle  Bundle
	open    map[uint64]*quick // ours, by ID
	answers map[uint64]uint32 // our SPIs in the answers to the peer's, by ID
	ended   bool
}

// quick is a quick mode of ours that waits for its answer.
type quick struct {
	id    uint64
	old   *Pair
	spi   uint32
	retry timer.Timer
}

func (c *quickSA) Children() *Bundle { return &c.bundle }
func (c *quickSA) Established() bool { return !c.ended }
func (c *quickSA) Ending() bool      { return c.ended }
func (c *quickSA) Rekey(p *Pair)     { c.negotiate(p) }
func (c *quickSA) Request(l *Chain)  { l.RequestEnded() } // quick mode knows no resources

func (c *quickSA) Delete(p *Pair, cause Cause, why string) {
	spi, o := binary.BigEndian.AppendUint32(nil, p.SA.SPIIn), c.side.other.sa
	if !c.side.w.mute {
		c.side.w.deliver(func() {
			if q := o.bundle.Named(spi); q != nil {
				q.Lost(EndPeer, "the peer deleted it")
			}
		})
	}
	p.Lost(cause, why) // no response will come
}

// negotiate starts a quick mode, in place of a pair or for the policy.
func (c *quickSA) negotiate(old *Pair) {
	s := c.side
	s.lastSPI++
	x := &quick{id: s.w.rand.Uint64(), old: old, spi: s.lastSPI}
	c.open[x.id] = x
	x.retry.Fire = func() { c.ask(x) }
	c.ask(x)
}

// ask sends the first message of a quick mode, and repeats it after a second.
func (c *quickSA) ask(x *quick) {
	s := c.side
	s.timers.Set(&x.retry, s.w.now.Add(time.Second))
	s.w.post(s.other, func(o *quickSA) { o.asked(x.id, x.spi) })
}

// asked answers the first message, and makes the pair when it comes for the first time. Which pair
// it replaces is for each side to see: the one that is in use. If both sides replace a pair, the
// quick mode with the higher ID stays.
func (c *quickSA) asked(id uint64, theirs uint32) {
	s := c.side
	ours, again := c.answers[id]
	if !again {
		for _, x := range c.open {
			if x.old == nil {
				continue
			}
			s.collisions++
			if x.id > id {
				return
			}
			c.stop(x)
		}
		s.lastSPI++
		ours = s.lastSPI
		c.answers[id] = ours
		old := c.bundle.Of(s.pol)
		p := s.table.Install(c, s.pol.Main(), Agreement{SA: c.keys(ours, theirs), Origin: &origin{id: id}, Replaces: old})
		if old == nil {
			p.CameUp()
		} else {
			old.Origin.(*origin).crossed = true
			p.Replaces(old)
			old.Replaced(p)
			old.Answer(nil)
		}
		p.UseSoon()
	}
	s.w.post(s.other, func(o *quickSA) { o.answered(id, ours) })
}

// answered makes the pair that a quick mode of ours has brought about.
func (c *quickSA) answered(id uint64, theirs uint32) {
	s, x := c.side, c.open[id]
	if x == nil {
		return
	}
	c.stop(x)
	p := s.table.Install(c, s.pol.Main(), Agreement{SA: c.keys(x.spi, theirs), Origin: &origin{id: id}, Creator: true, Replaces: x.old})
	if x.old == nil || x.old.Carrier() == nil {
		p.UseNow()
		p.CameUp()
		return
	}
	p.Replaces(x.old)
	x.old.Answer(nil)
	p.Supersedes(x.old)
}

func (c *quickSA) stop(x *quick) {
	delete(c.open, x.id)
	c.side.timers.Stop(&x.retry)
	c.side.pol.Settled()
	if x.old != nil {
		x.old.RekeyEnded()
	}
}

func (c *quickSA) keys(in, out uint32) ipsec.ChildSA {
	return ipsec.ChildSA{SPIIn: in, SPIOut: out, KeyIn: []byte{1}, KeyOut: []byte{2}}
}

// end ends the SA on this side.
func (c *quickSA) end(cause Cause) {
	c.ended = true
	for _, x := range c.open {
		c.stop(x)
	}
	c.bundle.Lost(cause, fmt.Sprintf("cause %d", cause))
}

// origin is a quick mode that made a pair. Of two at the same time the one with the higher ID
// stays.
type origin struct {
	id      uint64
	crossed bool // the peer has made another one in its place
}

func (o *origin) Proven() bool               { return false } // packets prove it
func (o *origin) Crossed() bool              { return o.crossed }
func (o *origin) Outlasts(other Origin) bool { return o.id > other.(*origin).id }
func (o *origin) Revived()                   { o.crossed = false }
