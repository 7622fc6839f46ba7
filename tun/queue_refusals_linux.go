package tun

import (
	"culvert/tun/gso"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// errRefused is EINVAL from a write.
var errRefused = fmt.Errorf("tun: writing: the kernel refused the packet: %w", unix.EINVAL)

// refusalsToLearn is the number of consecutive super-packets of a kind that the kernel must refuse
// whole and take as packets before it gets no more. A single one may be malformed in a way that we
// do not check.
const refusalsToLearn = 3

// gsoRefusals records for a device which kinds of super-packets the kernel offers to take and then
// refuses (EINVAL). All queues of the device share it.
type gsoRefusals struct {
	tso, uso gsoRefusal
	count    atomic.Uint64 // refused super-packets
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

// refused records a super-packet that the kernel refused whole and took as packets.
func (r *gsoRefusals) refused(kind gso.Type) {
	r.count.Add(1)
	k, name := r.of(kind)
	if k.inRow.Add(1) >= refusalsToLearn && !k.known.Swap(true) {
		r.log.Warn("the kernel refuses super-packets on the TUN device (EINVAL): packets are written one by one, which costs throughput; "+
			"[daemon] offloads = \"none\" does so from the start", "event", "tun-gso-refused", "protocol", name)
	}
}

// taken records a super-packet that the kernel took.
func (r *gsoRefusals) taken(kind gso.Type) {
	if k, _ := r.of(kind); k.inRow.Load() != 0 {
		k.inRow.Store(0)
	}
}

// left returns o without the offloads that the kernel is known to refuse.
func (r *gsoRefusals) left(o gso.Offloads) gso.Offloads {
	o.TSO = o.TSO && !r.tso.known.Load()
	o.USO = o.USO && !r.uso.known.Load()
	return o
}
