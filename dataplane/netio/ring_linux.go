package netio

import (
	"net/netip"
	"sync/atomic"
	"unsafe"

	"culvert/internal/ipsec"
)

// A ring is memory shared with the kernel, into which the program at the devices puts packets of IP
// protocol 50 and from which a worker takes them: a bounded queue with a number in each slot. A
// slot whose number is
//
//	p           is free for the packet p: the program claims it by adding 1 to head
//	p + 1       holds the packet p
//	p + slots   was freed, whatever became of its neighbours: packets may be freed in any order
//
// Each slot is an element of a map, and so is the part in front of them, which holds head, the
// bell, the count of packets that found no free slot, and what is shed.
const (
	ringSlots  = 2048
	slotSize   = 2048
	slotData   = 48
	ringPacket = slotSize - slotData // the largest packet, without its IP header

	ringHead  = 0   // the next packet's number
	ringAwake = 64  // 0: the next packet rings the bell
	ringFull  = 128 // packets lost

	slotNumber = 0
	slotLen    = 8
	slotTOS    = 12
	slotSrc    = 16 // IPv4 addresses are mapped
	slotDst    = 32
)

type ring struct {
	mem      []byte
	tail     atomic.Uint64 // the next packet to take; only its receiver changes it
	turn     atomic.Uint32 // ringFlows and so on
	settling bool          // the sockets are read until they are dry, before the ring; its receiver's
	shedding               // likewise
}

// The turn of a ring and of the raw sockets beside it. What is older always comes first:
//
//	      the inlet has packets taken         the worker has seen a packet in the ring,
//	  |   from now on                         and after it the sockets dry
//	  v                                       |
//	ringDue --------------------------------> ringFlows
//	  ^                                       |
//	  | the ring is empty                     | the inlet has no more packets taken
//	  |                                       v
//	ringLeads <-------------------------------+
const (
	ringFlows = iota // in turn: no SA's packets are in both
	ringDue          // what is in the sockets is older
	ringLeads        // what is in the ring is older
)

// newRing returns the ring in mem, whose slots are all free.
func newRing(mem []byte) *ring {
	r := &ring{mem: mem, shedding: shedding{size: ringSlots}}
	for i := range uint64(ringSlots) {
		r.slot(i).number().Store(i)
	}
	r.turn.Store(ringDue)
	return r
}

// ringSize is the number of octets of a ring.
const ringSize = (1 + ringSlots) * slotSize

// A slot is the memory of one packet.
type slot []byte

func (r *ring) slot(number uint64) slot {
	return r.mem[(1+number%ringSlots)*slotSize:][:slotSize]
}

func (s slot) number() *atomic.Uint64 { return word(s, slotNumber) }

// word returns a number in the shared memory, in the host's byte order.
func word(mem []byte, at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&mem[at])) }

// waits reports whether there is a packet. Any goroutine may call it.
func (r *ring) waits() bool {
	tail := r.tail.Load()
	return r.slot(tail).number().Load() == tail+1
}

// full returns the number of packets that were lost.
func (r *ring) full() uint64 { return word(r.mem, ringFull).Load() }

// doze reports whether there is no packet, and if so has the next one ring the bell.
func (r *ring) doze() bool {
	if r.waits() {
		return false
	}
	awake := word(r.mem, ringAwake)
	if awake.Load() != 0 {
		awake.Store(0)
	}
	if !r.waits() {
		return true
	}
	awake.Store(1)
	return false
}

// A ringBurst is the packets that were taken from a ring together: those from at on are not
// delivered yet, and all of them are in use until it ends.
type ringBurst struct {
	from           *ring
	first, at, end uint64
}

// take takes the packets that wait in r, at most the given number. If the burst before has not
// ended, it goes on with them.
func (b *ringBurst) take(r *ring, most int) {
	tail := r.tail.Load()
	if b.first == b.end {
		b.first = tail
	}
	b.from, b.at, b.end = r, tail, tail
	for b.end-tail < uint64(most) && r.slot(b.end).number().Load() == b.end+1 {
		b.end++
	}
	r.tail.Store(b.end)
}

// more reports whether there are undelivered packets.
func (b *ringBurst) more() bool { return b.at < b.end }

// finish frees the packets of the burst.
func (b *ringBurst) finish() {
	for ; b.first < b.end; b.first++ {
		b.from.slot(b.first).number().Store(b.first + ringSlots)
	}
}

// next delivers the next packet of the burst into in.
func (b *ringBurst) next(in *Received) {
	s := b.from.slot(b.at)
	b.at++
	n := *(*uint32)(unsafe.Pointer(&s[slotLen]))
	local, remote := netip.AddrFrom16([16]byte(s[slotDst:])), netip.AddrFrom16([16]byte(s[slotSrc:]))
	*in = Received{Kind: ESP, Data: s[slotData:][:min(n, ringPacket)], TOS: s[slotTOS], More: b.more(),
		Path: ipsec.RawPath(local.Unmap(), remote.Unmap())}
}
