//go:build linux

// Package e2e holds no code: its tests run the real binary in network namespaces, against itself and against strongSwan.
//
//	lan 10.1.0.1/24  fd01::1/64 [left] wan 192.0.2.1 2001:db8::1 ------ wan 192.0.2.2 2001:db8::2 [right] lan 10.2.0.1/24 fd02::1/64
//
// or, behind a NAT:
//
//	[left] wan 10.98.0.2 fd98::2 ---- in [nat] out 192.0.2.1 2001:db8::1 ---- wan 192.0.2.2 2001:db8::2 [right]
package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"culvert/internal/netlab"
)

// binary is the culvert under test: $CULVERT_BIN, or built here.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	binary = os.Getenv("CULVERT_BIN")
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "culvert-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "culvert")
	build := exec.Command("go", "build", "-o", binary, "culvert/cmd/culvert")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building culvert: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// skip skips the test for what the machine lacks; under CI that is a failure.
func skip(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Addresses of the two sites.
var (
	leftLAN4, rightLAN4 = addr("10.1.0.1"), addr("10.2.0.1")
	leftLAN6, rightLAN6 = addr("fd01::1"), addr("fd02::1")
)

// network is one of the topologies above.
type network struct {
	lab              *netlab.Lab
	left, right, nat *netlab.Host
	wire             *netlab.Wire
	leaks, esp       *atomic.Uint64 // frames seen on right's wan: with inner addresses in the clear, of protocol 50
	unguarded        atomic.Bool    // both ways are in the clear on purpose: a daemon has been ended
}

type topology struct {
	nat  bool
	wire bool // the link goes through a netlab.Wire, to be impaired
	mtu  int  // default 1500
}

func build(t *testing.T, top topology) *network {
	t.Helper()
	skip(t, netlab.Available())
	lab, err := netlab.New()
	ok(t, err)
	t.Cleanup(lab.Close)
	n := &network{lab: lab, leaks: new(atomic.Uint64), esp: new(atomic.Uint64)}
	n.left, err = lab.Host("left")
	ok(t, err)
	n.right, err = lab.Host("right")
	ok(t, err)
	if top.mtu == 0 {
		top.mtu = 1500
	}
	rightWAN := netlab.Iface{Host: n.right, Name: "wan", Addrs: []string{"192.0.2.2/24", "2001:db8::2/64"}}
	leftWAN := netlab.Iface{Host: n.left, Name: "wan", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}}
	switch {
	case top.nat:
		n.buildNAT(t, rightWAN, top.mtu)
	case top.wire:
		n.wire, err = lab.Wire(leftWAN, rightWAN, top.mtu, 1)
		ok(t, err)
	default:
		ok(t, lab.Link(leftWAN, rightWAN, top.mtu))
	}
	if !top.nat {
		ok(t, n.left.Route("default", "192.0.2.2", 0), n.left.Route("default", "2001:db8::2", 0),
			n.right.Route("default", "192.0.2.1", 0), n.right.Route("default", "2001:db8::1", 0))
	}
	ok(t, n.left.LAN("lan", leftLAN4.String()+"/24", leftLAN6.String()+"/64"), n.right.LAN("lan", rightLAN4.String()+"/24", rightLAN6.String()+"/64"))
	n.guard(t)
	return n
}

func (n *network) buildNAT(t *testing.T, rightWAN netlab.Iface, mtu int) {
	t.Helper()
	_, err := exec.LookPath("nft")
	skip(t, err)
	n.nat, err = n.lab.Host("nat")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: n.left, Name: "wan", Addrs: []string{"10.98.0.2/24", "fd98::2/64"}},
		netlab.Iface{Host: n.nat, Name: "in", Addrs: []string{"10.98.0.1/24", "fd98::1/64"}}, mtu),
		n.lab.Link(netlab.Iface{Host: n.nat, Name: "out", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}}, rightWAN, mtu),
		n.left.Route("default", "10.98.0.1", 0), n.left.Route("default", "fd98::1", 0),
		n.right.Route("default", "192.0.2.1", 0), n.right.Route("default", "2001:db8::1", 0),
		n.nat.Masquerade("out"))
}

// guard fails the test if a packet between the inner networks is ever seen outside in the clear: the sites have routes to each other,
// so a tunnel that is not there would otherwise go unnoticed.
func (n *network) guard(t *testing.T) {
	t.Helper()
	inner := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd01::/16"), netip.MustParsePrefix("fd02::/16")}
	var first sync.Once
	var what string
	_, err := n.right.Sniff("wan", func(frame []byte) {
		src, dst, proto, ip := netlab.Addresses(frame)
		if !ip {
			return
		}
		if proto == 50 {
			n.esp.Add(1)
		}
		for _, p := range inner {
			if !n.unguarded.Load() && (p.Contains(src) || p.Contains(dst)) {
				n.leaks.Add(1)
				first.Do(func() { what = fmt.Sprintf("%s -> %s protocol %d", src, dst, proto) })
			}
		}
	})
	ok(t, err)
	t.Cleanup(func() {
		if c := n.leaks.Load(); c > 0 {
			t.Errorf("%d packets of the inner networks were seen outside in the clear, the first %s", c, what)
		}
	})
}

// indent sets every line of a log off, for failure texts.
func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}
