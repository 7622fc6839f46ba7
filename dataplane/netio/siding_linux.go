package netio

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A packet is in its socket's send buffer until the device has sent it. A peer behind a slow device
// with a deep queue would so come to hold all of the buffer, and no other would get anything into
// it for as long as that device takes. Therefore the remote that sends most through a socket whose
// buffer fills up is moved to a siding, a socket with a buffer of its own, which is like it and
// receives nothing:
//
//	socket:    | A B A A A C A ...  over a quarter     A sends most: it is moved
//	siding 0:  | A A A A A A A A    full               only A loses what has no room
//	socket:    | B C B ...          empties
//
// It may be the wrong one, a peer that is sent much by a fast device. It loses nothing by that, and
// the next look finds another. How full a siding is tells which of those that were moved are slow:
// one whose siding has emptied goes back as soon as that is wanted for another.
const (
	maxSidings = 4 // of each of a worker's sockets: slow devices that do not disturb each other
	maxMoved   = 8 // remotes; one more puts the first one back
	maxHeavy   = 8 // remotes that are counted between two looks

	sidingShare = 4  // a remote is moved when this part of the buffer is in use
	sidingLook  = 32 // how full the buffer is, is asked after so much was sent: this part of it
	sidingEmpty = 16 // less than this part in use is an empty siding
)

// sidings are a socket's, and where what is sent by it goes. They are its worker's.
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

// openSidings gives s its sidings. Where the system has none to give, only slow devices make that
// felt.
func (s *socket) openSidings(cfg *Config) {
	err := s.tryOpenSidings(cfg)
	if err != nil {
		cfg.Log.Info("peers behind slow devices share their send buffer with the others", "listen", s.bound.String(), "error", err)
		closeAll(s.side.socks)
		s.side.socks = nil
	}
}

func (s *socket) tryOpenSidings(cfg *Config) (err error) {
	if s.side.size, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
		return err
	}
	for range maxSidings {
		d, err := (&socket{v6: s.v6, raw: s.raw, bound: s.bound}).open(cfg)
		if err != nil {
			return err
		}
		s.side.socks = append(s.side.socks, d)
		if err := d.deafen(cfg.Workers); err != nil {
			return err
		}
	}
	return nil
}

// deafen keeps a siding from receiving. In UDP it does not anyway, as it was bound behind those
// that the datagrams are steered to. A raw one would get a copy of each packet; connected, it gets
// those of that address alone, of which the filter takes none, and sends where it is told to.
func (s *socket) deafen(workers int) error {
	if !s.raw {
		return nil
	}
	if err := shareRaw(s.fd, s.v6, workers, workers); err != nil {
		return err
	}
	none := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if s.v6 {
		none = netip.IPv6Loopback()
	}
	return unix.Connect(s.fd, sockaddr(netip.AddrPortFrom(none, 0)))
}

// way is the socket that out leaves by: s or a siding.
func (s *socket) way(out *Outgoing) *socket {
	remote := out.Remote.Addr()
	for i := range s.side.moved[:s.side.movedN] {
		if m := &s.side.moved[i]; m.remote == remote {
			if s.raw && !out.Local.Addr().IsValid() {
				return s // the siding is connected, which gave it a source of its own
			}
			return m.to
		}
	}
	return s
}

// note counts octets that are sent to remote.
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
	// The least of them makes room, and leaves its count: whoever sends more than an eighth is
	// never missed.
	least := &d.heavy[0]
	for i := range d.heavy {
		if d.heavy[i].octets < least.octets {
			least = &d.heavy[i]
		}
	}
	least.remote, least.octets = remote, least.octets+octets
}

// look moves the remote that was sent most, if the buffer fills up. It reports whether it did.
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

// heaviest is the remote that was sent most since the last look. Something was sent.
func (d *sidings) heaviest() netip.Addr {
	most := &d.heavy[0]
	for i := range d.heavy[:d.heavyN] {
		if d.heavy[i].octets > most.octets {
			most = &d.heavy[i]
		}
	}
	return most.remote
}

// move gives remote a siding that nobody has, or else the emptiest.
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

// fill is how full a siding is; less than empty if nobody has it.
func (d *sidings) fill(siding *socket) int {
	for _, m := range d.moved[:d.movedN] {
		if m.to == siding {
			return siding.queued()
		}
	}
	return -1
}

// putBack has those that were moved to the siding sent as before.
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

// queued is how much of the send buffer is in use, or 0 where the system does not say.
func (s *socket) queued() int {
	var n int32
	if _, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(s.fd), unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n))); e != 0 {
		return 0
	}
	return int(n)
}
