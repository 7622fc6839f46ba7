package esp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"culvert/internal/ipheader"
	"culvert/internal/packettest"
)

// RFC 6040, Figure 4, as it is printed: rows are the inner field, columns the outer one.
var figure4 = map[uint8][4]string{
	notECT: {"Not-ECT", "Not-ECT(!!!)", "Not-ECT(!!!)", "<drop>(!!!)"},
	ect0:   {"ECT(0)", "ECT(0)", "ECT(1)", "CE"},
	ect1:   {"ECT(1)", "ECT(1) (!)", "ECT(1)", "CE"},
	ce:     {"CE", "CE", "CE(!!!)", "CE"},
}

func TestDecapTOS(t *testing.T) {
	names := map[uint8]string{notECT: "Not-ECT", ect0: "ECT(0)", ect1: "ECT(1)", ce: "CE"}
	for inner, row := range figure4 {
		for column, outer := range []uint8{notECT, ect0, ect1, ce} {
			// The DSCPs differ, and the inner one stays.
			tos, drop, alarm := DecapTOS(0xb8|inner, 0x48|outer)
			got := names[tos&ecnMask]
			if drop {
				got = "<drop>"
			}
			switch {
			case alarm && inner == ect1:
				got += " (!)"
			case alarm:
				got += "(!!!)"
			}
			if got != row[column] {
				t.Errorf("inner %s, outer %s: %s, want %s", names[inner], names[outer], got, row[column])
			}
			if tos&^ecnMask != 0xb8 {
				t.Errorf("inner %s, outer %s: DSCP became %#x", names[inner], names[outer], tos)
			}
		}
	}
}

func TestOuterTOS(t *testing.T) {
	for tos := range 256 {
		if got := OuterTOS(uint8(tos)); got != uint8(tos) {
			t.Errorf("OuterTOS(%#x) = %#x", tos, got)
		}
	}
}

// checksum returns the checksum of an IPv4 header, whatever its checksum field holds.
func checksum(header []byte) uint16 {
	rest := header[ipheader.IPv4Checksum+2:]
	return ^packettest.Fold(packettest.Sum16(header[:ipheader.IPv4Checksum]) + packettest.Sum16(rest))
}

func TestApplyECN(t *testing.T) {
	header4 := unhex(t, "4500 0054 a6f2 4000 4001 0000 c6336405 c0000205")
	header6 := unhex(t, "6001 2345 0000 3b40 20010db8000100000000000000000001 20010db8000200000000000000000002")
	for inner := range 256 {
		for outer := range 256 {
			pkt4, pkt6 := bytes.Clone(header4), bytes.Clone(header6)
			pkt4[1] = uint8(inner)
			binary.BigEndian.PutUint16(pkt4[ipheader.IPv4Checksum:], checksum(pkt4))
			pkt6[0], pkt6[1] = 0x60|uint8(inner)>>4, uint8(inner)<<4|1
			before4, before6 := bytes.Clone(pkt4), bytes.Clone(pkt6)

			want, wantDrop, wantAlarm := DecapTOS(uint8(inner), uint8(outer))
			for _, pkt := range [][]byte{pkt4, pkt6} {
				if drop, alarm := ApplyECN(pkt, uint8(outer)); drop != wantDrop || alarm != wantAlarm {
					t.Fatalf("inner %#x, outer %#x: drop %v, alarm %v", inner, outer, drop, alarm)
				}
			}
			if wantDrop {
				want = uint8(inner)
			}
			before4[1] = want
			before6[0], before6[1] = 0x60|want>>4, want<<4|1
			copy(before4[ipheader.IPv4Checksum:], pkt4[ipheader.IPv4Checksum:])
			if !bytes.Equal(pkt4, before4) || !bytes.Equal(pkt6, before6) {
				t.Fatalf("inner %#x, outer %#x: more than the octet changed:\n%x\n%x", inner, outer, pkt4, pkt6)
			}
			if got := binary.BigEndian.Uint16(pkt4[ipheader.IPv4Checksum:]); got != checksum(pkt4) {
				t.Fatalf("inner %#x, outer %#x: checksum %#x, want %#x", inner, outer, got, checksum(pkt4))
			}
		}
	}
}
