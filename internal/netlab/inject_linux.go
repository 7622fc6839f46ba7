package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Inject sends IP packets on the device's link in frames between two MAC addresses, past the routes
// and the packet filter of the host.
func (h *Host) Inject(dev string, from, to net.HardwareAddr, packets ...[]byte) error {
	fd, err := h.packetSocket(dev)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, p := range packets {
		kind := uint16(etherTypeIPv4)
		if p[0]>>4 == 6 {
			kind = etherTypeIPv6
		}
		frame := binary.BigEndian.AppendUint16(append(append([]byte(nil), to...), from...), kind)
		if _, err := unix.Write(fd, append(frame, p...)); err != nil {
			return fmt.Errorf("%s: a frame to %s: %w", h.Name, dev, err)
		}
	}
	return nil
}

// UDPPacket returns an IP packet with a UDP datagram.
func UDPPacket(src, dst netip.AddrPort, data []byte) []byte {
	const header4, header6, headerUDP, hops = 20, 40, 8, 64
	length := headerUDP + len(data)
	udp := make([]byte, headerUDP, length)
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(length))
	udp = append(udp, data...)
	sum := checksum(protoUDP+uint32(length), src.Addr().AsSlice())
	sum = checksum(uint32(checksum(uint32(sum), dst.Addr().AsSlice())), udp)
	if sum = ^sum; sum == 0 {
		sum = 0xffff // zero means that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	if dst.Addr().Is6() {
		ip := make([]byte, 8, header6)
		ip[0], ip[6], ip[7] = 6<<4, protoUDP, hops
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		return append(append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...), udp...)
	}
	ip := make([]byte, 12, header4)
	ip[0], ip[8], ip[9] = 4<<4|header4/4, hops, protoUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(header4+length))
	ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], ^checksum(0, ip))
	return append(ip, udp...)
}

// checksum returns the Internet checksum (RFC 1071) of sum and b, not inverted.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
