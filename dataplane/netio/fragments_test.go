package netio

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/internal/packettest"
)

func testDatagram(v6 bool) datagram {
	d := datagram{src: netip.MustParseAddrPort("192.0.2.1:500"), dst: netip.MustParseAddrPort("198.51.100.2:4500"),
		tos: 0xc0, hops: 63, id: 0x12345678}
	if v6 {
		d.src, d.dst = netip.MustParseAddrPort("[2001:db8::1]:500"), netip.MustParseAddrPort("[fd00::2]:4500")
	}
	return d
}

// The headers, octet by octet.
func TestFragmentHeaders(t *testing.T) {
	const from4, from6 = "c0000201" + "c6336402", "20010db8000000000000000000000001" + "fd000000000000000000000000000002"
	for _, tt := range []struct {
		name string
		v6   bool
		size int
		want []string // each packet's IP headers
	}{
		{"IPv4, whole", false, 20 + 8 + 20, []string{"45c0" + "0030" + "5678" + "0000" + "3f11" + "384e" + from4}},
		{"IPv4", false, 20 + 8 + 19, []string{"45c0" + "002c" + "5678" + "2000" + "3f11" + "1852" + from4, "45c0" + "0018" + "5678" + "0003" + "3f11" + "3863" + from4}},
		{"IPv6, whole", true, 40 + 8 + 20, []string{"6c000000" + "001c" + "113f" + from6}},
		{"IPv6", true, 40 + 8 + 19, []string{
			"6c000000" + "0018" + "2c3f" + from6 + "1100" + "0001" + "12345678",
			"6c000000" + "0014" + "2c3f" + from6 + "1100" + "0010" + "12345678"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := testDatagram(tt.v6)
			packets, err := d.packets(make([]byte, 20), tt.size)
			if err != nil || len(packets) != len(tt.want) {
				t.Fatalf("%d packets, %v; want %d", len(packets), err, len(tt.want))
			}
			for i, p := range packets {
				want, err := hex.DecodeString(tt.want[i])
				if err != nil {
					t.Fatal(err)
				}
				if got := p[:min(len(p), len(want))]; !bytes.Equal(got, want) {
					t.Errorf("packet %d: %x, want %x", i, got, want)
				}
			}
		})
	}
}

// For any sizes, no packet is larger than the limit, all but the last are as large as possible, and
// together they are the datagram with a correct checksum.
func TestFragmentsMakeTheDatagram(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 1000 {
		v6 := round%2 == 1
		least := 28
		if v6 {
			least = 56
		}
		data := make([]byte, rnd.IntN(3000))
		if round%200 < 2 {
			data = make([]byte, 60000+rnd.IntN(5000))
		}
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		checkFragments(t, v6, data, least+rnd.IntN(1600))
	}
}

func FuzzFragments(f *testing.F) {
	f.Add(false, []byte("an IKE message"), 28)
	f.Add(true, make([]byte, 1500), 1280)
	f.Fuzz(func(t *testing.T, v6 bool, data []byte, size int) {
		if v6 && size < 56 || size < 28 || len(data) > 65000 {
			return
		}
		checkFragments(t, v6, data, size)
	})
}

func checkFragments(t *testing.T, v6 bool, data []byte, size int) {
	t.Helper()
	d := testDatagram(v6)
	packets, err := d.packets(data, size)
	if err != nil {
		t.Fatalf("v6=%t, %d octets in %d: %v", v6, len(data), size, err)
	}
	for i, p := range packets {
		if len(p) > size {
			t.Fatalf("v6=%t, %d octets in %d: packet %d has %d", v6, len(data), size, i, len(p))
		}
		if i < len(packets)-1 && len(p)+8 <= size {
			t.Fatalf("v6=%t, %d octets in %d: packet %d has but %d", v6, len(data), size, i, len(p))
		}
	}
	udp := reassemble(t, v6, packets)
	if want := []byte{500 >> 8, 500 & 0xff, 4500 >> 8, 4500 & 0xff, byte((len(data) + 8) >> 8), byte(len(data) + 8)}; !bytes.Equal(udp[:6], want) {
		t.Fatalf("UDP header %x, want %x", udp[:6], want)
	}
	if !bytes.Equal(udp[8:], data) {
		t.Fatalf("v6=%t, %d octets in %d: another datagram", v6, len(data), size)
	}
	pseudo := append(d.src.Addr().AsSlice(), d.dst.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, 17, udp[4], udp[5])
	if sum := packettest.Fold(packettest.Sum16(append(pseudo, udp...))); sum != 0xffff || binary.BigEndian.Uint16(udp[6:]) == 0 {
		t.Fatalf("v6=%t, %d octets in %d: a wrong checksum %x", v6, len(data), size, udp[6:8])
	}
}

