package netio

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
)

const espCounted = "table inet t { chain a { type filter hook input priority 0; meta l4proto esp counter\n}\n}"

// says waits until the fast path of b is in states that begin with some words.
func (p *pair) says(t *testing.T, in, out string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := p.netB.FastPath()
		if strings.HasPrefix(got.In, in) && strings.HasPrefix(got.Out, out) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the fast path is %+v, want %q and %q", got, in, out)
		}
	}
}

// nft runs nft at b.
func (p *pair) nft(t *testing.T, commands string) {
	t.Helper()
	if err := p.b.NFT(commands); err != nil {
		t.Fatal(err)
	}
}

// TestFirewallSwitches: as rules come and go, packets are taken or not, all of them arrive, and in
// order, while the worker receives and while it does not.
func TestFirewallSwitches(t *testing.T) {
	p := newRingPair(t, 2)
	p.live(t, 1000)
	next := uint32(0)
	for round := range 6 {
		want := "socket: this host's firewall may concern ESP: table t, chain a"
		if round%2 == 0 {
			p.nft(t, espCounted)
		} else {
			want = "on: nn0"
			p.nft(t, "delete table inet t")
		}
		for done := false; !done; {
			done = strings.HasPrefix(p.netB.FastPath().In, want)
			p.numbered(t, 1000, next, next+40)
			p.inOrder(t, next, next+40)
			next += 40
		}
		p.numbered(t, 1000, next, next+100) // and what waits when the next change comes
		if taken := round%2 == 1; taken != (p.netB.ports[0].ring.Load().waits()) {
			t.Errorf("after %d changes: taken %t", round+1, !taken)
		}
		next += 100
		p.inOrderAfter(t, next-100, next, round)
	}
}

// inOrderAfter is inOrder, in each other round after the next change has been seen.
func (p *pair) inOrderAfter(t *testing.T, first, last uint32, round int) {
	t.Helper()
	if round%4 == 1 { // in the ring
		p.nft(t, espCounted)
		p.says(t, "socket: ", "")
		p.numbered(t, 1000, last, last+1)
		p.nft(t, "delete table inet t")
		p.inOrder(t, first, last)
		p.inOrder(t, last, last+1)
		p.says(t, "on: ", "")
		return
	}
	p.inOrder(t, first, last)
}

// TestPolicyOfOneDirection: a rule for sent packets has them sent by the raw socket, and others are
// still taken. Tables of ours do not matter, and a policy of the kernel's IPsec does.
func TestPolicyOfOneDirection(t *testing.T) {
	p := newPair(t, 1)
	needPrograms(t)
	p.netB.Close()
	p.netB = openIn(t, p.b, Config{IKEPort: 500, NATPort: 4500, Workers: 1, Mark: testMark, RawESP: true, FastPath: true, OwnTables: []string{"ours"}})
	p.nft(t, "table inet ours { chain a { type filter hook input priority 0; policy drop; \n}\n}")
	p.live(t, 1000)
	p.nft(t, "delete table inet ours") // only its packets are not dropped
	out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrB[false], 0), at(addrA[false], 0))}
	mustGoDirect(t, p.netB, out)
	p.says(t, "on: nn0", "on: nn0")
	p.nft(t, "table inet t { chain a { type filter hook output priority 0; meta l4proto esp counter\n}\n}")
	p.says(t, "on: nn0", "socket: this host's firewall")
	mustNotGoDirect(t, p.netB, out)
	p.nft(t, "delete table inet t")
	mustGoDirect(t, p.netB, out)
	all, _ := netlink.ParseIPNet("203.0.113.0/24")
	policy := &netlink.XfrmPolicy{Src: all, Dst: all, Dir: netlink.XFRM_DIR_OUT}
	if err := p.b.Do(func() error { return netlink.XfrmPolicyAdd(policy) }); err != nil {
		t.Skip("no IPsec in this kernel: ", err)
	}
	p.says(t, "socket: the kernel has IPsec policies", "socket: the kernel has IPsec policies")
	mustNotGoDirect(t, p.netB, out)
	if err := p.b.Do(func() error { return netlink.XfrmPolicyDel(policy) }); err != nil {
		t.Fatal(err)
	}
	mustGoDirect(t, p.netB, out)
}

