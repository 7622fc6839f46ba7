package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
)

// deliver checks an opened packet and passes it on to the TUN.
func (w *worker) deliver(c *pair, plain *esp.Packet, outerTOS uint8) {
	hdr := &w.inner
	if selector.ParsePacket(plain.Data, hdr) != nil || nextHeader(hdr.Version) != plain.Next {
		w.drop(c, dropBadInner)
		return
	}
	// RFC 4301, Section 5.2, step 5: if "the packet's header fields are not consistent with the selectors for the SA, it MUST discard the packet".
	switch {
	case !selector.MatchInbound(&hdr.Flow, c.sa.LocalTS, c.sa.RemoteTS):
		if !w.admit(c, plain, hdr, outerTOS) {
			return
		}
	case c.sa.noise && isNoise(hdr) && !carriesNoise(hdr, c.sa.RemoteTS, c.sa.LocalTS):
		w.drop(c, dropNoiseIn)
		return
	}
	pkt := plain.Data[:hdr.TotalLen] // without the peer's TFC padding (RFC 4303, Section 2.7)
	drop, alarm := esp.ApplyECN(pkt, outerTOS)
	if alarm {
		w.drop(c, countECNAlarm)
	}
	if drop {
		w.drop(c, dropECN)
		return
	}
	mtu, _ := c.mtuFor(hdr.Version)
	clampMSS(pkt, hdr, mtu, true)
	w.gather.add(c, pkt, hdr)
	if hdr.Fragment == selector.FirstFragment && c.sa.tellsPorts {
		w.followFirst(c, pkt, hdr)
	}
}

// admit lets in a packet that the selectors of c do not match by its own headers, or counts it.
func (w *worker) admit(c *pair, plain *esp.Packet, hdr *selector.Packet, outerTOS uint8) bool {
	switch {
	case hdr.Fragment == selector.LaterFragment && c.sa.tellsPorts:
		return w.admitLater(c, plain, hdr, outerTOS)
	case !hdr.ICMPError():
		w.drop(c, dropSelector)
	case !admitsError(c, plain.Data, hdr):
		w.drop(c, dropErrorIn)
	default:
		w.tally.add(countErrorCarried, 1)
		return true
	}
	return false
}

// writeTUN writes what the coalescer made of packets that came by c.
func (w *worker) writeTUN(c *pair, p *tun.Packet, packets [][]byte) {
	w.in.awaitWrite()
	err := w.writeQueue(p, packets)
	if p.GSO != tun.GSONone && w.refuser != nil {
		w.gather.can = w.refuser.Offloads()
	}
	switch {
	case errors.Is(err, tun.ErrWouldBlock):
		w.dropAll(c, dropTUNFull, len(packets))
	case err != nil:
		w.dropAll(c, dropTUNError, len(packets))
	}
}

// drainPort carries what the port has, up to a batch, to the TUN.
func (w *worker) drainPort() (busy bool, err error) {
	for n, octets := 0, 0; n < cyclePackets && octets < cycleBytes; n++ {
		size, err := w.carryIn(w.rxOrder)
		switch {
		case err == nil:
			octets += size
		case errors.Is(err, netio.ErrWouldBlock):
			w.caughtUp()
			return n > 0, nil
		case errors.Is(err, errTaken):
			w.more = true
			return true, nil
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
			return false, fmt.Errorf("dataplane: the port is closed: %w", err)
		default: // an ICMP error of an earlier send, an interface that is down
			w.tally.add(countRecvError, 1)
			return n > 0, nil
		}
	}
	w.fallBehind()
	w.more = true
	return true, nil
}

// received sorts what came. A keepalive is for NATs and nobody else (RFC 3948, Section 4).
func (w *worker) received(r *netio.Received) {
	switch r.Kind {
	case netio.ESP:
		w.inbound(r)
	case netio.IKE:
		w.tally.add(countIKE, 1)
		if w.plane.cfg.OnIKE != nil {
			w.plane.cfg.OnIKE(r)
		}
	}
}

// errTaken says that another worker is receiving.
var errTaken = errors.New("dataplane: another worker receives")

// carryIn carries what one receive from l's port brings to the TUN, and says how many octets that was.
func (w *worker) carryIn(l *rxOrder) (octets int, err error) {
	if !w.in.enter(l) {
		return 0, errTaken
	}
	octets, err = w.receive()
	w.in.leave()
	if err == nil {
		w.openBatch(true)
	}
	return octets, err
}

// receive takes one receive's worth from the lane that was entered.
func (w *worker) receive() (octets int, err error) {
	for n := 0; ; n++ {
		if l := w.in.order; l.owner == w {
			err = w.port.Recv(w.recvBuf, &w.recv)
		} else {
			err = w.port.(netio.Helper).RecvFor(l.owner.port, w.recvBuf, &w.recv)
		}
		if err != nil {
			if n > 0 { // the end of a burst; anything worse comes again
				err = nil
			}
			return octets, err
		}
		w.in.number()
		octets += len(w.recv.Data)
		w.received(&w.recv)
		if !w.recv.More {
			return octets, nil
		}
	}
}

// writeQueue writes to the queue of the lane in hand.
func (w *worker) writeQueue(p *tun.Packet, packets [][]byte) error {
	if l := w.in.order; l.owner != w {
		return w.queue.(tun.Helper).WriteFor(l.owner.queue, p, packets)
	}
	return w.queue.Write(p, packets)
}
