package netio

import (
	"cmp"
	"errors"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"culvert/dataplane/netio/hostpolicy"
)

const (
	// checkLeast is the least time between two looks at the rules of the firewall, and checkShare
	// how many times as long as such a look it is at least.
	checkLeast, checkShare = 100 * time.Millisecond, 10
	// checkSoon is the time from a change to a look: more of it is to come.
	checkSoon = 10 * time.Millisecond
	// pollEvery is the time between two looks at what has no notices.
	pollEvery = 5 * time.Second
)

// An inletPolicy is what is known of this host's policy.
type inletPolicy struct {
	rules  hostpolicy.Verdict // of nftables
	next   time.Time          // the rules are not looked at before
	broken error              // what does not become better: no programs here, no notices
}

// check looks at the host's policy, with rules also at those of the firewall, and has packets taken
// or not.
func (i *inlet) check(rules bool) {
	p := &i.policy
	if rules {
		begun := time.Now()
		p.rules = hostpolicy.Firewall(i.own)
		now := time.Now()
		p.next = now.Add(max(checkLeast, checkShare*now.Sub(begun)))
	}
	v := hostpolicy.Verdict{In: p.broken, Out: p.broken}.Or(p.rules).Or(hostpolicy.Others())
	if v.In == nil && i.maps == nil {
		p.broken = i.make()
		v.In = p.broken
	}
	if v.In != nil {
		v.Out = cmp.Or(v.Out, v.In)
		i.end()
	}
	i.refuse(v.In, v.Out)
	switch {
	case v.In != nil:
	case !i.takes():
		_ = i.follow() // a device that is gone again
		i.begin()
	case !i.at.intact():
		_ = i.follow()
	}
}

// make makes the maps and the program, and attaches it.
func (i *inlet) make() (err error) {
	if i.maps, err = newInletMaps(i.bells, i.owner, i.noTCX); err != nil {
		i.maps = nil
		return err
	}
	err = i.follow()
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// refuse sets and tells why packets are not received, or sent, past the IP stack.
func (i *inlet) refuse(in, out error) {
	i.mu.Lock()
	before := i.out
	i.in, i.out, i.begun = in, out, true
	i.mu.Unlock()
	if (before == nil) != (out == nil) {
		i.net.hops.dropAll()
	}
	i.tell()
}
