package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"
)

// errRefused is EPERM: a packet filter of this host (nftables, iptables, a cgroup's program) drops
// sent packets and reports it.
var errRefused = errors.New("netio: a firewall of this host drops what culvert sends")

// refusedAgain is the least time between two log lines.
const refusedAgain = time.Minute

// firewall counts and logs what a packet filter of this host refuses to any socket of a Net. It is
// safe for concurrent use.
type firewall struct {
	mark    uint32
	log     *slog.Logger
	refused atomic.Uint64 // datagrams
	last    atomic.Int64  // the time of the last log line: UnixNano
}

// remedy returns advice on how such a filter can recognise culvert's packets.
func (f *firewall) remedy() string {
	if f.mark == 0 {
		return "let its packets out"
	}
	return fmt.Sprintf("let packets with the mark %#x out ([daemon] mark)", f.mark)
}

// note counts n refused datagrams to remote, and logs them at a bounded rate.
func (f *firewall) note(n int, remote netip.AddrPort, now time.Time) {
	f.refused.Add(uint64(n))
	last := f.last.Load()
	if last != 0 && now.UnixNano()-last < int64(refusedAgain) || !f.last.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	f.log.Warn("a firewall of this host drops what culvert sends: "+f.remedy(), "event", "send-refused",
		"remote", remote.String(), "refused", f.refused.Load())
}
