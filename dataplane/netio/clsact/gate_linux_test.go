package clsact

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const lo = 1 // the device of these tests

// within runs f in a network namespace of its own.
func within(t *testing.T, f func()) {
	t.Helper()
	h, err := netlab.Need(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Do(func() error { f(); return nil }); err != nil && !t.Failed() && !t.Skipped() {
		t.Fatal(err)
	}
}

// A counted program counts packets, and leaves them to who comes next.
type counted struct {
	program *ebpf.Program
	count   *ebpf.Map
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	c := &counted{}
	var err error
	if c.count, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		t.Skip("no BPF here: ", err)
	}
	t.Cleanup(func() { c.count.Close() })
	c.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, c.count.FD(), 0),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
		asm.Mov.Imm(asm.R0, Next),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.program.Close() })
	return c
}

// counts reports whether the program sees a packet that passes by lo.
func (c *counted) counts(t *testing.T) bool {
	t.Helper()
	a, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var before, after uint64
	if err := errors.Join(c.count.Lookup(uint32(0), &before), a.SetReadDeadline(time.Now().Add(5*time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, err = a.WriteTo([]byte("a packet"), a.LocalAddr()); err == nil {
		_, _, err = a.ReadFrom(make([]byte, 100))
	}
	if err := errors.Join(err, c.count.Lookup(uint32(0), &after)); err != nil {
		t.Fatal(err)
	}
	return after > before
}

func (c *counted) gate(t *testing.T, owner string) *Gate {
	t.Helper()
	g, err := Open(c.program, owner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func attached(t *testing.T, g *Gate) {
	t.Helper()
	if err := g.Attach(lo); errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip("no clsact here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// at returns what is at lo, and fails if that is not wanted.
func at(t *testing.T, stubs int, others bool) Place {
	t.Helper()
	all, err := Places()
	p := all[lo]
	if err != nil || len(p.stubs) != stubs || p.Others() != others {
		t.Errorf("there are %+v, %v; want %d stubs, others %t", all, err, stubs, others)
	}
	return p
}

// TestGate: the program runs while its gate is open, and ends with it, although the stub stays.
func TestGate(t *testing.T) {
	within(t, func() {
		c := newCounted(t)
		g := c.gate(t, "cv0")
		if c.counts(t) {
			t.Error("it sees a packet before it is attached")
		}
		attached(t, g)
		if !c.counts(t) || !g.Holds(lo) {
			t.Error("it does not see a packet")
		}
		info, err := c.program.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		c.program.Close() // the array still has it
		if !c.counts(t) {
			t.Error("it ends before its gate")
		}
		g.Close()
		for deadline := time.Now().Add(5 * time.Second); ; {
			p, err := ebpf.NewProgramFromID(id)
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			if p.Close(); time.Now().After(deadline) {
				t.Fatal("the program stays: ", err)
			}
		}
		if c.counts(t) {
			t.Error("it sees a packet after its end")
		}
		at(t, 1, false)
		var seen []string
		out, err := Release(func(owner string) bool { seen = append(seen, owner); return owner == "cv0" })
		if err != nil || len(out) != 1 || out[0] != (Stub{"cv0", lo}) || len(seen) != 1 {
			t.Errorf("released %v of %q, %v", out, seen, err)
		}
		if all, err := Places(); len(all) != 0 || err != nil {
			t.Errorf("there stays %+v, %v", all, err)
		}
	})
}

// TestDetach: the stub goes, and the qdisc if it was made for it and nothing else is there.
func TestDetach(t *testing.T) {
	other := func(t *testing.T, parent uint32) *netlink.BpfFilter {
		return &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: lo, Parent: parent, Protocol: unix.ETH_P_IP},
			Fd:          newCounted(t).program.FD(), Name: "another", DirectAction: true,
		}
	}
	for name, tt := range map[string]struct {
		before, while func(t *testing.T) error
		holds, stays  bool
	}{
		"alone":                 {holds: true},
		"in a qdisc of another": {before: func(*testing.T) error { return netlink.QdiscAdd(qdisc(lo)) }, holds: true, stays: true},
		"with another's filter": {while: func(t *testing.T) error { return netlink.FilterAdd(other(t, netlink.HANDLE_MIN_INGRESS)) }, stays: true},
		"with one at egress":    {while: func(t *testing.T) error { return netlink.FilterAdd(other(t, netlink.HANDLE_MIN_EGRESS)) }, holds: true, stays: true},
		"in another's qdisc meanwhile": {while: func(*testing.T) error {
			return errors.Join(netlink.QdiscDel(qdisc(lo)), netlink.QdiscAdd(qdisc(lo)))
		}, stays: true},
		"gone":                  {while: func(*testing.T) error { return netlink.QdiscDel(qdisc(lo)) }},
		"beside another gate's": {while: func(t *testing.T) error { return newCounted(t).gate(t, "cv1").Attach(lo) }, holds: true, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func() {
				c := newCounted(t)
				if tt.before != nil {
					if err := tt.before(t); err != nil {
						t.Skip("no clsact here: ", err)
					}
				}
				g := c.gate(t, "cv0")
				attached(t, g)
				if tt.while != nil {
					if err := tt.while(t); err != nil {
						t.Fatal(err)
					}
				}
				if g.Holds(lo) != tt.holds {
					t.Errorf("it holds: %t", !tt.holds)
				}
				g.Detach(lo)
				g.Detach(lo) // nothing more
				all, err := Places()
				if _, there := all[lo]; there != tt.stays || err != nil {
					t.Errorf("the qdisc stays: %t, %v", there, err)
				}
				for _, s := range all[lo].stubs {
					if s.owner() != "cv1" {
						t.Errorf("the stub stays: %+v", s)
					}
				}
			})
		})
	}
}

// TestOthersComeFirst: a filter that is added later, of whatever priority, sees packets before the
// program, and is left where it is.
func TestOthersComeFirst(t *testing.T) {
	within(t, func() {
		ours := newCounted(t)
		g := ours.gate(t, "cv0")
		attached(t, g)
		pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		defer pass.Close()
		if err := netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: lo, Parent: netlink.HANDLE_MIN_INGRESS, Protocol: unix.ETH_P_ALL},
			Fd:          pass.FD(), Name: "another", DirectAction: true,
		}); err != nil {
			t.Fatal(err)
		}
		if ours.counts(t) {
			t.Error("the program sees what another filter has passed on to the IP stack")
		}
		at(t, 1, true)
		if out, err := Release(func(string) bool { return true }); len(out) != 1 || err != nil {
			t.Errorf("released %v, %v", out, err)
		}
		at(t, 0, true)
	})
}

// TestAttachFails: what cannot be attached leaves nothing.
func TestAttachFails(t *testing.T) {
	within(t, func() {
		c := newCounted(t)
		g := c.gate(t, "cv0")
		if err := g.Attach(9999); !errors.Is(err, unix.ENODEV) || g.Holds(9999) {
			t.Errorf("at a device that there is not: %v", err)
		}
		g.stub.Close()
		if err := g.Attach(lo); err == nil {
			t.Error("a stub without a program is attached")
		}
		if all, err := Places(); len(all) != 0 || err != nil {
			t.Errorf("there stays %+v, %v", all, err)
		}
	})
}
