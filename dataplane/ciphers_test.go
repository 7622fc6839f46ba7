package dataplane

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// unusual are ciphers whose packets differ from those of AES-GCM-16 in each length that there is.
var unusual = []esp.Cipher{
	{ID: esp.AESCBC, KeyBits: 256, Auth: esp.HMACSHA512},
	{ID: esp.AESCBC, KeyBits: 128, Auth: esp.HMACSHA1},
	{ID: esp.AESCTR, KeyBits: 192, Auth: esp.HMACSHA384},
	{ID: esp.NULL, Auth: esp.HMACSHA256},
	{ID: esp.AESGCM8, KeyBits: 128},
	{ID: esp.AESCCM12, KeyBits: 256},
	{ID: esp.NULLAuthAESGMAC, KeyBits: 128},
}

// ciphered returns an SA pair with a cipher.
func ciphered(sa ipsec.ChildSA, c esp.Cipher) ipsec.ChildSA {
	sa.Cipher = c
	sa.KeyIn, sa.KeyOut = bytes.Repeat([]byte{1}, c.KeyLen()), bytes.Repeat([]byte{2}, c.KeyLen())
	return sa
}

// TestCiphers: with every kind of cipher, the segments of super-packets, small packets and the
// largest ones come whole, no outer packet is larger than the path, and the largest inner packet is
// as large as can be. TCP is told of it, and so is a sender of too large a packet.
func TestCiphers(t *testing.T) {
	const mtu = 1500
	for _, c := range unusual {
		t.Run(c.String(), func(t *testing.T) {
			a, b := twoGateways(t, 2, nil)
			install(t, a, b, ciphered(childSA(t, a, b, 1), c))
			var mu sync.Mutex
			largest := 0
			for _, p := range a.ports {
				p.wiretap(func(o *netio.Outgoing) {
					mu.Lock()
					defer mu.Unlock()
					size := len(o.Data)
					if o.SegSize > 0 {
						size = o.SegSize
					}
					largest = max(largest, 20+8+size)
				})
			}
			inner := c.Format().InnerMTU(mtu, false, true)
			a.wantMTU(t, 1, inner)
			stream := random(60000)
			a.queues[0].in.put(nil, superPacket(src4, dst4, 7, stream, 1460))
			segmentsAt(t, b.queues[0], 7, stream, inner-40)
			for _, n := range []int{28, 29, 43, 44, 700, inner - 1, inner} {
				pkt := udpPacket(src4, dst4, true, random(n-28))
				a.queues[0].inject(pkt)
				if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
					t.Fatalf("%d octets came as %d", n, len(got))
				}
			}
			big := udpPacket(src4, dst4, true, make([]byte, inner+1-28))
			a.queues[0].inject(big)
			if _, _, told := checkICMP(t, a.queues[0].want(t), big); told != inner {
				t.Errorf("ICMP says %d, want %d", told, inner)
			}
			a.queues[0].inject(tcpPacket(src4, dst4, 1, 2, []byte{2, 4, 0x05, 0xb4}, nil))
			if mss := int(binary.BigEndian.Uint16(b.queues[0].want(t)[42:])); mss != inner-40 {
				t.Errorf("MSS %d, want %d", mss, inner-40)
			}
			mu.Lock()
			defer mu.Unlock()
			if align := int(c.Format().Align); largest > mtu || largest <= mtu-align {
				t.Errorf("the largest outer packet has %d octets", largest)
			}
		})
	}
}

// TestProbesWithEveryCipher: the search for the path MTU finds the largest packet that passes.
func TestProbesWithEveryCipher(t *testing.T) {
	for _, c := range unusual {
		t.Run(c.String(), func(t *testing.T) {
			a, b, path := probing(t, 1400, nil)
			install(t, a, b, ciphered(childSA(t, a, b, 1), c))
			eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_probes"] == 2 })
			a.settle(t, path)
			a.pass(t, path, 15)
			a.wantMTU(t, 1, c.Format().InnerMTU(1400, false, true))
		})
	}
}
