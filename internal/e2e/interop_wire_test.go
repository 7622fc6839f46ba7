//go:build linux

package e2e

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"culvert/ike/wire"
	"culvert/internal/netlab"
)

// ikeSeen counts messages of IKE on a link.
type ikeSeen struct {
	sniffer *netlab.Sniffer
	mac     string // of the peer's device

	mu              sync.Mutex
	ours, theirs    int // fragments
	requestsCookies int // of IKE_SA_INIT, with a cookie
}

// watchIKE counts at a device of the peer.
func watchIKE(t *testing.T, h *netlab.Host) *ikeSeen {
	t.Helper()
	link, err := h.Netlink().LinkByName("wan")
	ok(t, err)
	s := &ikeSeen{mac: string(link.Attrs().HardwareAddr)}
	s.sniffer, err = h.Sniff("wan", s.frame)
	ok(t, err)
	return s
}

func (s *ikeSeen) frame(frame []byte) {
	message := ikeIn(frame)
	const nextPayload, exchange, header = 16, 18, 28
	if len(message) < header {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case wire.PayloadType(message[nextPayload]) == wire.PayloadSKF && string(frame[6:12]) == s.mac:
		s.theirs++
	case wire.PayloadType(message[nextPayload]) == wire.PayloadSKF:
		s.ours++
	case wire.ExchangeType(message[exchange]) == wire.IKESAInit:
		if m, err := wire.Parse(message); err == nil && !m.Response {
			if _, has := wire.FindNotify(m.Payloads, wire.Cookie); has {
				s.requestsCookies++
			}
		}
	}
}

// ikeIn returns the IKE message in a frame, if there is one that is not fragmented by IP.
func ikeIn(frame []byte) []byte {
	p, good := netlab.ParseFrame(frame)
	if !good || p.Protocol != 17 {
		return nil
	}
	const ethernet, ipv4, ipv6, udp = 14, 20, 40, 8
	head := ethernet + ipv6 + udp
	if p.Src.Is4() {
		head = ethernet + ipv4 + udp
	}
	switch {
	case len(frame) < head+4:
		return nil
	case p.SrcPort == 500 || p.DstPort == 500:
		return frame[head:]
	case (p.SrcPort == 4500 || p.DstPort == 4500) && string(frame[head:head+4]) == "\x00\x00\x00\x00": // RFC 3948, Section 2.2
		return frame[head+4:]
	}
	return nil
}

func (s *ikeSeen) counts() (ours, theirs, cookies int) {
	s.sniffer.Sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ours, s.theirs, s.requestsCookies
}

// halfOpen makes half-open IKE SAs at the peer, which then asks everybody for a cookie.
func (s *setting) halfOpen(t *testing.T) {
	t.Helper()
	ok(t, s.n.right.Do(func() error {
		to := netip.AddrPortFrom(addr("192.0.2.2"), 500)
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(initRequest(0, 2, nil))
		return err
	}))
}
