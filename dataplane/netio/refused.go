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
// what is sent and says so.
var errRefused = errors.New("netio: a firewall of this host drops what culvert sends")

// refusedAgain is how soon it is said again.
const refusedAgain = time.Minute

// firewall is what a packet filter of this host does to what is sent, by any socket of a Net. It
// may be used by any goroutine.
type firewall struct {
	mark    uint32
	log     *slog.Logger
	refused atomic.Uint64 // datagrams
	last    atomic.Int64  // when it was last said: UnixNano
}

// remedy names what such a filter can know culvert's packets by.
func (f *firewall) remedy() string {
	if f.mark == 0 {
		return "let its packets out"
	}
	return fmt.Sprintf("let packets with the mark %#x out ([daemon] mark)", f.mark)
}

// note counts n datagrams to remote that were refused, and says so once in a while.
func (f *firewall) note(n int, remote netip.AddrPort, now time.Time) {
	f.refused.Add(uint64(n))
	last := f.last.Load()
	if last != 0 && now.UnixNano()-last < int64(refusedAgain) || !f.last.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	f.log.Warn("a firewall of this host drops what culvert sends: "+f.remedy(), "event", "send-refused",
		"remote", remote.String(), "refused", f.refused.Load())
}
