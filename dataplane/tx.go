package dataplane

import (
	"errors"
	"fmt"
	"time"

	"culvert/dataplane/netio"
	"culvert/dataplane/turnstile"
	"culvert/esp"
	"culvert/internal/ipheader"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// tx carries packets from a worker's TUN queue to its port:
//
//	drain -> take -> outbound -> dispatch -> carry -> addToBatch or sealSuper -> txQueue -> port
type tx struct {
	*thread
	queue   tun.Queue
	reads   *readOrder // of the queue
	reading *readOrder // the one that is taken; nil: none
	missing int64      // since when the owner misses a slot that is being sealed; 0: it does not
	backlog backlog
	home    *thread // the worker to whose queue the packet in hand came, and whose SAs it takes: mostly this one
	shared  bool    // other workers may send on the same SAs
	silent  bool    // the queue never reports that it can be read: it is read in each cycle
	ready   bool    // the queue may have a packet

	read     gso.Packet // as read from the queue
	buf      []byte     // what is read from the queue, and the transmit batch
	fragBuf  []byte
	scratch  esp.Scratch
	segments gso.Segmenter
	batch    txBatch
	out      txQueue
	answers  icmpAnswers
	copyings []*copying // mostly none
	moves    []sourceMove
}

// open prepares t, whose order of reads is set later. shared: see the field.
func (t *tx) open(th *thread, queue tun.Queue, port netio.Port, shared bool) {
	t.thread, t.home, t.queue, t.shared = th, th, queue, shared
	t.buf = make([]byte, txBatchSpace+tunHeadroom+gso.MaxPacket+tunTailroom)
	t.fragBuf = make([]byte, 0, maxDatagram+tunTailroom)
	t.out.open(th, port, shared)
	t.answers.open(queue)
}

// txPacket is a packet or super-packet on its way out, with all that is known of it. It is one
// value that is passed by pointer. No part of it is kept in the worker: while it is in hand,
// packets of the transmit batch before it may have to be classified and sealed again (breakBatch).
type txPacket struct {
	pkt   *gso.Packet
	since time.Time // when it was first read
	hdr   selector.Packet
	sa    *pair // that pick chose last
	wrap
}

// wrap is how a packet is sealed and sent.
type wrap struct {
	tos      uint8 // outer
	next     uint8 // ESP next header
	skip     uint8 // octets of the packet in front of what is sealed: its IP header in transport mode
	fragment bool  // the outer IP may fragment it
	dummy    bool  // it does not count as traffic
}

// drain sends what the TUN has, up to the budget of a cycle. An error is the end of the device.
func (t *tx) drain() (progress, error) {
	n := t.sendReady()
	for octets := 0; n < cyclePackets && octets < cycleBytes; {
		reads, size, err := t.take(t.reads)
		n, octets = n+reads, octets+size
		t.sendReady()
		switch {
		case err == nil:
		case errors.Is(err, tun.ErrWouldBlock):
			t.ready = t.silent
			t.caughtUp()
			return ranDry(n), nil
		case errors.Is(err, errTaken):
			turnstile.Yield()
			return leftMore, nil
		default:
			return wasDry, fmt.Errorf("dataplane: the TUN device is gone: %w", err)
		}
	}
	if t.reads.shared {
		t.fallBehind(&t.backlog, &t.reads.loot)
	}
	return leftMore, nil
}

// take carries a super-packet from the queue of o, or as many others as a batch holds, or all of a
// cycle if nobody may steal. Only one worker reads at a time, until the sequence numbers of what it
// read are reserved.
func (t *tx) take(o *readOrder) (reads, octets int, err error) {
	if !t.enter(o) {
		return 0, 0, errTaken
	}
	for reads < cyclePackets && octets < cycleBytes {
		if o.owner == t {
			err = t.queue.Read(t.readSpace(), tunHeadroom, &t.read)
		} else {
			err = t.queue.(tun.Helper).ReadFor(o.owner.queue, t.readSpace(), tunHeadroom, &t.read)
		}
		if err != nil {
			break
		}
		reads, octets = reads+1, octets+len(t.read.Data)
		t.outbound(&t.read, t.now)
		if o.shared && t.batch.n == 0 {
			break
		}
	}
	t.sealLast()
	t.leave(reads > 0)
	return reads, octets, err
}

// outbound sends what one read of the TUN gave, a packet or a super-packet, on its SA (RFC 4301,
// Section 5.1). A super-packet is classified once, as all its segments are of one flow. The data of
// pkt lie in what readSpace returned. since is when it was first read.
func (t *tx) outbound(pkt *gso.Packet, since time.Time) {
	if pkt.GSO != gso.None {
		t.sealBatch() // the order of a flow is kept
	}
	x := txPacket{pkt: pkt, since: since}
	hdr := &x.hdr
	if selector.ParsePacket(pkt.Data, hdr) != nil {
		t.tally.add(dropBadPacket, 1)
		return
	}
	pkt.Data = pkt.Data[:hdr.TotalLen]
	if hdr.IsNoise() {
		t.outboundNoise(&x)
		return
	}
	if hdr.Fragment != selector.NotFragment && t.plane.portPolicies.Load() > 0 {
		t.outboundFragment(&x)
		return
	}
	s, ok := t.plane.policyFor(&hdr.Flow)
	if !ok {
		t.uncovered(&x)
		return
	}
	t.dispatch(&x, s, &hdr.Flow)
}

// policyFor finds the policy of an outbound flow; ok is false if there is none or the flow is
// bypassed.
func (p *Plane) policyFor(f *selector.Flow) (t target, ok bool) {
	t, ok = p.spd.Load().Lookup(f)
	return t, ok && t.slot != nil
}

// dispatch sends a packet, which counts as of the flow, on an SA of its policy, or puts it into the
// acquire queue.
func (t *tx) dispatch(x *txPacket, s target, flow *selector.Flow) {
	for {
		x.sa = s.pick(flow, s.order, t.home.index)
		if x.sa == nil {
			switch t.plane.acquires.add(s.slot, flow, x, t.home, t.now) {
			case saExists:
				continue
			case yielded:
				var ok bool
				if s, ok = t.plane.policyFor(flow); !ok {
					t.uncovered(x)
					return
				}
				continue
			case full:
				t.tally.add(dropNoSA, 1)
				t.sight(dropNoSA, s.policy, flow)
			case tooSoon:
				t.refuse(x, s.slot, flow)
			case heldDown:
				t.tally.add(dropHeld, 1)
				t.sight(dropHeld, s.policy, flow)
			}
			return
		}
		if x.sa.sa.PerResource && t.home == t.thread && x.sa.sa.Resource != t.index+1 {
			t.noteDemand(s.slot, flow)
		}
		if len(t.copyings) > 0 {
			t.copyOut(x, s.slot, flow)
		}
		if t.carry(x) {
			return
		}
		// The SA has just reached its end, and pick will not choose it again.
	}
}

// carry sends a packet through its SA, in the way that its size asks for. It reports false if the
// SA is at its end: then nothing was sent.
func (t *tx) carry(x *txPacket) bool {
	hdr, pkt := &x.hdr, x.pkt
	if x.sa.sa.hosts != nil {
		return t.carryTransport(x)
	}
	mtu, fragment := x.sa.mtuFor(hdr.Version)
	x.wrap = wrap{tos: esp.OuterTOS(hdr.TOS), next: nextHeader(hdr.Version), fragment: fragment}
	if pkt.GSO != gso.None {
		return t.carrySuper(x, mtu)
	}
	clampMSS(pkt.Data, hdr, mtu, !pkt.NeedsChecksum)
	gso.CompleteChecksum(pkt)
	if len(pkt.Data) <= mtu {
		return t.addToBatch(x)
	}
	if hdr.DF {
		t.tooBig(x, mtu)
		return true
	}
	t.sealBatch() // the order of a flow is kept
	return t.sealFragments(x, pkt.Data, mtu)
}

// tooBig answers a packet that must not be fragmented (RFC 4301, Section 8.2.1, cases 1 and 3).
func (t *tx) tooBig(x *txPacket, mtu int) {
	t.drop(x.sa, dropTooBig)
	t.sight(dropTooBig, x.sa.sa.Policy, &x.hdr.Flow)
	t.answer(x, ipheader.TooBig(mtu))
}

// discard drops the packets in hand after a panic, and lets other workers pass.
func (t *tx) discard() {
	t.out.order.late.discard()
	t.out.giveUpTicket()
	t.batch.discard()
	t.leave(true)
	t.out.flush()
	clear(t.out.from[:]) // keeps none of the SAs in hand alive
}
