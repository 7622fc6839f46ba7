//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// outerDevice is how the hosts of a network are joined: devices "wan" of a kind over plain links.
type outerDevice struct {
	kind     string
	in, sent string // what status says in the end
	// stir changes something under way; afterwards nothing more is lost.
	stir func(t *testing.T, n *network)
}

var outerDevices = []outerDevice{
	{kind: "vlan", in: "on: lan,wan by ", sent: "on: wan"},
	{kind: "bond", in: "on: lan,wan by ", sent: "on: wan", stir: func(t *testing.T, n *network) {
		// Both ends lose the carrier of the link in use.
		ok(t, n.right.SetLink("under0", false))
	}},
	{kind: "vrf", in: "on: lan by ", sent: "socket: to 192.0.2."},
	{kind: "ppp", in: "on: lan by ", sent: "socket: to 192.0.2."},
}

// TestFastPathByDevices: over a VLAN and over a bond, also when it changes to its other link, ESP
// is sent and received past the IP stack; in a VRF and over PPP it goes by the raw socket, and
// status says why. Nothing is lost once the way is settled.
func TestFastPathByDevices(t *testing.T) {
	for _, d := range outerDevices {
		t.Run(d.kind, func(t *testing.T) {
			n := buildOver(t, d.kind)
			left, right := fastPair(t, n, "192.0.2.2")
			n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
			if s := right.settledFastPath(); strings.HasPrefix(s.FastPath, noPrograms) {
				d = outerDevice{kind: d.kind, in: noPrograms, sent: noPrograms, stir: d.stir}
			}
			for _, g := range []*gateway{left, right} {
				g.waitFastPath(d.in, d.sent)
			}
			if d.stir != nil {
				s, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 500, 200)
				ok(t, err)
				wantFlow(t, "before the change", s)
				d.stir(t, n)
				n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
				wantFlow(t, "after the change", s)
				s.Stop(time.Second)
				for _, g := range []*gateway{left, right} {
					g.waitFastPath(d.in, d.sent)
				}
			}
			before := left.status().Counters
			n.quiet(t)(nil)
			after := left.status()
			fast := strings.HasPrefix(d.sent, "on: ")
			for _, name := range []string{"net_ring", "net_direct"} {
				if now := after.Counters[name]; (now > before[name]+quietCount/2) != fast {
					t.Errorf("%s was %d, and is %d", name, before[name], now)
				}
			}
			t.Logf("received %q, sent %q", after.FastPath, after.FastSent)
			if !fast && !strings.Contains(after.FastPath, "; socket: ") && !strings.HasPrefix(after.FastPath, noPrograms) {
				t.Errorf("status does not say why at the device nothing is taken: %q", after.FastPath)
			}
		})
	}
}

// quietCount is the number of datagrams that quiet sends at least, each way.
const quietCount = 200

// quiet starts datagrams at a rate that also an emulated processor carries, both ways, and returns
// a function that runs f meanwhile, and fails if one is lost.
func (n *network) quiet(t *testing.T) func(f func()) {
	t.Helper()
	out, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 100, 200)
	ok(t, err)
	back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 100, 200)
	ok(t, err)
	return func(f func()) {
		t.Helper()
		if f != nil {
			f()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for name, s := range map[string]*netlab.Stream{"left to right": out, "right to left": back} {
			ok(t, netlab.Until(ctx, "datagrams", func() bool { return s.Sent.Load() >= quietCount }))
			if lost := s.Stop(3 * time.Second); lost != 0 || s.Doubled.Load() != 0 {
				t.Errorf("%s: %d of %d datagrams lost, %d doubled", name, lost, s.Sent.Load(), s.Doubled.Load())
			}
		}
	}
}

// TestFastPathWithoutCapability: without the capabilities for BPF everything goes by the raw
// socket, and status says so.
func TestFastPathWithoutCapability(t *testing.T) {
	const drop = "-bpf,-sys_admin"
	_, err := exec.LookPath("setpriv")
	netlab.Require(t, err)
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	left.within = []string{"setpriv", "--bounding-set", drop, "--inh-caps", drop}
	right.start(peerText("left", identities("right", "left")+protocol50, rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+protocol50, leftChildren(boot)...))
	left.waitUp("right")
	n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
	left.waitFastPath("socket: programs at devices need CAP_BPF", "socket: programs at devices need CAP_BPF")
	if s := right.settledFastPath(); !strings.HasPrefix(s.FastPath, noPrograms) {
		right.waitFastPath("on: lan,wan by ", "on: wan")
	}
	n.quiet(t)(nil)
	if c := left.status().Counters; c["net_ring"] != 0 || c["net_direct"] != 0 {
		t.Errorf("%d packets came past the IP stack, and %d went", c["net_ring"], c["net_direct"])
	}
}