// TestFiltersOfDevice: where filters of tc would see a packet after the program, none is taken. An
// empty place for them does not matter.
func TestFiltersOfDevice(t *testing.T) { byEachHook(t, filterDevice) }

func filterDevice(t *testing.T, noTCX bool) {
	p := newRingPairBy(t, 2, noTCX)
	p.live(t, 1000)
	nn0, err := p.b.Netlink().LinkByName("nn0")
	if err != nil {
		t.Fatal(err)
	}
	clsact := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: nn0.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}, QdiscType: "clsact"}
	if err := p.b.Netlink().QdiscReplace(clsact); err != nil {
		t.Skip("no filters of tc here: ", err)
	}
	p.says(t, "on: nn0", "")
	accept, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer accept.Close()
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: nn0.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 7, Protocol: unix.ETH_P_IP},
		Fd:          accept.FD(), Name: "another", DirectAction: true,
	}
	for range 3 {
		if err := p.b.Netlink().FilterAdd(filter); err != nil {
			t.Fatal(err)
		}
		p.says(t, "socket: filters of tc are for what comes to nn0", "")
		p.numbered(t, 1000, 0, 10)
		p.inOrder(t, 0, 10)
		if err := p.b.Netlink().FilterDel(filter); err != nil {
			t.Fatal(err)
		}
		p.says(t, "on: nn0", "")
		before := p.netB.Counters()["net_ring"]
		p.numbered(t, 1000, 0, 10)
		p.inOrder(t, 0, 10)
		if n := p.netB.Counters()["net_ring"] - before; n != 10 {
			t.Errorf("%d packets of 10 came by the ring", n)
		}
	}
}

// When the notices have ended, nothing passes by any more.
func TestNoticesEnd(t *testing.T) {
	n := &inletNotices{links: make(chan struct{}, 1), ended: make(chan error, 3)}
	for range 3 {
		n.note(n.links, nil)
	}
	if len(n.links) != 1 || len(n.ended) != 0 {
		t.Errorf("three changes are noted %d times", len(n.links))
	}
	if n.note(n.links, unix.EBADF); len(n.ended) != 1 {
		t.Error("the end is not noted")
	}
	p := newRingPair(t, 1)
	p.live(t, 1000)
	if err := p.b.Do(func() error {
		p.netB.inlet.refuse(unix.EBADF, unix.EBADF)
		p.netB.inlet.end()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.numbered(t, 1000, 0, 1)
	recv(t, p.netB.Ports()[0], nil)
	if p.netB.Counters()["net_ring"] != 0 {
		t.Error("a packet is taken")
	}
}

// TestEgressSeesAll: a chain at the hook egress of a device sees also what is sent past the IP
// stack, and drops it.
func TestEgressSeesAll(t *testing.T) {
	p := newRingPair(t, 1)
	p.live(t, 1000)
	for _, v6 := range []bool{false, true} {
		out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrB[v6], 0), at(addrA[v6], 0))}
		mustGoDirect(t, p.netB, out)
		empty(p.netA.Ports()[0])
		p.nft(t, "table netdev t { chain a { type filter hook egress device nn0 priority 0; meta l4proto esp drop\n}\n}")
		before := direct(p.netB)
		for range 10 {
			if err := sendOne(p.netB.Ports()[0], &out); !errors.Is(err, errNoBuffers) {
				t.Errorf("v6=%t: sent: %v", v6, err)
			}
		}
		if n := direct(p.netB) - before; n > 1 { // one a second goes through the IP stack
			t.Errorf("v6=%t: %d have left", v6, n)
		}
		mustBeDry(t, p.netA.Ports()[0], nil)
		p.nft(t, "delete table netdev t")
	}
	p.says(t, "on: nn0", "on: nn0")
}
