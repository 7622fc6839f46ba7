package hostpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrFirewall is a packet filter of this host that may concern ESP.
var ErrFirewall = errors.New("this host's firewall may concern ESP")

// attempts is how often a ruleset is read that changes meanwhile.
const attempts = 3

// A Verdict is why packets of IP protocol 50 that come, or leave, must go through the IP stack,
// or nil. All functions look at the network namespace of the calling thread.
type Verdict struct{ In, Out error }

// Or returns v, with the reasons of o where v has none.
func (v Verdict) Or(o Verdict) Verdict { return Verdict{cmp.Or(v.In, o.In), cmp.Or(v.Out, o.Out)} }

// Others finds out what packets would miss beside nftables, which is quickly done: the kernel has
// no notices of most of it.
func Others() (v Verdict) {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	v.In, v.Out = cgroupPrograms(cgroupRoots, groups)
	for _, look := range []func() error{kernelIPsec, func() error { return oldTables("/proc/thread-self/net") }} {
		if err := look(); err != nil {
			v = Verdict{err, err}
		}
	}
	return v
}

// Firewall finds out which rules of nftables packets would miss. The inet tables with names in own
// are known to accept them.
func Firewall(own []string) (v Verdict) {
	names := make(map[string]bool)
	for _, name := range own {
		names[name] = true
	}
	for range attempts {
		r, err := readRuleset(names)
		if err == nil {
			v, err = r.judge()
		}
		if err == nil {
			return v
		}
		err = fmt.Errorf("%w: nftables: %w", ErrFirewall, err)
		v = Verdict{err, err}
		if !errors.Is(err, nl.ErrDumpInterrupted) && !errors.Is(err, errGone) {
			break
		}
	}
	return v
}

// judge walks all base chains that packets of this host come by. An error is that the ruleset could
// not be read.
func (r *ruleset) judge() (v Verdict, err error) {
	slices.SortFunc(r.bases, func(a, b *chain) int {
		return cmp.Or(cmp.Compare(a.table.family, b.table.family), cmp.Compare(a.table.name, b.table.name), cmp.Compare(a.name, b.name))
	})
	for _, v6 := range []bool{false, true} {
		w := &walk{rules: r, v6: v6, ends: make(map[*chain]bool)}
		for _, c := range r.bases {
			in, out := c.sees(v6)
			if !in && !out {
				continue
			}
			err := w.base(c)
			switch {
			case errors.Is(err, errGone), errors.Is(err, nl.ErrDumpInterrupted):
				return v, err
			case err == nil:
				continue
			}
			err = fmt.Errorf("%w: %w", ErrFirewall, err)
			if in {
				v.In = cmp.Or(v.In, err)
			} else {
				v.Out = cmp.Or(v.Out, err)
			}
		}
	}
	// Who takes connections into account must see both directions, or none.
	if v.In == nil && v.Out != nil && r.tracks() {
		v.In = v.Out
	}
	return v, nil
}

// sees reports whether a base chain sees packets that come to this host, or leave it, which would
// pass by it past the IP stack. What is sent by packet sockets comes by netdev's hook egress, and
// nothing of it by the hooks of bridges that are not seen as Ethernet devices.
func (c *chain) sees(v6 bool) (in, out bool) {
	switch c.table.family {
	case unix.NFPROTO_NETDEV:
		return c.hook == unix.NF_NETDEV_INGRESS, false
	case unix.NFPROTO_INET:
		const ingress = 5 // NF_INET_INGRESS
		if c.hook == ingress {
			return true, false
		}
	case unix.NFPROTO_IPV4:
		if v6 {
			return false, false
		}
	case unix.NFPROTO_IPV6:
		if !v6 {
			return false, false
		}
	default:
		return false, false
	}
	in = c.hook == unix.NF_INET_PRE_ROUTING || c.hook == unix.NF_INET_LOCAL_IN
	return in, c.hook == unix.NF_INET_LOCAL_OUT || c.hook == unix.NF_INET_POST_ROUTING
}

// stateless are expressions that know nothing of connections.
var stateless = []string{"meta", "payload", "exthdr", "fib", "rt", "socket", "byteorder", "bitwise", "immediate", "cmp", "range", "lookup", "counter", "log", "limit", "quota", "reject", "last", "notrack", "dynset"}

// tracks reports whether any rule may take connections into account.
func (r *ruleset) tracks() bool {
	for _, c := range r.chains {
		for _, exprs := range c.rules {
			for _, e := range attributes(exprs) {
				for kind, v := range attributes(e) {
					if kind == unix.NFTA_EXPR_NAME && !slices.Contains(stateless, text(v)) {
						return true
					}
				}
			}
		}
	}
	return false
}