// TestFastPathByRoutes: packets to a peer behind two links follow its route from the one to the
// other, and nothing is lost. Where the route has both links they go by the raw socket.
func TestFastPathByRoutes(t *testing.T) {
	n := build(t, topology{})
	ok(t, n.lab.Link(netlab.Iface{Host: n.left, Name: "wan1", Addrs: []string{"198.51.100.1/24"}},
		netlab.Iface{Host: n.right, Name: "wan1", Addrs: []string{"198.51.100.2/24"}}, 1500),
		n.right.LAN("far", "203.0.113.1/24"))
	for _, dev := range []string{"all", "wan", "wan1"} {
		ok(t, n.left.Sysctl("ipv4/conf/"+dev+"/rp_filter", "0"), n.right.Sysctl("ipv4/conf/"+dev+"/rp_filter", "0"))
	}
	by := map[string]string{"wan": "192.0.2.2", "wan1": "198.51.100.2"}
	ok(t, n.left.Route("203.0.113.0/24", by["wan"], 0))
	left, right := fastPair(t, n, "203.0.113.1\"\nlocal = \"192.0.2.1")
	left.needPrograms()
	n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
	left.waitFastPath("on: lan,wan,wan1 by ", "on: wan")
	n.quiet(t)(func() {
		for range 3 {
			for _, dev := range []string{"wan1", "wan"} {
				ok(t, n.left.Route("203.0.113.0/24", by[dev], 0))
				left.waitSentBy(dev)
			}
		}
	})
	_, dst, _ := net.ParseCIDR("203.0.113.0/24")
	hop := func(dev string) *netlink.NexthopInfo { return &netlink.NexthopInfo{Gw: net.ParseIP(by[dev])} }
	n.quiet(t)(func() {
		ok(t, n.left.Netlink().RouteReplace(&netlink.Route{Dst: dst, MultiPath: []*netlink.NexthopInfo{hop("wan"), hop("wan1")}}))
		left.waitFastPath("on: lan,wan,wan1 by ", "socket: to 203.0.113.1: its route has several next hops")
	})
	right.waitFastPath("on: far,lan,wan,wan1 by ", "on: wan")
}

// TestFastPathKilled: what a killed daemon leaves at a device does nothing, and goes by `culvert
// release` or with the next daemon; an ordered end leaves nothing. With tcx there is never any.
func TestFastPathKilled(t *testing.T) {
	n := build(t, topology{})
	_, right := fastPair(t, n, "192.0.2.2")
	right.needPrograms()
	n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
	right.waitFastPath("on: lan,wan by ", "on: wan")
	stubs := 0
	if strings.HasSuffix(right.status().FastPath, "by clsact") {
		stubs = 2 // at lan and wan
	}
	for _, release := range []bool{false, true} {
		right.proc.Kill()
		<-right.proc.Done()
		right.wantPlaces(stubs)
		if release {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			out, err := n.right.Run(ctx, nil, binary, "release")
			if ok(t, err); strings.Count(out, "the filter of culvert0 at ") != stubs {
				t.Errorf("release says %q", out)
			}
			right.wantPlaces(0)
		}
		right.run()
		n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4) // its packets tell left of the restart (RFC 6290)
		right.waitFastPath("on: lan,wan by ", "on: wan")
		right.wantPlaces(stubs)
	}
	right.stop()
	right.wantPlaces(0)
}

// waitSentBy waits until packets are sent past the IP stack by one device.
func (g *gateway) waitSentBy(dev string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Second)
	defer cancel()
	ok(g.t, netlab.Until(ctx, "packets by "+dev, func() bool { return g.status().FastSent == "on: "+dev }))
}

