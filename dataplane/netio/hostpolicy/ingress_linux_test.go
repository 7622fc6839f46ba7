package hostpolicy

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestIngress: filters of tc are found at their device, and a program that comes behind ours.
func TestIngress(t *testing.T) {
	h := newHost(t)
	if err := h.Do(func() error {
		at, err := Ingresses()
		if err != nil || len(at) != 0 {
			t.Errorf("without filters: %v, %v", at, err)
		}
		clsact := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: 1, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}, QdiscType: "clsact"}
		if err := netlink.QdiscAdd(clsact); err != nil {
			t.Skip("no filters of tc here: ", err)
		}
		if at, err := Ingresses(); err != nil || len(at) != 0 {
			t.Errorf("with a place for filters: %v, %v", at, err)
		}
		p := next(t)
		defer p.Close()
		if err := netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: 1, Parent: netlink.HANDLE_MIN_INGRESS, Protocol: unix.ETH_P_ALL},
			Fd:          p.FD(), Name: "another", DirectAction: true,
		}); err != nil {
			return err
		}
		if at, err := Ingresses(); err != nil || !at[1] {
			t.Errorf("with filters: %v, %v", at, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(func() error {
		ours, id := attach(t, 1)
		defer ours.Close()
		if !IsLast(1, id) {
			t.Error("the only program is not the last one")
		}
		other, _ := attach(t, 1)
		defer other.Close()
		if IsLast(1, id) {
			t.Error("the first of two programs is the last one")
		}
		if !IsLast(9999, id) {
			t.Error("a device that there is not has programs")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// next returns a program that does nothing.
func next(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// attach attaches a program to a device.
func attach(t *testing.T, device int) (link.Link, ebpf.ProgramID) {
	t.Helper()
	p := next(t)
	defer p.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: device, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Skip("no programs at devices here: ", err)
	}
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return l, id
}
