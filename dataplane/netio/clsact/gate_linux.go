package clsact

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names of stubs: the prefix, the owner, and what they were made for.
const (
	prefix    = "culvert:"
	withQdisc = ":qdisc" // the qdisc was made for it
)

// Verdicts of a program (linux/pkt_cls.h).
const (
	Next  = -1 // the next filter's, or the IP stack's
	Taken = 4  // TC_ACT_STOLEN: consumed, and not counted as dropped
)

// last is the priority behind that of all others.
const last = 0xffff

// A Gate is a program that runs while this process does. One goroutine, on a thread in one network
// namespace, uses it.
type Gate struct {
	owner string
	array *ebpf.Map
	stub  *ebpf.Program
	id    uint32 // the stub's
}

// Open makes the gate to a program, without stubs. The owner is a name that no other process in the
// network namespace has, such as its device's.
func Open(program *ebpf.Program, owner string) (_ *Gate, err error) {
	g := &Gate{owner: owner}
	defer func() {
		if err != nil {
			g.Close()
		}
	}()
	g.array, err = ebpf.NewMap(&ebpf.MapSpec{Name: "culvert_gate", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, err
	}
	if err = g.array.Put(uint32(0), program); err != nil {
		return nil, fmt.Errorf("an array of programs: %w", err)
	}
	g.stub, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "culvert_stub", Type: ebpf.SchedCLS, Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R2, g.array.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(), // returns only if there is none
		asm.Mov.Imm(asm.R0, Next),
		asm.Return(),
	}})
	if err != nil {
		return nil, err
	}
	info, err := g.stub.Info()
	if err == nil {
		id, _ := info.ID()
		g.id = uint32(id)
	}
	return g, err
}

// Close ends the program, wherever there are stubs.
func (g *Gate) Close() {
	if g.stub != nil {
		g.stub.Close()
	}
	if g.array != nil {
		g.array.Close()
	}
}

// Attach puts a stub at a device.
func (g *Gate) Attach(device int) error {
	name := prefix + g.owner
	switch err := netlink.QdiscAdd(qdisc(device)); {
	case err == nil:
		name += withQdisc
	case errors.Is(err, unix.ENOENT): // an unknown kind
		return fmt.Errorf("clsact: %w", ebpf.ErrNotSupported)
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("clsact: %w", err)
	}
	err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: device, Parent: netlink.HANDLE_MIN_INGRESS, Priority: last, Protocol: unix.ETH_P_ALL},
		Fd:          g.stub.FD(), Name: name, DirectAction: true,
	})
	if err == nil {
		return nil
	}
	if strings.HasSuffix(name, withQdisc) {
		_ = removeQdisc(device)
	}
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cls_bpf: %w", ebpf.ErrNotSupported)
	}
	return fmt.Errorf("cls_bpf: %w", err)
}

// Holds reports whether the program is at a device, and no filter of others is.
func (g *Gate) Holds(device int) bool {
	p, err := placeAt(device)
	if err != nil || p.others {
		return false
	}
	for _, s := range p.stubs {
		if s.program == g.id {
			return true
		}
	}
	return false
}

// Detach removes the stubs from a device. They may be gone.
func (g *Gate) Detach(device int) {
	p, _ := placeAt(device)
	for _, s := range p.stubs {
		if s.program == g.id {
			_ = s.remove()
		}
	}
}

// qdisc is clsact at a device.
func qdisc(device int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: device, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
}

// remove removes a stub, and the qdisc that was made for it.
func (s stub) remove() error {
	err := netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: netlink.FilterAttrs{
		LinkIndex: s.device, Parent: netlink.HANDLE_MIN_INGRESS, Handle: s.handle, Priority: s.priority, Protocol: s.protocol,
	}, Fd: -1})
	if err != nil || !strings.HasSuffix(s.name, withQdisc) {
		return err
	}
	return removeQdisc(s.device)
}

// removeQdisc removes the qdisc clsact of a device, unless there are filters.
func removeQdisc(device int) error {
	for _, hook := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		if list, err := filters(device, hook); err != nil || len(list) > 0 {
			return err
		}
	}
	return netlink.QdiscDel(qdisc(device))
}

// A Stub is one that was removed.
type Stub struct {
	Owner  string
	Device int
}

// Release removes the stubs of owners that ended reports, from the devices of the calling thread's
// network namespace.
func Release(ended func(owner string) bool) (out []Stub, err error) {
	places, err := Places()
	for device, p := range places {
		for _, s := range p.stubs {
			if owner := s.owner(); ended(owner) {
				if failed := s.remove(); failed != nil {
					err = errors.Join(err, fmt.Errorf("the filter of %s: %w", owner, failed))
					continue
				}
				out = append(out, Stub{owner, device})
			}
		}
	}
	return out, err
}

// owner returns the name of who has made the stub.
func (s stub) owner() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.name, prefix), withQdisc)
}
