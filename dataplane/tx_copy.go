package dataplane

import (
	"slices"
	"sync/atomic"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// copyEvery is the least time between two copies. A receiver of TCP answers each by a duplicate
// acknowledgment, of which three in a round trip look like a loss (RFC 5681, Section 3.2).
const copyEvery = 100 * time.Millisecond

// A copying sends some packets of a policy on an SA of another one as well, which is tried by that
// without a loss. Workers share it.
type copying struct {
	of, on *slot
	left   atomic.Int32 // copies
	next   atomic.Int64 // not before; UnixNano
}

// due takes one of the copies that are left, if it is time for one.
func (c *copying) due(now int64) bool {
	next := c.next.Load()
	if now < next || !c.next.CompareAndSwap(next, now+int64(copyEvery)) {
		return false
	}
	return c.left.Add(-1) >= 0
}

// CopyPackets has up to n of the next packets of a policy, at least 100 ms apart, sent on an SA of
// another one as well, in place of what it was told before for that other one. Copies are packets
// like others on their SA. Any goroutine may call it.
func (p *Plane) CopyPackets(of, on ipsec.PolicyID, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endCopying(on)
	from, to := p.slots[of], p.slots[on]
	if from == nil || to == nil || n <= 0 {
		return
	}
	c := &copying{of: from, on: to}
	c.left.Store(int32(n))
	p.copyings[on] = c
	for _, w := range p.workers {
		w.mail.putCopying(c)
	}
}

// endCopying has no more packets sent on the SAs of a policy as copies. Plane.mu is held.
func (p *Plane) endCopying(on ipsec.PolicyID) {
	if c := p.copyings[on]; c != nil {
		c.left.Store(0)
		delete(p.copyings, on)
	}
}

// maxCopyings bounds what waits in a mailbox.
const maxCopyings = 256

// putCopying leaves word of packets to copy. Without room none are copied by this worker.
func (m *mailbox) putCopying(c *copying) {
	m.mu.Lock()
	if len(m.copyings) < maxCopyings {
		m.copyings = append(m.copyings, c)
	}
	m.mu.Unlock()
	m.filled()
}

func (m *mailbox) takeCopyings() (list []*copying) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, m.copyings = m.copyings, nil
	return list
}

// copyLike adds what openMail took to what the worker copies, and drops what is spent.
func (t *tx) copyLike(list []*copying) {
	t.copyings = slices.DeleteFunc(append(t.copyings, list...), func(c *copying) bool { return c.left.Load() <= 0 })
}

// copyOut sends a copy of a packet of a policy where one is asked for. The packet itself is sent
// after it.
func (t *tx) copyOut(x *txPacket, s *slot, flow *selector.Flow) {
	spent := false
	for _, c := range t.copyings {
		spent = spent || c.left.Load() <= 0
		if c.of != s || x.hdr.Fragment != selector.NotFragment {
			continue
		}
		if to := c.on.pick(flow, 0, t.home.index); to != nil && to != x.sa && c.due(t.nowNano) {
			t.sendCopy(x, to)
		}
	}
	if spent {
		t.copyLike(nil)
	}
}

// sendCopy seals and enqueues a copy of a packet, or of the first segment of a super-packet, unless
// it is too large for the SA.
func (t *tx) sendCopy(x *txPacket, to *pair) {
	if len(x.pkt.Data) > cap(t.fragBuf) || to.sa.hosts != nil { // two gateways that stand by have two addresses
		return
	}
	t.sealBatch()
	pkt := *x.pkt
	pkt.Data = append(t.fragBuf[:0], x.pkt.Data...)
	mtu, fragment := to.mtuFor(x.hdr.Version)
	if pkt.GSO == gso.None {
		clampMSS(pkt.Data, &x.hdr, mtu, !pkt.NeedsChecksum)
		gso.CompleteChecksum(&pkt)
	} else { // all of it is cut, since flags such as FIN belong to the last segment
		if t.segments.Reset(&pkt) != nil {
			return
		}
		pkt.Data = t.segments.Next()
	}
	if len(pkt.Data) > mtu {
		return
	}
	c := txPacket{sa: to}
	c.wrap = wrap{tos: esp.OuterTOS(x.hdr.TOS), next: nextHeader(x.hdr.Version), fragment: fragment}
	if t.sealOne(&c, pkt.Data) {
		t.tally.add(countCopied, 1)
	}
}
