package netio

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"culvert/dataplane/netio/clsact"
	"culvert/dataplane/netio/hostpolicy"
)

// A hook is the program at a device, before the IP stack.
type hook interface {
	// holds reports whether the program is still there, and behind all others: a device that is
	// made again has none, though its index may be the same.
	holds() bool
	close()
}

// tcx is the hook of Linux 6.6 and later. It ends with its descriptor.
type tcx struct {
	link.Link
	device  int
	program ebpf.ProgramID
}

func (h *tcx) holds() bool {
	info, err := h.Info()
	if err != nil {
		return false
	}
	at := info.TCX()
	return at != nil && at.Ifindex == uint32(h.device) && hostpolicy.IsLast(h.device, h.program)
}

func (h *tcx) close() { h.Close() }

// stub is the hook of older kernels.
type stub struct {
	gate   *clsact.Gate
	device int
}

func (h *stub) holds() bool { return h.gate.Holds(h.device) }
func (h *stub) close()      { h.gate.Detach(h.device) }

// attach attaches the program to a device, behind all others.
func (m *inletMaps) attach(device int) (hook, error) {
	if m.gate == nil {
		l, err := m.attachTCX(device)
		if err == nil {
			return &tcx{l, device, m.id}, nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return nil, err
		}
		if err := m.openGate(); err != nil {
			return nil, err
		}
	}
	if err := m.gate.Attach(device); err != nil {
		return nil, err
	}
	return &stub{m.gate, device}, nil
}

func (m *inletMaps) attachTCX(device int) (link.Link, error) {
	if m.noTCX {
		return nil, ebpf.ErrNotSupported
	}
	return link.AttachTCX(link.TCXOptions{Interface: device, Program: m.program, Attach: ebpf.AttachTCXIngress})
}

// openGate has the program attached by filters of tc from now on, for which it is loaded again: its
// verdicts are others.
func (m *inletMaps) openGate() (err error) {
	if err := m.load(clsact.Taken); err != nil {
		return err
	}
	m.gate, err = clsact.Open(m.program, m.owner)
	return err
}

// by is how the program is attached.
func (m *inletMaps) by() string {
	if m.gate != nil {
		return "clsact"
	}
	return "tcx"
}

// ReleaseFilters removes the filters of tc of owners that ended reports (Config.Owner), which
// killed processes have left, and returns a description of each.
func ReleaseFilters(ended func(owner string) bool) (out []string, err error) {
	list, err := clsact.Release(ended)
	for _, s := range list {
		at := fmt.Sprintf("device %d", s.Device)
		if dev, err := net.InterfaceByIndex(s.Device); err == nil {
			at = dev.Name
		}
		out = append(out, fmt.Sprintf("the filter of %s at %s", s.Owner, at))
	}
	return out, err
}
