package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"

	"culvert/dataplane/netio"
	"culvert/dataplane/turnstile"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// rx carries packets from a port to the TUN queue of the worker that owns the port:
//
//	drain -> carry -> receive -> arrived -> openBatch -> deliver -> coalescer -> writeTUN
type rx struct {
	*thread
	queue   tun.Queue
	port    netio.Port
	order   *rxOrder // of what comes to the port
	backlog backlog

	recvs   [maxReceives]netio.Received // what one receive brought
	ahead   lookAhead                   // of recvs
	buf     []byte                      // what is received
	scratch esp.Scratch
	batch   rxBatch
	packet  rxPacket             // of the batch, the one in hand
	gather  gso.Coalescer[*pair] // of what the receive in hand brought
	noted   notedWrites
	rebuilt rebuilt     // what the receive in hand brought in transport mode
	refuser tun.Refuser // nil: the queue never reports its offloads
}

// rxPacket is an opened packet on its way in, with all that is known of it. It is one value that is
// passed by pointer. That of a batch belongs to rx, as one on the stack would be cleared for each
// packet.
type rxPacket struct {
	sa  *pair
	esp *esp.Packet // what was in the ESP packet
	tos uint8       // outer
	far bool        // in transport mode: it came from another address than the SA's
	hdr selector.Packet
}

// open prepares r, whose order is set later.
func (r *rx) open(th *thread, queue tun.Queue, port netio.Port) {
	r.thread, r.queue, r.port = th, queue, port
	r.buf = make([]byte, maxDatagram+tunTailroom)
	r.gather.Can, r.gather.Out = th.plane.cfg.Offloads, r.writeTUN
	r.refuser, _ = queue.(tun.Refuser)
}

// drain carries what the port has, up to the budget of a cycle, to the TUN. An error is the end of
// the port.
func (r *rx) drain() (progress, error) {
	if r.batch.stage != finished && (!r.proceed() || r.mail.early.Load()) {
		turnstile.Yield()
		return leftMore, nil
	}
	for n, octets := 0, 0; n < cyclePackets && octets < cycleBytes; n++ {
		size, err := r.carry(r.order)
		switch {
		case err == nil:
			if octets += size; r.mail.early.Load() {
				return leftMore, nil
			}
		case errors.Is(err, netio.ErrWouldBlock):
			r.caughtUp()
			return ranDry(n), nil
		case errors.Is(err, errTaken):
			turnstile.Yield()
			return leftMore, nil
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
			return wasDry, fmt.Errorf("dataplane: the port is closed: %w", err)
		default: // an ICMP error of an earlier send, an interface that is down
			r.tally.add(countRecvError, 1)
			return ranDry(n), nil
		}
	}
	if r.order.shared {
		r.fallBehind(&r.backlog, &r.order.loot)
	}
	return leftMore, nil
}

// errTaken reports that another worker is reading or receiving, or that the turn of what this one
// received before has not come.
var errTaken = errors.New("dataplane: another worker receives")

// carry carries what one receive from the port of o brings to the TUN, and returns the number of
// its octets. The batch before is finished first.
func (r *rx) carry(o *rxOrder) (octets int, err error) {
	if r.batch.stage != finished && !r.proceed() || !r.batch.enter(o) {
		return 0, errTaken
	}
	r.rebuilt.used = 0
	octets, n, err := r.receive()
	r.batch.leave()
	r.receivedAll(n)
	if err == nil {
		r.openBatch(true)
	}
	return octets, err
}

// maxReceives is the most messages that are received before they are looked at: the largest burst
// of netio.
const maxReceives = 32

// receive takes one receive's worth from the port whose order was entered. It returns the number of
// messages that are not sorted yet: to look at the packets, which no cache has, takes longer than
// all that must be done while no other worker receives.
func (r *rx) receive() (octets, n int, err error) {
	some := false
	for more := true; more; some = true {
		in := &r.recvs[n]
		if owner := r.batch.order.owner; owner == r {
			err = r.port.Recv(r.buf, in)
		} else {
			err = r.port.(netio.Helper).RecvFor(owner.port, r.buf, in)
		}
		if err != nil {
			if some { // the end of a burst; anything worse comes again
				err = nil
			}
			break
		}
		r.batch.number()
		octets += len(in.Data)
		more = in.More
		if n++; n == maxReceives {
			r.receivedAll(n)
			n = 0
		}
	}
	return octets, n, err
}

// receivedAll sorts the messages of a burst, or a part of it. The SAs of several are looked up
// before the first is taken.
func (r *rx) receivedAll(n int) {
	if n > 1 {
		r.ahead.look(r.plane.sad, r.recvs[:n])
	}
	for i := range r.recvs[:n] {
		r.ahead.at = i
		r.received(&r.recvs[i])
	}
	r.ahead.forget()
}

