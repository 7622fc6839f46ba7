package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"

	"culvert/internal/netlab"
)

// build makes the hosts and links of a layout.
func (j *joined) build(l Layout) (err error) {
	j.Peers = l.peers()
	if j.Left, err = j.lab.Host("left"); err != nil {
		return err
	}
	if j.Right, err = j.lab.Host("right"); err != nil {
		return err
	}
	j.near, j.far = j.Left, j.Right
	if j.Dir, err = os.MkdirTemp("", "culvert-bench-"); err != nil {
		return err
	}
	err = j.link(l, netlab.Iface{Host: j.Left, Name: "wan", Addrs: []string{"192.0.2.1/24"}}, netlab.Iface{Host: j.Right, Name: "wan", Addrs: []string{"192.0.2.2/24"}})
	if err == nil && l.Forwarded {
		err = j.hostsBehind(l)
	}
	if err != nil {
		return err
	}
	length := "/24"
	if j.Peers > 1 { // otherwise the route to the attached network precedes that of Own
		length = "/32"
	}
	err = errors.Join(j.near.LAN("lan", leftLAN.String()+"/24"), j.far.LAN("lan", rightLAN.String()+length))
	if j.Peers > 1 {
		err = errors.Join(err, j.far.Own(rightNet))
	}
	if l.Firewall {
		err = errors.Join(err, filter(j.Left), filter(j.Right))
	}
	return err
}

func (j *joined) link(l Layout, a, b netlab.Iface) error {
	if err := j.lab.Link(a, b, 1500); err != nil || l.Link == LinkVeth {
		return err
	}
	return netlab.LikeNICs(a, b)
}

// hostsBehind adds a host behind each gateway, which has the gateway's network and sends or
// receives the traffic. The links to them are of the kind that the link between the gateways is.
func (j *joined) hostsBehind(l Layout) (err error) {
	for _, side := range []struct {
		host         **netlab.Host
		name         string
		gateway      *netlab.Host
		own, other   string
		inside       string // the gateway's address in its own network, which strongSwan asks for
		inner, outer netip.Addr
	}{
		{&j.near, "near", j.Left, leftNet, rightNet, "10.1.255.254/32", netip.MustParseAddr("172.31.1.1"), netip.MustParseAddr("172.31.1.2")},
		{&j.far, "far", j.Right, rightNet, leftNet, "10.2.255.254/32", netip.MustParseAddr("172.31.2.1"), netip.MustParseAddr("172.31.2.2")},
	} {
		if *side.host, err = j.lab.Host(side.name); err != nil {
			return err
		}
		err := j.link(l, netlab.Iface{Host: *side.host, Name: "out", Addrs: []string{side.inner.String() + "/24"}},
			netlab.Iface{Host: side.gateway, Name: "in", Addrs: []string{side.outer.String() + "/24", side.inside}})
		if err == nil {
			err = errors.Join((*side.host).Route(side.other, side.outer.String(), 0), side.gateway.Route(side.own, side.inner.String(), 0))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// filter gives a gateway a stateful packet filter, as many hosts have one: what belongs to a known
// flow, the VPNs' own packets, and whatever has inner addresses.
func filter(h *netlab.Host) error {
	if _, err := exec.LookPath("nft"); err != nil {
		return fmt.Errorf("-firewall: %w: install nftables", err)
	}
	commands := []string{"add table inet bench"}
	for _, hook := range []string{"input", "forward", "output"} {
		chain := "inet bench " + hook
		commands = append(commands,
			"add chain "+chain+" { type filter hook "+hook+" priority 0; policy drop; }",
			"add rule "+chain+" ct state established,related accept",
			"add rule "+chain+" ct state invalid drop",
			"add rule "+chain+" udp dport { 500, 4500, 51820, 1194 } accept",
			"add rule "+chain+" meta l4proto { esp, icmp, icmpv6 } accept",
			"add rule "+chain+" ip saddr 10.0.0.0/8 accept",
			"add rule "+chain+" oifname lo accept")
	}
	return h.NFT(commands...)
}
