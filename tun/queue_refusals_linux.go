package tun

import (
	"culvert/tun/gso"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// errRefused is EINVAL from a write.
var errRefused = fmt.Errorf("tun: writing: the kernel refuses the packet: %w", unix.EINVAL)

// refusalsToLearn is how many super-packets of a kind in a row the kernel must refuse, and take
// packet by packet, until no more are given to it. One alone may be a packet that only looks right
// to us.
const refusalsToLearn = 3

// gsoRefusals is what is known of a device whose kernel offers to take super-packets and then
// refuses them (EINVAL). Any worker's queue may come to know it.
type gsoRefusals struct {
	tso, uso gsoRefusal
	count    atomic.Uint64 // super-packets that were refused
	log      *slog.Logger
}

type gsoRefusal struct {
	inRow atomic.Int32
	known atomic.Bool
}

func (r *gsoRefusals) of(kind gso.Type) (*gsoRefusal, string) {
	if kind == gso.UDP {
		return &r.uso, "UDP"
	}
	return &r.tso, "TCP"
}

// refused notes a super-packet that the kernel refused whole and took in packets.
func (r *gsoRefusals) refused(kind gso.Type) {
	r.count.Add(1)
	k, name := r.of(kind)
	if k.inRow.Add(1) >= refusalsToLearn && !k.known.Swap(true) {
		r.log.Warn("the kernel refuses super-packets on the TUN device (EINVAL): packets are written one by one, which costs throughput; "+
			"[daemon] offloads = \"none\" does so from the start", "event", "tun-gso-refused", "protocol", name)
	}
}

// taken notes that the kernel had nothing against a super-packet.
func (r *gsoRefusals) taken(kind gso.Type) {
	if k, _ := r.of(kind); k.inRow.Load() != 0 {
		k.inRow.Store(0)
	}
}

// left is those of the offloads that are not known to be refused.
func (r *gsoRefusals) left(o gso.Offloads) gso.Offloads {
	o.TSO = o.TSO && !r.tso.known.Load()
	o.USO = o.USO && !r.uso.known.Load()
	return o
}
