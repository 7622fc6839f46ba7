//go:build linux

// Package e2e has no code: its tests run the real binary in network namespaces, against itself and
// against strongSwan.
//
//	lan 10.1.0.1/24 fd01::1/64 [left] wan 192.0.2.1 2001:db8::1
//	                                         |
//	lan 10.2.0.1/24 fd02::1/64 [right] wan 192.0.2.2 2001:db8::2
//
// or, behind a NAT:
//
//	[left] wan 10.98.0.2 fd98::2 -- in [nat] out 192.0.2.1 2001:db8::1
//	                                              |
//	                                [right] wan 192.0.2.2 2001:db8::2
package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"culvert/internal/netlab"
)

// binary is the culvert under test: $CULVERT_BIN, or built here.
var binary string

// side is how many tests run side by side: more than there are processors, since those that may
// (t.Parallel) mostly wait for timers.
const side = 4

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(max(side, runtime.NumCPU()))) // -parallel wins
	os.Exit(run(m))
}

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
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "culvert/cmd/culvert")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building culvert: %v\n%s", err, out)
		return 1
	}
	return m.Run()
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
	behind4, behind6    = addr("10.1.0.9"), addr("fd01::9")
)

// An outer is the pair of addresses between which a test has its IKE and ESP.
type outer struct{ name, left, right string }

var (
	outer4 = outer{"IPv4", "192.0.2.1", "192.0.2.2"}
	outer6 = outer{"IPv6", "2001:db8::1", "2001:db8::2"}
)

// network is one of the topologies above.
type network struct {
	lab              *netlab.Lab
	left, right, nat *netlab.Host
	client           *netlab.Host // 10.1.0.9, fd01::9 behind left
	wire             *netlab.Wire
	leaks            *leakCounter
}

type topology struct {
	nat  bool
	wire bool // the link is a netlab.Wire, which can impair it
	mtu  int  // default 1500
	// client puts a host behind left, on its LAN.
	client bool
	// watchLeft has leaks counted at left's device, for a right whose kernel shows what it decrypts
	// at the device that it came by.
	watchLeft bool
	// flows are those that must not be seen outside; by default all with an inner address.
	flows []flow
}

func build(t *testing.T, top topology) *network {
	t.Helper()
	lab := netlab.Need(t)
	n := &network{lab: lab, leaks: &leakCounter{flows: top.flows}}
	if top.flows == nil {
		n.leaks.flows = inner
	}
	var err error
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
	n.buildLANs(t, top.client)
	if top.watchLeft {
		n.leaks.watch(t, n.left, "wan")
	} else {
		n.leaks.watch(t, n.right, "wan")
	}
	if top.nat {
		n.leaks.watch(t, n.nat, "in")
	}
	t.Cleanup(func() { n.leaks.wantNone(t, "at the end") })
	return n
}

func (n *network) buildLANs(t *testing.T, client bool) {
	t.Helper()
	left := []string{leftLAN4.String() + "/24", leftLAN6.String() + "/64"}
	ok(t, n.right.LAN("lan", rightLAN4.String()+"/24", rightLAN6.String()+"/64"))
	if !client {
		ok(t, n.left.LAN("lan", left...))
		return
	}
	var err error
	n.client, err = n.lab.Host("client")
	ok(t, err, n.lab.Link(netlab.Iface{Host: n.left, Name: "lan", Addrs: left},
		netlab.Iface{Host: n.client, Name: "lan", Addrs: []string{behind4.String() + "/24", behind6.String() + "/64"}}, 1500),
		n.client.Route("default", leftLAN4.String(), 0), n.client.Route("default", leftLAN6.String(), 0))
}

func (n *network) buildNAT(t *testing.T, rightWAN netlab.Iface, mtu int) {
	t.Helper()
	_, err := exec.LookPath("nft")
	netlab.Require(t, err)
	n.nat, err = n.lab.Host("nat")
	ok(t, err)
	ok(t, n.lab.Link(netlab.Iface{Host: n.left, Name: "wan", Addrs: []string{"10.98.0.2/24", "fd98::2/64"}},
		netlab.Iface{Host: n.nat, Name: "in", Addrs: []string{"10.98.0.1/24", "fd98::1/64"}}, mtu),
		n.lab.Link(netlab.Iface{Host: n.nat, Name: "out", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}}, rightWAN, mtu),
		n.left.Route("default", "10.98.0.1", 0), n.left.Route("default", "fd98::1", 0),
		n.right.Route("default", "192.0.2.1", 0), n.right.Route("default", "2001:db8::1", 0),
		n.nat.Masquerade("out"))
}

// indent indents every line of a log, for failure texts.
func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}
