package dataplane

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestClampMSS: the option of a SYN is lowered to what the inner packet's MTU leaves for TCP behind
// the headers of its IP version; fragments and other protocols stay as they are.
func TestClampMSS(t *testing.T) {
	mss := []byte{2, 4, 0x22, 0xec} // 8940
	first := tcpPacket(src4, dst4, 1, 2, mss, nil)
	first[6] = 0x20
	for name, tt := range map[string]struct {
		pkt  []byte
		want uint16
	}{
		"IPv4":             {tcpPacket(src4, dst4, 1, 2, mss, nil), 1398},
		"IPv6":             {tcpPacket(src6, dst6, 1, 2, mss, nil), 1378},
		"a first fragment": {first, 0},
		"UDP":              {udpPacket(src4, dst4, true, bytes.Repeat([]byte{2, 4, 0x22, 0xec}, 10)), 0},
	} {
		before, hdr := bytes.Clone(tt.pkt), parse(t, tt.pkt)
		clampMSS(tt.pkt, hdr, 1438, true)
		if tt.want == 0 {
			if !bytes.Equal(tt.pkt, before) {
				t.Errorf("%s: changed", name)
			}
			continue
		}
		if got := binary.BigEndian.Uint16(tt.pkt[hdr.Upper+22:]); got != tt.want {
			t.Errorf("%s: MSS %d, want %d", name, got, tt.want)
		}
		checkSums(t, tt.pkt)
	}
}
