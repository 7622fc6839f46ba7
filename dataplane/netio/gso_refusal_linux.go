package netio

import (
	"net/netip"
	"time"
)

const (
	// maxRefusals bounds the remembered remotes; one more replaces the oldest.
	maxRefusals = 16
	// refusalLasts is the time for which a remote's datagrams are sent one by one. Then runs are
	// tried again, because routes and devices change.
	refusalLasts = time.Minute
)

// refusals are the remotes to which the kernel does not send runs (UDP_SEGMENT). The reason is the
// device on the way there, not the socket, and another peer's device may be better. The zero value
// is empty.
type refusals struct {
	list [maxRefusals]refusal
	n    int // in use, also after their time, so that the same remote is not logged again
	next int // the oldest
}

type refusal struct {
	remote netip.Addr
	until  time.Time
}

// has reports whether runs to remote are refused at present. Without any refusal it costs nothing.
func (r *refusals) has(remote netip.Addr) bool {
	for i := range r.list[:r.n] {
		if r.list[i].remote == remote {
			return time.Now().Before(r.list[i].until)
		}
	}
	return false
}

// add remembers that runs to remote are refused, and reports whether to log it: if it is new, and
// the list is not full.
func (r *refusals) add(remote netip.Addr, now time.Time) (news bool) {
	until := now.Add(refusalLasts)
	for i := range r.list[:r.n] {
		if r.list[i].remote == remote {
			r.list[i].until = until
			return false
		}
	}
	if r.n < maxRefusals {
		r.list[r.n] = refusal{remote, until}
		r.n++
		return true
	}
	r.list[r.next] = refusal{remote, until}
	r.next = (r.next + 1) % maxRefusals
	return false
}

// refuse remembers that runs to remote are refused, and logs it once.
func (p *port) refuse(remote netip.AddrPort) {
	p.count.gsoRefused.Add(1)
	if p.refused.add(remote.Addr(), time.Now()) {
		p.log.Warn("the kernel or a device refuses UDP_SEGMENT to this address: datagrams are sent one by one, which costs throughput", "remote", remote.Addr().String())
	}
}
