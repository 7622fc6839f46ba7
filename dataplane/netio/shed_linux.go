package netio

import (
	"encoding/binary"
	"math"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// All SAs whose packets come to a worker share the receive buffer of its socket. One that brings
// more than the worker can open keeps that full, and the kernel drops the newest packets, whosever
// they are. Therefore the SAs with the most traffic through a buffer that stays half full are shed
// from: a filter, which runs before a packet takes room, drops a part of their packets at random.
// The part grows until the buffer empties, shrinks when it is less than a quarter full, and is
// nothing when it is empty:
//
//	arrives:   | A A A B A A A C A A A ...
//	filter:    |   A   B     A C   A           A brings most: of its packets more and more go
//	buffer:    | A B A C A                     is not full: B and C lose none
//
// What is shed would mostly have been dropped. An SA that is alone is left alone.
const (
	shedLook  = 4  // the fill is checked each time this fraction of the buffer was received
	shedHalf  = 2  // above this fraction more is shed,
	shedFalls = 64 // unless the fill has fallen by this fraction since the last look
	shedEmpty = 4  // below this fraction less is shed

	shedPacket = 1 << 10 // what a message takes beside its data
	maxShed    = 4       // SAs at a time
)

// shedding is what a socket sheds, and the SAs of its traffic. It belongs to whoever receives.
type shedding struct {
	size  int  // of the receive buffer
	seen  int  // octets since the last look, with shedPacket for each message
	fill  int  // at the last look
	alarm bool // the buffer was half full then: what comes is counted

	spis [maxHeavy]shedSPI // counted
	n    int

	shed []shedSPI // from which packets are shed
}

// A shedSPI is an SA's SPI with its traffic since the last look, or with the part that is kept of
// its packets.
type shedSPI struct {
	spi    uint32
	octets int
	keep   uint32 // of 1<<32
}

// noteReceived counts a message, and reports whether from now on more is shed.
func (s *socket) noteReceived(data []byte) (more bool) {
	d := &s.shedding
	d.seen += len(data) + shedPacket
	if d.alarm {
		d.note(s.spiOf(data), len(data)+shedPacket)
	}
	if d.seen < d.size/shedLook {
		return false
	}
	d.seen = 0
	return s.lookReceived()
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

// note counts octets of an SPI. The smallest count makes room and is inherited: one with more than
// an eighth of the traffic is never missed.
func (d *shedding) note(spi uint32, octets int) {
	least := &d.spis[0]
	for i := range d.spis[:d.n] {
		c := &d.spis[i]
		if c.spi == spi {
			c.octets += octets
			return
		}
		if c.octets < least.octets {
			least = c
		}
	}
	if d.n < maxHeavy {
		least = &d.spis[d.n]
		d.n++
	}
	least.spi, least.octets = spi, least.octets+octets
}

// lookReceived checks the fill of the buffer, and sheds more or less. It reports whether more.
func (s *socket) lookReceived() (more bool) {
	d := &s.shedding
	fill, ok := s.unread()
	if !ok {
		return false
	}
	less := false
	switch {
	case fill > d.size/shedHalf && d.alarm && fill >= d.fill-d.size/shedFalls:
		more = d.more()
	case fill < d.size/shedEmpty:
		less = d.less()
	}
	d.fill, d.alarm = fill, fill > d.size/shedHalf
	d.n, d.spis = 0, [maxHeavy]shedSPI{}
	if more || less {
		s.filterShed()
	}
	return more
}

// more sheds more from the SA that brings most, counting what of it was shed already. It reports
// false if there is none that brings much more than the others.
func (d *shedding) more() bool {
	most, offered, sum := shedSPI{}, 0, 0
	for _, c := range d.spis[:d.n] {
		c.keep = d.kept(c.spi)
		n := int(uint64(c.octets) << 32 / (uint64(c.keep) + 1))
		if sum += n; n > offered {
			most, offered = c, n
		}
	}
	if d.n < 2 || offered*d.n < 2*sum && offered <= sum/2 {
		return false
	}
	for i := range d.shed {
		if d.shed[i].spi == most.spi {
			d.shed[i].keep -= d.shed[i].keep / 3
			return true
		}
	}
	if len(d.shed) == maxShed {
		return false
	}
	d.shed = append(d.shed, shedSPI{spi: most.spi, keep: 1 << 31})
	return true
}

// kept returns the part that is kept of an SPI's packets.
func (d *shedding) kept(spi uint32) uint32 {
	for _, c := range d.shed {
		if c.spi == spi {
			return c.keep
		}
	}
	return 1<<32 - 1
}

// less sheds less, and reports whether anything was shed.
func (d *shedding) less() bool {
	changed := len(d.shed) > 0
	left := d.shed[:0]
	for _, c := range d.shed {
		if more := c.keep/4 + 1<<20; c.keep < 1<<32-1-more {
			c.keep += more
			left = append(left, c)
		}
	}
	d.shed = left
	return changed
}

// emptied records that the buffer is empty, and ends the shedding. When a flood is over, too little
// may come of its SA to be received and looked at.
func (s *socket) emptied() {
	if d := &s.shedding; len(d.shed) > 0 {
		d.shed, d.alarm = d.shed[:0], false
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
