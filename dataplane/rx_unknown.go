package dataplane

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"culvert/internal/ipsec"
)

// An unknownSPIs limits the reports of ESP with unknown SPIs: one a second for each of its slots,
// to which the senders' addresses are spread at random. So strangers cause no more than there are
// slots, and do not often hide the report of a peer.
type unknownSPIs struct {
	seed  maphash.Seed
	slots [unknownSlots]atomic.Int64 // when the last one was reported; UnixNano
}

const (
	unknownSlots = 128
	unknownEvery = int64(time.Second)
)

// due reports whether to report a packet from the address now.
func (u *unknownSPIs) due(from netip.Addr, now int64) bool {
	last := &u.slots[maphash.Comparable(u.seed, from)%unknownSlots]
	was := last.Load()
	return (was == 0 || now-was >= unknownEvery || now < was) && last.CompareAndSwap(was, now)
}

// unknownSPI counts and reports a datagram of an SPI that is not in use: a peer may still send on
// an SA that this side has lost, or this is noise.
func (r *rx) unknownSPI(spi uint32, size int, from *ipsec.Path) {
	r.tally.add(dropUnknownSPI, 1)
	if r.plane.unknown.due(from.Remote().Addr(), r.nowNano) {
		r.plane.events.post(ipsec.Event{Kind: ipsec.EventUnknownSPI, SPI: spi, Size: size, Path: *from})
	}
}
