package netio

import (
	"encoding/binary"
	"math"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// shedPacket is what a message takes of a receive buffer beside its data.
const shedPacket = 1 << 10

// noteReceived counts a message, and reports whether from now on more is shed.
func (s *socket) noteReceived(data []byte) (more bool) {
	d, room := &s.shedding, len(data)+shedPacket
	if d.alarm {
		d.note(s.spiOf(data), room)
	}
	if !d.due(room) {
		return false
	}
	fill, ok := s.unread()
	if !ok {
		return false
	}
	more, changed := d.look(fill)
	if changed {
		s.filterShed()
	}
	return more
}

// spiOf returns the SPI of a message as the socket gives it; 0 without one.
func (s *socket) spiOf(data []byte) uint32 {
	if s.mute() && len(data) > 0 { // with the IP header
		data = data[min(int(data[0]&0x0f)*4, len(data)):]
	}
	if len(data) < spiLen {
		return 0
	}
	return binary.BigEndian.Uint32(data)
}

// emptied records that the receive buffer is empty.
func (s *socket) emptied() {
	if s.shedding.end() {
		s.filterShed()
	}
}

// unread returns the octets in the receive buffer.
func (s *socket) unread() (n int, ok bool) {
	var info [9]uint32 // SK_MEMINFO_VARS; the first is SK_MEMINFO_RMEM_ALLOC
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 { // Linux before 4.12
		s.size = math.MaxInt
		return 0, false
	}
	s.size = int(info[1])
	return int(info[0]), true
}

// filterShed has the kernel shed what is to be shed.
func (s *socket) filterShed() {
	if len(s.shedding.shed) == 0 {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		return
	}
	_ = attach(s.fd, unix.SO_ATTACH_FILTER, s.shedProgram())
}

// shedProgram returns the filter. It sees UDP from its header on, IP protocol 50 over IPv4 from the
// IP header on, and over IPv6 from its own.
func (s *socket) shedProgram() []bpf.Instruction {
	const udpHeader = 8
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: udpHeader, Size: 4}}
	switch {
	case s.raw && s.v6:
		p = []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}}
	case s.raw:
		p = []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: 0, Size: 4}}
	}
	for _, c := range s.shedding.shed {
		p = append(p,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: c.spi, SkipTrue: 4},
			bpf.LoadExtension{Num: bpf.ExtRand},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: c.keep, SkipTrue: 1},
			bpf.RetConstant{Val: 1<<32 - 1},
			bpf.RetConstant{Val: 0},
		)
	}
	return append(p, bpf.RetConstant{Val: 1<<32 - 1})
}
