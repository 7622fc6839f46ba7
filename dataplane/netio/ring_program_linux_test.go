package netio

import (
	"encoding/binary"
	"testing"

	"culvert/internal/netlab"
)

// protocolAt is the offset of the protocol in the header of a family.
var protocolAt = map[bool]int{false: protoOffset4, true: protoOffset6}

// espFrame returns a packet of IP protocol 50 as a device has it.
func espFrame(v6 bool, spi uint32, size int) []byte {
	d := datagram{src: at(addrA[v6], 0), dst: at(addrB[v6], 0), hops: 64}
	b := make([]byte, headerEthernet, headerEthernet+headerIPv6+size)
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	header := d.header(size, 0, false, false)
	header[protocolAt[v6]] = protoESP
	if v6 {
		binary.BigEndian.PutUint16(b[12:], etherIPv6)
	}
	b = append(append(b, header...), espPacket(spi, size)...)
	sumHeader(b)
	return b
}

// sumHeader sets the checksum of an IPv4 header behind an Ethernet header.
func sumHeader(b []byte) {
	if binary.BigEndian.Uint16(b[12:]) != etherIPv4 {
		return
	}
	header := b[headerEthernet:][:headerIPv4]
	header[10], header[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < headerIPv4; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
}

// newTestMaps loads the program for one worker and the addresses of b.
func newTestMaps(t *testing.T) *inletMaps {
	t.Helper()
	netlab.Need(t)
	b, err := newBell()
	if err != nil {
		t.Skip("no BPF ring buffers here: ", err)
	}
	t.Cleanup(b.close)
	needPrograms(t)
	m, err := newInletMaps([]*bell{b}, "", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	for _, a := range addrB {
		if err := m.ours.Put(a.As16(), uint32(1)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestProgramTakesOnlyOurs: the program takes whole packets of live SPIs to our addresses, and
// nothing else, whatever their headers say.
func TestProgramTakesOnlyOurs(t *testing.T) {
	m := newTestMaps(t)
	run := func(frame []byte) uint32 {
		t.Helper()
		verdict, _, err := m.program.Test(frame)
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	const spi, next = 1000, 1<<32 - 1 // tcxNext
	m.table.know(spi)
	if got := run(espFrame(false, spi, 100)); got != next {
		t.Errorf("without a ring: %d", got)
	}
	r, err := m.addRing(0)
	if err != nil {
		t.Fatal(err)
	}
	taken := uint64(0)
	for _, v6 := range []bool{false, true} {
		ip, protocol := headerEthernet, protocolAt[v6]
		for name, tt := range map[string]struct {
			size   int
			change func(b []byte)
			want   uint32
		}{
			"ours":              {100, func([]byte) {}, tcxDrop},
			"the shortest":      {leastESP, func([]byte) {}, tcxDrop},
			"the largest":       {ringPacket, func([]byte) {}, tcxDrop},
			"too short":         {leastESP - 1, func([]byte) {}, next},
			"too large":         {ringPacket + 1, func([]byte) {}, next},
			"another SPI":       {100, func(b []byte) { b[len(b)-97]++ }, next},
			"another address":   {100, func(b []byte) { b[len(b)-101]++ }, next},
			"another protocol":  {100, func(b []byte) { b[ip+protocol]++ }, next},
			"another EtherType": {100, func(b []byte) { b[13]++ }, next},
			"for another host":  {100, func(b []byte) { b[0] = 2 }, next},
			"another version":   {100, func(b []byte) { b[ip] += 0x10 }, next},
			"longer than it is": {100, func(b []byte) { b[ip+3]++; b[ip+5]++ }, next},
		} {
			frame := espFrame(v6, spi, tt.size)
			tt.change(frame)
			sumHeader(frame)
			if got := run(frame); got != tt.want {
				t.Errorf("v6=%t, %s: verdict %d, want %d", v6, name, got, tt.want)
			}
			if tt.want == tcxDrop {
				taken++
			}
		}
	}
	for name, change := range map[string]func(b []byte){
		"the first fragment": func(b []byte) { b[headerEthernet+6] = 0x20 },
		"a later fragment":   func(b []byte) { b[headerEthernet+7] = 1 },
		"options":            func(b []byte) { b[headerEthernet]++ },
	} {
		frame := espFrame(false, spi, 100)
		change(frame)
		if sumHeader(frame); run(frame) != next {
			t.Errorf("%s is taken", name)
		}
	}
	for source := range 1 << 9 { // sums that carry, also twice
		frame := espFrame(false, spi, 100)
		frame[headerEthernet+12], frame[headerEthernet+13] = 0xff, byte(source)
		frame[headerEthernet+14] = byte(source >> 1)
		sumHeader(frame)
		if run(frame) != tcxDrop {
			t.Fatalf("not taken: % x", frame[:headerEthernet+headerIPv4])
		}
		taken++
		for _, at := range []int{1, 8, 10, 11, 15} {
			frame[headerEthernet+at] ^= 4
			if run(frame) != next {
				t.Fatalf("taken with a wrong checksum: % x", frame[:headerEthernet+headerIPv4])
			}
			frame[headerEthernet+at] ^= 4
		}
	}
	if got := word(r.mem, ringHead).Load(); got != taken {
		t.Errorf("%d are in the ring, want %d", got, taken)
	}
}
