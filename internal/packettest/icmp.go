package packettest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"culvert/selector"
)

// CheckICMPError checks an ICMP error about pkt, and returns its type, code and MTU.
func CheckICMPError(t testing.TB, icmp, pkt []byte) (typ, code byte, mtu int) {
	t.Helper()
	hdr, about := CheckSums(t, icmp), Parse(t, pkt)
	if hdr.Src != about.Dst || hdr.Dst != about.Src {
		t.Errorf("from %v to %v, want from %v to %v", hdr.Src, hdr.Dst, about.Dst, about.Src)
	}
	body := icmp[hdr.Upper:]
	if !bytes.HasPrefix(pkt, body[8:]) || len(body) < 8+28 {
		t.Error("it does not quote the packet")
	}
	if hdr.Version == 4 {
		if hdr.Protocol != selector.ProtoICMP || len(icmp) > 576 {
			t.Errorf("protocol %d, %d octets", hdr.Protocol, len(icmp))
		}
		return body[0], body[1], int(binary.BigEndian.Uint16(body[6:]))
	}
	if hdr.Protocol != selector.ProtoICMPv6 || len(icmp) > 1280 {
		t.Errorf("protocol %d, %d octets", hdr.Protocol, len(icmp))
	}
	return body[0], body[1], int(binary.BigEndian.Uint32(body[4:]))
}