// buildOver builds the network without NAT over devices of a kind, or skips the test where the
// kernel has none.
func buildOver(t *testing.T, kind string) *network {
	t.Helper()
	lab := netlab.Need(t)
	n := &network{lab: lab, leaks: &leakCounter{flows: inner}}
	for _, h := range []struct {
		name string
		to   **netlab.Host
	}{{"left", &n.left}, {"right", &n.right}} {
		var err error
		*h.to, err = lab.Host(h.name)
		ok(t, err)
	}
	for i := range 2 {
		under := fmt.Sprintf("under%d", i)
		ok(t, lab.Link(netlab.Iface{Host: n.left, Name: under}, netlab.Iface{Host: n.right, Name: under}, 1500))
	}
	if kind == "ppp" {
		dial(t, n)
	} else {
		for i, h := range []*netlab.Host{n.left, n.right} {
			if err := stack(h, kind, i+1); err != nil {
				t.Skipf("this kernel has no device of the kind %s: %v", kind, err)
			}
		}
	}
	n.buildLANs(t, false)
	for i, h := range []*netlab.Host{n.left, n.right} {
		wan, err := h.Netlink().LinkByName("wan")
		ok(t, err)
		_, all, _ := net.ParseCIDR("0.0.0.0/0")
		peer := netlink.NewIPNet(net.IPv4(192, 0, 2, byte(2-i)))
		scope := netlink.Scope(unix.RT_SCOPE_LINK)
		ok(t, h.Netlink().RouteReplace(&netlink.Route{Dst: peer, LinkIndex: wan.Attrs().Index, Scope: scope}),
			h.Netlink().RouteReplace(&netlink.Route{Dst: all, LinkIndex: wan.Attrs().Index, Gw: peer.IP, Flags: int(netlink.FLAG_ONLINK)}))
	}
	n.leaks.watch(t, n.right, "wan")
	t.Cleanup(func() { n.leaks.wantNone(t, "at the end") })
	return n
}

// stack makes the device "wan" of a kind over "under0" and "under1", with the address
// 192.0.2.NUMBER.
func stack(h *netlab.Host, kind string, number int) error {
	nl := h.Netlink()
	under0, err0 := nl.LinkByName("under0")
	under1, err1 := nl.LinkByName("under1")
	if err := errors.Join(err0, err1); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wan"
	var wan netlink.Link
	var err error
	switch kind {
	case "vlan":
		attrs.ParentIndex = under0.Attrs().Index
		wan = &netlink.Vlan{LinkAttrs: attrs, VlanId: 7}
		err = nl.LinkAdd(wan)
	case "bond":
		bond := netlink.NewLinkBond(attrs)
		bond.Mode, bond.Miimon = netlink.BOND_MODE_ACTIVE_BACKUP, 20
		wan = bond
		err = nl.LinkAdd(wan)
		for _, l := range []netlink.Link{under0, under1} {
			if err == nil {
				err = errors.Join(nl.LinkSetDown(l), nl.LinkSetMaster(l, wan), nl.LinkSetUp(l))
			}
		}
	case "vrf":
		attrs.Name = "blue"
		blue := &netlink.Vrf{LinkAttrs: attrs, Table: 10}
		if err = nl.LinkAdd(blue); err == nil {
			err = errors.Join(nl.LinkSetUp(blue), nl.LinkSetDown(under0), nl.LinkSetName(under0, "wan"), nl.LinkSetMaster(under0, blue))
		}
		for _, s := range []string{"udp", "raw"} { // sockets outside of the VRF receive what comes in it
			err = errors.Join(err, h.Sysctl("ipv4/"+s+"_l3mdev_accept", "1"))
		}
		wan = under0
	}
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(fmt.Sprintf("192.0.2.%d/24", number))
	return errors.Join(err, nl.AddrAdd(wan, addr), nl.LinkSetUp(wan))
}

// dial joins the hosts by PPP over a pair of terminals.
func dial(t *testing.T, n *network) {
	t.Helper()
	if _, err := exec.LookPath("pppd"); err != nil {
		t.Skip("no pppd here: ", err)
	}
	if f, err := os.OpenFile("/dev/ppp", os.O_RDWR, 0); err != nil {
		t.Skip("this kernel has no PPP: ", err)
	} else {
		f.Close()
	}
	var masters [2]*os.File
	for i, h := range []*netlab.Host{n.left, n.right} {
		master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
		ok(t, err)
		t.Cleanup(func() { master.Close() })
		number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
		ok(t, err, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
		masters[i] = master
		_, err = h.Start(nil, os.Stderr, "pppd", fmt.Sprintf("/dev/pts/%d", number), "115200", "nodetach", "local", "noauth", "noipdefault", "nodefaultroute",
			"ifname", "wan", "noaccomp", "nocrtscts", "noproxyarp", "nobsdcomp", "nodeflate", "novj", "asyncmap", "0", fmt.Sprintf("192.0.2.%d:192.0.2.%d", 1+i, 2-i))
		ok(t, err)
	}
	for i := range masters {
		go func() { _, _ = masters[i].WriteTo(masters[1-i]) }()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, h := range []*netlab.Host{n.left, n.right} {
		ok(t, netlab.Until(ctx, "PPP at "+h.Name, func() bool {
			l, err := h.Netlink().LinkByName("wan")
			return err == nil && l.Attrs().Flags&net.FlagUp != 0
		}))
	}
}
