package netio

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"culvert/dataplane/netio/clsact"
)

// maxOurs is the most addresses that packets are taken for past the IP stack.
const maxOurs = 4096

// inletMaps are what the program at the devices reads and writes.
type inletMaps struct {
	known, ours, rings, bells *ebpf.Map
	program                   *ebpf.Program
	id                        ebpf.ProgramID // the program's
	table                     spiTable       // known's memory
	memory                    [][]byte       // the rings'
	workers                   int
	owner                     string       // of what stays in the kernel
	noTCX                     bool         // the gate is opened at once
	gate                      *clsact.Gate // nil: the program is attached by tcx
}

func mapOf(name string, t ebpf.MapType, key, value, n int, flags uint32) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: name, Type: t, KeySize: uint32(key), ValueSize: uint32(value), MaxEntries: uint32(n), Flags: flags}
}

// ringSpec describes the map of a ring.
func ringSpec() *ebpf.MapSpec {
	return mapOf("culvert_ring", ebpf.Array, 4, slotSize, 1+ringSlots, unix.BPF_F_MMAPABLE)
}

// newInletMaps makes the maps, without a ring yet, and loads the program.
func newInletMaps(bells []*bell, owner string, noTCX bool) (_ *inletMaps, err error) {
	m := &inletMaps{workers: len(bells), owner: owner, noTCX: noTCX}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	rings, doors := mapOf("culvert_rings", ebpf.ArrayOfMaps, 4, 4, m.workers, 0), mapOf("culvert_bells", ebpf.ArrayOfMaps, 4, 4, m.workers, 0)
	rings.InnerMap = ringSpec()
	doors.InnerMap = &ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: uint32(os.Getpagesize())}
	for _, c := range []struct {
		to   **ebpf.Map
		spec *ebpf.MapSpec
	}{
		{&m.known, mapOf("culvert_spis", ebpf.Array, 4, 4*knownSlots, 1, unix.BPF_F_MMAPABLE)},
		{&m.ours, mapOf("culvert_addrs", ebpf.Hash, 16, 4, maxOurs, unix.BPF_F_NO_PREALLOC)},
		{&m.rings, rings},
		{&m.bells, doors},
	} {
		if *c.to, err = ebpf.NewMap(c.spec); err != nil {
			return nil, err
		}
	}
	for i, b := range bells {
		if err := m.bells.Put(uint32(i), b.m); err != nil {
			return nil, err
		}
	}
	if m.table, err = mapped(m.known, 4*knownSlots); err != nil {
		return nil, err
	}
	return m, m.load(tcxDrop)
}

// load loads the program, in place of the one before, with the verdict on what it takes.
func (m *inletMaps) load(taken int32) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "culvert_esp", Type: ebpf.SchedCLS,
		Instructions: ringProgram(ringMaps{m.known.FD(), m.ours.FD(), m.rings.FD(), m.bells.FD()}, m.workers, taken),
	})
	if err != nil {
		return err
	}
	if m.program != nil {
		m.program.Close()
	}
	m.program = p
	info, err := p.Info()
	if err == nil {
		m.id, _ = info.ID()
	}
	return err
}

// canExchange returns an error where programs cannot be loaded, or not compare and exchange, which
// they can since Linux 5.12: that is ErrNotSupported. It is asked before there are maps: before
// Linux 5.11 the limit of locked memory holds for these, and the error then is that of a process
// without the capabilities.
func canExchange() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, 0),
		asm.StoreMem(asm.R10, -8, asm.R0, asm.DWord),
		atomicOp(asm.CmpXchg, asm.R10, asm.R0, -8),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if err == nil {
		return p.Close()
	}
	return unsupported(err)
}

// unsupported returns ErrNotSupported for the verifier's refusal of a program that is right, and
// other errors as they are. The verifier's own words tell an operator nothing.
func unsupported(err error) error {
	var refusal *ebpf.VerifierError
	if errors.As(err, &refusal) && errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("compare-and-exchange in programs: %w", ebpf.ErrNotSupported)
	}
	return err
}

// mapped returns the memory of a map.
func mapped(m *ebpf.Map, size int) ([]byte, error) {
	page := os.Getpagesize()
	b, err := unix.Mmap(m.FD(), 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %d octets of a map: %w", size, err)
	}
	return b, nil
}

// addRing makes the ring of a worker. From then on packets may come into it.
func (m *inletMaps) addRing(worker int) (*ring, error) {
	memory, err := ebpf.NewMap(ringSpec())
	if err != nil {
		return nil, err
	}
	defer memory.Close() // the map of rings and the mapping keep it
	mem, err := mapped(memory, ringSize)
	if err != nil {
		return nil, err
	}
	m.memory = append(m.memory, mem)
	r := newRing(mem)
	return r, m.rings.Put(uint32(worker), memory)
}

// A spiTable is the memory of the SPIs whose packets are taken, by their lower bits.
type spiTable []byte

// place returns the place of an SPI.
func (t spiTable) place(spi uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&t[4*(spi%knownSlots)]))
}

// know has packets of an SPI taken. Of two SPIs with the same place the first one stays; the other
// comes by the socket.
func (t spiTable) know(spi uint32) { t.place(spi).CompareAndSwap(0, spi) }

// forget ends what know began.
func (t spiTable) forget(spi uint32) { t.place(spi).CompareAndSwap(spi, 0) }

func (m *inletMaps) close() {
	if m.gate != nil {
		m.gate.Close()
	}
	if m.program != nil {
		m.program.Close()
	}
	for _, mem := range append(m.memory, m.table) {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
	for _, one := range []*ebpf.Map{m.known, m.ours, m.rings, m.bells} {
		if one != nil {
			one.Close()
		}
	}
}