// reassemble joins fragments, which are in order, and checks their headers.
func reassemble(t *testing.T, v6 bool, packets [][]byte) (udp []byte) {
	t.Helper()
	var id []byte
	for i, p := range packets {
		offset, more, part, name := fragmentOf(t, v6, p)
		if offset != len(udp) || more != (i < len(packets)-1) {
			t.Fatalf("v6=%t: fragment %d of %d at %d, more %t, after %d octets", v6, i, len(packets), offset, more, len(udp))
		}
		if i > 0 && !bytes.Equal(name, id) {
			t.Fatalf("v6=%t: fragment %d is of %x, the one before of %x", v6, i, name, id)
		}
		id = name
		udp = append(udp, part...)
	}
	if len(udp) < 8 {
		t.Fatalf("v6=%t: a datagram of %d octets", v6, len(udp))
	}
	return udp
}

// fragmentOf returns a packet's part of a UDP datagram and its offset.
func fragmentOf(t *testing.T, v6 bool, p []byte) (offset int, more bool, part, id []byte) {
	t.Helper()
	switch {
	case !v6 && p[0] == 0x45 && p[9] == 17 && int(binary.BigEndian.Uint16(p[2:])) == len(p) && packettest.Fold(packettest.Sum16(p[:20])) == 0xffff && p[6]&0xc0 == 0:
		return int(binary.BigEndian.Uint16(p[6:])&0x1fff) * 8, p[6]&0x20 != 0, p[20:], p[4:6]
	case v6 && p[6] == 17 && int(binary.BigEndian.Uint16(p[4:])) == len(p)-40:
		return 0, false, p[40:], nil
	case v6 && p[6] == 44 && p[40] == 17 && p[41] == 0 && int(binary.BigEndian.Uint16(p[4:])) == len(p)-40 && p[43]&6 == 0:
		return int(binary.BigEndian.Uint16(p[42:]) &^ 7), p[43]&1 != 0, p[48:], p[44:48]
	}
	t.Fatalf("v6=%t: headers of %x", v6, p[:min(len(p), 48)])
	return 0, false, nil, nil
}

// A checksum of zero is sent as all ones, because zero means that there is none.
func TestFragmentChecksumIsNeverZero(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		d := testDatagram(v6)
		data := make([]byte, 2)
		packets, err := d.packets(data, 1280)
		if err != nil {
			t.Fatal(err)
		}
		copy(data, reassemble(t, v6, packets)[6:]) // the sum of all else is then all ones
		checkFragments(t, v6, data, 1280)
	}
}

func TestFragmentsThatCannotBe(t *testing.T) {
	for v6, size := range map[bool]int{false: 28, true: 56} {
		d := testDatagram(v6)
		for _, n := range []int{size - 1, 0, -1} {
			if p, err := d.packets(make([]byte, 100), n); !errors.Is(err, errSmallFragments) {
				t.Errorf("v6=%t: %d packets of %d octets, %v", v6, len(p), n, err)
			}
		}
		most := 65535 - 8
		if !v6 {
			most -= 20
		}
		if _, err := d.packets(make([]byte, most), 1280); err != nil {
			t.Errorf("v6=%t: %d octets: %v", v6, most, err)
		}
		if _, err := d.packets(make([]byte, most+1), 1280); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("v6=%t: %d octets: %v, want EMSGSIZE", v6, most+1, err)
		}
	}
}