// received sorts what came. A NAT keepalive ends here (RFC 3948, Section 4).
func (r *rx) received(in *netio.Received) {
	switch in.Kind {
	case netio.ESP:
		r.inbound(in)
	case netio.IKE:
		r.tally.add(countIKE, 1)
		if r.plane.cfg.OnIKE != nil {
			r.plane.cfg.OnIKE(in)
		}
	}
}

// deliver checks an opened packet and hands it to the coalescer, which writes it to the TUN.
func (r *rx) deliver(x *rxPacket) {
	c, hdr := x.sa, &x.hdr
	if c.held.Load() {
		r.drop(c, dropHeldIn)
		return
	}
	if c.sa.hosts != nil && !r.rebuild(x) {
		return
	}
	if selector.ParsePacket(x.esp.Data, hdr) != nil || nextHeader(hdr.Version) != x.esp.Next {
		r.drop(c, dropBadInner)
		return
	}
	// RFC 4301, Section 5.2, step 5: if "the packet's header fields are not consistent with the
	// selectors for the SA, it MUST discard the packet".
	switch {
	case !selector.MatchInbound(&hdr.Flow, c.sa.LocalTS, c.sa.RemoteTS):
		if !r.admit(x) {
			return
		}
	case c.sa.noise && hdr.IsNoise() && !hdr.NoiseIsNamed(c.sa.RemoteTS, c.sa.LocalTS):
		r.drop(c, dropNoiseIn)
		return
	}
	pkt := x.esp.Data[:hdr.TotalLen] // without the peer's TFC padding (RFC 4303, Section 2.7)
	drop, alarm := esp.ApplyECN(pkt, x.tos)
	if alarm {
		r.drop(c, countECNAlarm)
	}
	if drop {
		r.drop(c, dropECN)
		return
	}
	mtu, _ := c.mtuFor(hdr.Version)
	clampMSS(pkt, hdr, mtu, true)
	r.gather.Add(c, pkt, hdr)
	if hdr.Fragment == selector.FirstFragment && c.sa.tellsPorts {
		r.followFirst(x)
	}
}

// admit reports whether a packet that the selectors of its SA do not match by its own headers is
// let in. If not, it is counted.
func (r *rx) admit(x *rxPacket) bool {
	switch {
	case x.hdr.Fragment == selector.LaterFragment && x.sa.sa.tellsPorts:
		return r.admitLater(x)
	case !x.hdr.ICMPError():
		r.drop(x.sa, dropSelector)
		r.sight(dropSelector, x.sa.sa.Policy, &x.hdr.Flow)
	case !admitsError(x):
		r.drop(x.sa, dropErrorIn)
	default:
		r.tally.add(countErrorCarried, 1)
		return true
	}
	return false
}

// writeTUN writes what the coalescer made of packets of c, or notes it if the turn has not come.
func (r *rx) writeTUN(c *pair, p *gso.Packet, packets [][]byte) {
	if !r.batch.mayWrite() {
		r.noted.add(c, p, packets)
		return
	}
	if len(r.noted.writes) > 0 {
		r.writeNoted()
	}
	r.write(c, p, packets)
}

// write writes what the coalescer made of packets of c. The turn has come.
func (r *rx) write(c *pair, p *gso.Packet, packets [][]byte) {
	err := r.writeQueue(r.batch.order.queueFor(c, r.plane.workers, packets[0]), p, packets)
	if p.GSO != gso.None && r.refuser != nil {
		r.gather.Can = r.refuser.Offloads()
	}
	switch {
	case errors.Is(err, tun.ErrWouldBlock):
		r.dropAll(c, dropTUNFull, len(packets))
	case err != nil:
		r.dropAll(c, dropTUNError, len(packets))
	}
}

// writeQueue writes to a queue, which may be another worker's.
func (r *rx) writeQueue(to tun.Queue, p *gso.Packet, packets [][]byte) error {
	if to != r.queue {
		return r.queue.(tun.Helper).WriteFor(to, p, packets)
	}
	return r.queue.Write(p, packets)
}

// discard drops the packets in hand after a panic, and lets other workers pass.
func (r *rx) discard() {
	r.gather.Discard() // which may be what panicked
	r.noted.clear()
	r.batch.n, r.batch.used, r.batch.stage, r.batch.since = 0, 0, finished, 0
	r.batch.giveUp()
	clear(r.batch.runs[:]) // keeps none of the SAs in hand alive
	r.ahead.forget()
	r.packet.sa, r.packet.esp = nil, nil
}
