package netio

import (
	"testing"

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
