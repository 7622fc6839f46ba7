package netio

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A packet stays in its socket's send buffer until the device has sent it. A peer behind a slow
// device with a deep queue would thus come to fill the buffer, and starve the other peers as long
// as that device takes. Therefore the remote with the most traffic through a socket whose buffer
// fills up is moved to a siding, a similar socket with a buffer of its own that receives nothing:
//
//	socket:    | A B A A A C A ...  over a quarter     A sends most: it is moved
//	siding 0:  | A A A A A A A A    full               only A loses packets
//	socket:    | B C B ...          empties
//
// It may be the wrong one, a busy peer behind a fast device. That peer loses nothing, and the next
// look finds another. The fill of the sidings shows which of the moved peers are slow: one whose
// siding has emptied goes back when another needs the siding.
const (
	maxSidings = 4 // for each socket of a worker: that many slow devices are kept apart
	maxMoved   = 8 // remotes; one more moves the first one back
	maxHeavy   = 8 // remotes counted between two looks

	sidingShare = 4  // a remote is moved when this fraction of the buffer is in use
	sidingLook  = 32 // the fill is checked each time this fraction of the buffer was sent
	sidingEmpty = 16 // a siding counts as empty below this fraction
)

// sidings are those of a socket, and the paths of its traffic. They belong to its worker.
type sidings struct {
	socks []*socket
	size  int // of the send buffer
	sent  int // since the last look

	heavy [maxHeavy]struct {
		remote netip.Addr
		octets int
	}
	heavyN int

	moved [maxMoved]struct {
		remote netip.Addr
		to     *socket
	}
	movedN int
}

// openSidings opens the sidings of s. If the system refuses them, only slow devices have an effect.
func (s *socket) openSidings(cfg *Config) {
	err := s.tryOpenSidings(cfg)
	if err != nil {
		cfg.Log.Info("no send buffers of their own for peers behind slow devices, which may delay other peers", "listen", s.bound.String(), "error", err)
		closeAll(s.side.socks)
		s.side.socks = nil
	}
}

func (s *socket) tryOpenSidings(cfg *Config) (err error) {
	if s.side.size, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
		return err
	}
	for range maxSidings {
		// In UDP it never receives, because it was bound after the sockets that datagrams are
		// steered to.
		d, err := (&socket{v6: s.v6, raw: s.raw, deaf: s.raw || s.deaf, bound: s.bound}).open(cfg)
		if err != nil {
			return err
		}
		s.side.socks = append(s.side.socks, d)
	}
	return nil
}

// way returns the socket for out: s or a siding.
func (s *socket) way(out *Outgoing) *socket {
	remote := out.Path.Remote().Addr()
	for i := range s.side.moved[:s.side.movedN] {
		if m := &s.side.moved[i]; m.remote == remote {
			return m.to
		}
	}
	return s
}

// note counts octets sent to remote.
func (s *socket) note(remote netip.Addr, octets int) {
	d := &s.side
	d.sent += octets
	for i := range d.heavy[:d.heavyN] {
		if d.heavy[i].remote == remote {
			d.heavy[i].octets += octets
			return
		}
	}
	if d.heavyN < maxHeavy {
		d.heavy[d.heavyN].remote, d.heavy[d.heavyN].octets = remote, octets
		d.heavyN++
		return
	}
	// The smallest count makes room and is inherited: a remote with more than an eighth of the
	// traffic is never missed.
	least := &d.heavy[0]
	for i := range d.heavy {
		if d.heavy[i].octets < least.octets {
			least = &d.heavy[i]
		}
	}
	least.remote, least.octets = remote, least.octets+octets
}

// look moves the remote with the most traffic if the buffer fills up, and reports whether it did.
func (s *socket) look() bool {
	d := &s.side
	remote := d.heaviest()
	d.sent, d.heavyN = 0, 0
	if s.queued() < d.size/sidingShare {
		return false
	}
	d.move(remote)
	return true
}

// heaviest returns the remote with the most traffic since the last look. There was some.
func (d *sidings) heaviest() netip.Addr {
	most := &d.heavy[0]
	for i := range d.heavy[:d.heavyN] {
		if d.heavy[i].octets > most.octets {
			most = &d.heavy[i]
		}
	}
	return most.remote
}

// move gives remote a free siding, otherwise the emptiest.
func (d *sidings) move(remote netip.Addr) {
	to := d.socks[0]
	least := d.fill(to)
	for _, s := range d.socks[1:] {
		if n := d.fill(s); n < least {
			to, least = s, n
		}
	}
	if least < d.size/sidingEmpty {
		d.putBack(to)
	}
	if d.movedN == maxMoved {
		copy(d.moved[:], d.moved[1:])
		d.movedN--
	}
	d.moved[d.movedN].remote, d.moved[d.movedN].to = remote, to
	d.movedN++
}

// fill returns the octets in a siding's buffer; less than an empty one's if it is free.
func (d *sidings) fill(siding *socket) int {
	for _, m := range d.moved[:d.movedN] {
		if m.to == siding {
			return siding.queued()
		}
	}
	return -1
}

// putBack moves the remotes of a siding back to the socket.
func (d *sidings) putBack(siding *socket) {
	n := 0
	for _, m := range d.moved[:d.movedN] {
		if m.to != siding {
			d.moved[n] = m
			n++
		}
	}
	d.movedN = n
}

// queued returns the octets in the send buffer, and in that of the packet socket beside it.
func (s *socket) queued() int {
	n := queued(s.fd)
	if s.bypass != nil {
		n += queued(s.bypass.fd)
	}
	return n
}

// queued returns the octets in a send buffer, or 0 where the system does not tell.
func queued(fd int) int {
	var n int32
	if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n))); e != 0 {
		return 0
	}
	return int(n)
}
