package netio

import (
	"net/netip"
	"time"
)

const (
	// maxRefusals bounds the remotes that are remembered; one more takes the place of the oldest.
	maxRefusals = 16
	// refusalLasts is for how long a remote's datagrams are sent one by one, until the kernel is asked again: routes and devices change.
	refusalLasts = time.Minute
)

// refusals are the remotes to which the kernel would not send runs (UDP_SEGMENT): the device on the way there, not the socket, is what refuses, and another peer's
// device may be a better one. The zero value is empty.
type refusals struct {
	list [maxRefusals]refusal
	n    int // in use; they stay in use when they are over, so that the same is not said again
	next int // the oldest
}

type refusal struct {
	remote netip.Addr
	until  time.Time
}

// has says whether runs to remote are refused at present. Where nobody ever refused, it costs nothing.
func (r *refusals) has(remote netip.Addr) bool {
	for i := range r.list[:r.n] {
		if r.list[i].remote == remote {
			return time.Now().Before(r.list[i].until)
		}
	}
	return false
}

// add remembers that runs to remote are refused. It says whether that is news, and there are few enough of them to be told.
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

// refuse remembers that runs to remote are refused, and says so once.
func (p *port) refuse(remote netip.AddrPort) {
	p.count.gsoRefused.Add(1)
	if p.refused.add(remote.Addr(), time.Now()) {
		p.log.Warn("UDP_SEGMENT is refused on the way to this address: its datagrams are sent one by one, which costs throughput", "remote", remote.Addr().String())
	}
}
