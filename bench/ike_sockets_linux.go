package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"culvert/internal/ipsec"
	"culvert/internal/netlab"
)

// ikeSockets are the two UDP sockets of IKE at an address of a host: a driver.Transport.
type ikeSockets struct {
	local netip.Addr
	conns map[*ipsec.Transport]*net.UDPConn
	in    chan ikeMessage
	ended chan struct{}
	once  sync.Once
}

type ikeMessage struct {
	path ipsec.Path
	data []byte
}

// socketBuffer is the size of the sockets' buffers in octets: more than all that is under way.
const socketBuffer = 4 << 20

func newIKESockets(h *netlab.Host, local netip.Addr) (*ikeSockets, error) {
	s := &ikeSockets{local: local, conns: map[*ipsec.Transport]*net.UDPConn{}, in: make(chan ikeMessage, 1024), ended: make(chan struct{})}
	for via, port := range map[*ipsec.Transport]uint16{ipsec.UDP: 500, ipsec.NAT: 4500} {
		err := h.Do(func() (err error) {
			s.conns[via], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, port)))
			return err
		})
		if err != nil {
			s.Close()
			return nil, err
		}
		err = errors.Join(s.conns[via].SetReadBuffer(socketBuffer), s.conns[via].SetWriteBuffer(socketBuffer))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("the buffers of the load's sockets: %w", err)
		}
		go s.read(via, port, s.conns[via])
	}
	return s, nil
}

// Close ends ReadIKE.
func (s *ikeSockets) Close() {
	s.once.Do(func() {
		close(s.ended)
		for _, c := range s.conns {
			if c != nil {
				c.Close()
			}
		}
	})
}

// nonESP is the marker of IKE at the NAT port (RFC 3948, Section 2.2).
var nonESP = make([]byte, 4)

func (s *ikeSockets) read(via *ipsec.Transport, port uint16, conn *net.UDPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		data := bytes.Clone(buf[:n])
		if via == ipsec.NAT {
			var marked bool
			if data, marked = bytes.CutPrefix(data, nonESP); !marked {
				continue
			}
		}
		if err != nil {
			continue // an ICMP error: the message comes again
		}
		select {
		case s.in <- ikeMessage{ipsec.NewPath(via, netip.AddrPortFrom(s.local, port), from, 0), data}:
		case <-s.ended:
			return
		}
	}
}

// ReadIKE implements driver.Transport.
func (s *ikeSockets) ReadIKE(buf []byte) (int, ipsec.Path, error) {
	select {
	case m := <-s.in:
		return copy(buf, m.data), m.path, nil
	case <-s.ended:
		return 0, ipsec.Path{}, net.ErrClosed
	}
}

// SendIKE implements driver.Transport.
func (s *ikeSockets) SendIKE(p ipsec.Path, data []byte) error {
	conn := s.conns[p.Via()]
	if conn == nil {
		return fmt.Errorf("the load has no socket of %s", p.Via().Name)
	}
	if p.Via() == ipsec.NAT {
		data = append(nonESP[:4:4], data...)
	}
	_, err := conn.WriteToUDPAddrPort(data, p.Remote())
	return err
}

// ProbeIKE implements driver.Transport.
func (s *ikeSockets) ProbeIKE(p ipsec.Path, data []byte) error { return s.SendIKE(p, data) }

// SendIKEInFragments implements driver.Transport.
func (s *ikeSockets) SendIKEInFragments(p ipsec.Path, data []byte, _ int) error {
	return s.SendIKE(p, data)
}

// SendKeepalive implements driver.Transport.
func (s *ikeSockets) SendKeepalive(p ipsec.Path) error {
	_, err := s.conns[ipsec.NAT].WriteToUDPAddrPort([]byte{0xff}, p.Remote())
	return err
}
