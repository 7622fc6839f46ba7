package gso

import (
	"bytes"
	"encoding/binary"
	"slices"

	"culvert/selector"
)

// What the Coalescer[*source] is checked against: the slowest code there is, that shares nothing
// with it. It asks of every packet whether those gathered so far and it, made one super-packet and
// cut again, come out as they went in. What such a packet says otherwise (checksums,
// identification, flags, lengths) then needs no rule of its own.

// source stands for the SA that a packet came by.
type source struct{ _ int }

// arrivedPacket is a packet and the SA that it came by.
type arrivedPacket struct {
	By  *source
	Pkt []byte
}

// slowGroups is which packets of a batch go together, flow by flow. A fragment ends every group, as
// it may belong to any.
func slowGroups(in []arrivedPacket) (groups [][]arrivedPacket) {
	open := map[selector.Flow]int{} // the group that the flow's next packet may join
	for _, p := range in {
		flow, err := selector.ParseFlow(p.Pkt)
		at, ok := open[flow]
		switch {
		case slowFragment(p.Pkt):
			clear(open)
			groups = append(groups, []arrivedPacket{p})
			continue
		case err == nil && ok && slowJoins(groups[at], p):
			groups[at] = append(groups[at], p)
			continue
		}
		open[flow] = len(groups)
		groups = append(groups, []arrivedPacket{p})
	}
	return groups
}

// slowHeaders is where the upper-layer header and the payload of a packet begin that Linux's GRO
// looks at: TCP or UDP, right behind a header without options or extensions.
func slowHeaders(pkt []byte) (upper, payload int, udp, ok bool) {
	proto := byte(0)
	if pkt[0]>>4 == 4 {
		upper, proto = 20, pkt[9]
		if pkt[0] != 0x45 || pkt[6] != 0 && pkt[6] != 0x40 || pkt[7] != 0 {
			return 0, 0, false, false
		}
	} else {
		upper, proto = 40, pkt[6]
	}
	switch {
	case proto == 17 && len(pkt) >= upper+8:
		return upper, upper + 8, true, true
	case proto == 6 && len(pkt) >= upper+20:
		payload = upper + int(pkt[upper+12]>>4)*4
		return upper, payload, false, payload >= upper+20
	}
	return 0, 0, false, false
}

func slowFragment(pkt []byte) bool {
	var hdr selector.Packet
	return selector.ParsePacket(pkt, &hdr) == nil && hdr.Fragment != selector.NotFragment
}

// slowMay reports whether a packet may be in a super-packet at all: it has payload; TCP says
// nothing by its flags that is for one packet only; UDP has a checksum.
func slowMay(pkt []byte) bool {
	upper, payload, udp, ok := slowHeaders(pkt)
	if !ok || len(pkt) <= payload {
		return false
	}
	if udp {
		return pkt[upper+6] != 0 || pkt[upper+7] != 0
	}
	const syn, rst, urg, cwr = 0x02, 0x04, 0x20, 0x80
	return pkt[upper+13]&(syn|rst|urg|cwr) == 0
}

// slowJoins reports whether p may be the next of a group.
func slowJoins(group []arrivedPacket, p arrivedPacket) bool {
	if len(group) == maxGathered || group[0].By != p.By || !slowMay(p.Pkt) || !slowMay(group[0].Pkt) {
		return false
	}
	var pkts [][]byte
	for _, q := range append(slices.Clone(group), p) {
		pkts = append(pkts, q.Pkt)
	}
	for _, step := range []uint16{0, 1} {
		if cut := slowCut(slowMerge(pkts), pkts[0], step); cut != nil && slices.EqualFunc(cut, pkts, sameNumbers) {
			return true
		}
	}
	return false
}

// slowMerge is the super-packet: the first one's header, with the last one's FIN and PSH, and all
// payload.
func slowMerge(pkts [][]byte) []byte {
	upper, _, udp, _ := slowHeaders(pkts[0])
	whole := bytes.Clone(pkts[0])
	for _, p := range pkts[1:] {
		_, payload, _, _ := slowHeaders(p)
		whole = append(whole, p[payload:]...)
	}
	if last := pkts[len(pkts)-1]; !udp {
		whole[upper+13] |= last[upper+13] & 0x09
	}
	return whole
}

// slowCut cuts whole into packets with as much payload as first, the identifications step apart;
// nil if there can be no such super-packet.
func slowCut(whole, first []byte, step uint16) (cut [][]byte) {
	upper, payload, udp, _ := slowHeaders(first)
	v4 := whole[0]>>4 == 4
	if len(whole) > MaxPacket || v4 && step == 0 && whole[6] != 0x40 {
		return nil
	}
	for i, data := range slices.Collect(slices.Chunk(whole[payload:], len(first)-payload)) {
		p := append(bytes.Clone(whole[:payload]), data...)
		if v4 {
			binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
			binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(whole[4:])+step*uint16(i))
		} else {
			binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		}
		if udp {
			binary.BigEndian.PutUint16(p[upper+4:], uint16(len(p)-upper))
		} else {
			binary.BigEndian.PutUint32(p[upper+4:], binary.BigEndian.Uint32(whole[upper+4:])+uint32(i*(len(first)-payload)))
			if payload+(i+1)*(len(first)-payload) < len(whole) {
				p[upper+13] &^= 0x09
			}
		}
		fixSums(p)
		cut = append(cut, p)
	}
	return cut
}

// sameNumbers reports whether two packets are equal, where a checksum may be either of the two
// zeros of one's complement.
func sameNumbers(a, b []byte) bool { return bytes.Equal(oneZero(a), oneZero(b)) }

func oneZero(pkt []byte) []byte {
	b := bytes.Clone(pkt)
	var fields []int
	if b[0]>>4 == 4 {
		fields = append(fields, 10)
	}
	if upper, _, udp, ok := slowHeaders(b); ok && !udp {
		fields = append(fields, upper+16)
	}
	for _, at := range fields {
		if b[at] == 0xff && b[at+1] == 0xff {
			b[at], b[at+1] = 0, 0
		}
	}
	return b
}
