package netio

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"culvert/internal/netlab"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Of two SPIs with the same place the first one is taken until it has gone.
func TestSPITable(t *testing.T) {
	table := make(spiTable, 4*knownSlots)
	const first, second = 1000, 1000 + knownSlots
	table.know(first)
	table.know(second)
	if got := table.place(first).Load(); got != first {
		t.Errorf("%d is known, want %d", got, first)
	}
	table.forget(second)
	if got := table.place(first).Load(); got != first {
		t.Errorf("%d is known after another has gone", got)
	}
	table.forget(first)
	table.know(second)
	if got := table.place(first).Load(); got != second {
		t.Errorf("%d is known, want %d", got, second)
	}
}

// TestCapabilitiesOfTheUnit: the kernel takes maps, program and attachment with the capabilities
// that the unit file grants, without CAP_PERFMON, with which the verifier is less strict.
func TestCapabilitiesOfTheUnit(t *testing.T) {
	p := newPair(t, 1)
	needPrograms(t)
	load := func(noTCX bool) error {
		b, err := newBell()
		if err != nil {
			return err
		}
		defer b.close()
		m, err := newInletMaps([]*bell{b}, "", noTCX)
		if err != nil {
			return err
		}
		defer m.close()
		d := inletDevices{}
		defer d.close()
		return d.attach(m, map[int]string{1: "lo"})
	}
	for _, noTCX := range []bool{false, true} {
		if err := p.b.Do(func() error {
			return without(unix.CAP_PERFMON, func() error {
				return without(unix.CAP_SYS_ADMIN, func() error { return load(noTCX) })
			})
		}); err != nil {
			t.Errorf("without tcx %t: %v", noTCX, err)
		}
	}
}

// The verifier's refusal of a program that is right is the lack of an operation, and status says
// what is missing, not what the verifier says. Without the capabilities it says that.
func TestUnsupported(t *testing.T) {
	const lacks, need = "this kernel has no programs at devices", "programs at devices need CAP_BPF"
	for _, tt := range []struct {
		name  string
		err   error
		words string
	}{
		{"an older kernel", fmt.Errorf("load program: %w", &ebpf.VerifierError{Cause: unix.EINVAL}), lacks},
		{"no capabilities", fmt.Errorf("load program: %w", unix.EPERM), need},
		{"a refused program", fmt.Errorf("load program: %w", &ebpf.VerifierError{Cause: unix.EACCES}), "the kernel's verifier refuses it: load program: "},
		{"no BPF", unix.ENOSYS, lacks},
		{"no memory", unix.ENOMEM, "cannot allocate memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := why(unsupported(tt.err)); !strings.HasPrefix(got, tt.words) {
				t.Errorf("status says %q, want %q", got, tt.words)
			}
		})
	}
}

// TestCanExchange: where canExchange has no error the kernel takes the program, and elsewhere it
// does not.
func TestCanExchange(t *testing.T) {
	netlab.Need(t)
	b, err := newBell()
	if err != nil {
		t.Skip("no BPF ring buffers here: ", err)
	}
	defer b.close()
	m, err := newInletMaps([]*bell{b}, "", false)
	if err == nil {
		m.close()
	}
	if can := canExchange(); (can == nil) != (err == nil) || can != nil && !errors.Is(can, ebpf.ErrNotSupported) {
		t.Errorf("compare-and-exchange: %v, the program: %v", can, err)
	}
}

// needPrograms skips the test where the kernel has no programs at devices.
func needPrograms(t testing.TB) {
	t.Helper()
	if err := canExchange(); errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip("this kernel has no programs at devices: ", err)
	}
}

// TestKernelWithoutPrograms: where the kernel cannot have the program, everything goes by the raw
// socket, and status says so of both directions.
func TestKernelWithoutPrograms(t *testing.T) {
	if canExchange() == nil {
		t.Skip("this kernel has programs at devices")
	}
	p := newPair(t, 1)
	p.netB.Close()
	p.netB = openIn(t, p.b, ringConfig(1, false))
	p.netB.Live(1000)
	const want = "socket: this kernel has no programs at devices (Linux 5.12 has them, with clsact and cls_bpf)"
	p.says(t, want, want)
	for v6 := range addrA {
		out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[v6], 0), at(addrB[v6], 0))}
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		recv(t, p.netB.Ports()[0], nil)
	}
	if n := p.netB.Counters()["net_ring"]; n != 0 {
		t.Errorf("%d packets came past the IP stack", n)
	}
}
