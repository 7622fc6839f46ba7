package netio

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// A bell wakes a worker that waits for a packet in its ring: a BPF ring buffer, whose descriptor is
// readable while it holds more than was taken. What is in it does not matter.
type bell struct {
	m        *ebpf.Map
	consumer []byte // a page with the position up to which it was taken
	producer []byte // a page with the position up to which it was filled
}

// newBell returns a bell as small as the system has one.
func newBell() (*bell, error) {
	page := os.Getpagesize()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "culvert_bell", Type: ebpf.RingBuf, MaxEntries: uint32(page)})
	if err != nil {
		return nil, err
	}
	b := &bell{m: m}
	if b.consumer, err = unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		b.producer, err = unix.Mmap(m.FD(), int64(page), page, unix.PROT_READ, unix.MAP_SHARED)
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("mapping a ring buffer: %w", err)
	}
	return b, nil
}

func (b *bell) fd() int { return b.m.FD() }

// still ends the ringing.
func (b *bell) still() {
	// The positions are unsigned longs.
	at := (*atomic.Uintptr)(unsafe.Pointer(&b.producer[0])).Load()
	(*atomic.Uintptr)(unsafe.Pointer(&b.consumer[0])).Store(at)
}

func (b *bell) close() {
	for _, page := range [][]byte{b.consumer, b.producer} {
		if page != nil {
			_ = unix.Munmap(page)
		}
	}
	b.m.Close()
}
