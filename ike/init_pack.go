package ike

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// A half-open IKE SA keeps its request octet by octet, because AUTH covers it (RFC 7296, Section
// 2.15). Most of it is the offer, in words that all requests have in common. So it is kept packed,
// as a sequence of runs and copies:
//
//	0nnnnnnn, n+1 octets      these octets
//	1nnnnnnn, d in 2 octets   n+minCopy octets from d octets back, which may overlap
//
// What lies before the first octet is our own request with the default proposals, and the hashes of
// NAT detection that a caller without a NAT would send. The SPI at the beginning is not packed.
// Packing takes time in proportion to the length of the request, and makes it longer by one octet
// in 128 at most.

const (
	spiLen  = 8
	maxRun  = 1 << 7
	minCopy = 4
	maxCopy = minCopy + 1<<7 - 1
)

// packBefore is what lies before a request, and where its words are.
type packBefore struct {
	data []byte
	seen packTable
}

// A packTable has, by a hash of four octets, the place after the one where they were seen; 0: they
// were not.
type packTable [1 << 10]uint16

var packOurs = sync.OnceValue(func() *packBefore {
	// The octets of keys and hashes are like none that requests have in common.
	random := func(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }
	m := wire.Message{Header: wire.Header{Exchange: wire.IKESAInit, Initiator: true}, Payloads: []wire.Payload{
		&wire.SA{Proposals: suite.DefaultIKEProposals()},
		&wire.KE{Group: wire.GroupX25519, Data: random(suite.PublicSize(wire.GroupX25519))}, &wire.Nonce{Data: random(nonceLen)},
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: random(20)}, &wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: random(20)},
		&wire.Notify{Kind: wire.FragmentationSupported}, &wire.VendorID{Data: ableUDP.octets()},
	}}
	p := &packBefore{data: m.AppendTo(nil)[spiLen:]}
	for at := len(p.data) - minCopy; at >= 0; at-- { // the first place counts
		p.seen.swap(p.data, at)
	}
	return p
})

// swap returns where the four octets were seen that are at a place, or -1, and notes this place.
func (t *packTable) swap(b []byte, at int) (before int) {
	slot := &t[binary.BigEndian.Uint32(b[at:])*0x9e3779b1>>22]
	before, *slot = int(*slot)-1, uint16(at+1)
	return before
}

// packRequest returns a request of at most maxInit octets in packed form. It needs least where the
// hashes are in the request.
func packRequest(request, hashes []byte) []byte {
	p := packOurs()
	seen, all := p.seen, slices.Concat(p.data, hashes, request[spiLen:])
	packed := append(make([]byte, 0, len(request)/2), request[:spiLen]...)
	run := len(p.data) + len(hashes) // the first octet that is not packed yet
	for at := len(p.data); at+minCopy <= run; at++ {
		seen.swap(all, at)
	}
	for at := run; at+minCopy <= len(all); {
		n, from := 0, seen.swap(all, at)
		for from >= 0 && at+n < len(all) && all[from+n] == all[at+n] {
			n++
		}
		if n < minCopy {
			at++
			continue
		}
		packed = appendRuns(packed, all[run:at])
		for run = at; n >= minCopy; n -= run - at {
			at = run
			run += min(n, maxCopy)
			packed = append(packed, 1<<7|byte(run-at-minCopy))
			packed = binary.BigEndian.AppendUint16(packed, uint16(at-from))
			from += run - at
		}
		at = run
	}
	return appendRuns(packed, all[run:])
}

func appendRuns(packed, data []byte) []byte {
	for run := range slices.Chunk(data, maxRun) {
		packed = append(append(packed, byte(len(run)-1)), run...)
	}
	return packed
}

// unpackRequest returns the request that packRequest packed with the same hashes.
func unpackRequest(packed, hashes []byte) []byte {
	ours := packOurs().data
	before := len(ours) + len(hashes)
	all := append(append(make([]byte, 0, 2*before+len(packed)), ours...), hashes...)
	spi, packed := packed[:spiLen], packed[spiLen:]
	for len(packed) > 0 {
		n := int(packed[0] &^ (1 << 7))
		if packed[0]>>7 == 0 {
			all = append(all, packed[1:n+2]...)
			packed = packed[n+2:]
			continue
		}
		back := int(binary.BigEndian.Uint16(packed[1:]))
		for n += minCopy; n > 0; n -= min(n, back) {
			from := len(all) - back
			all = append(all, all[from:from+min(n, back)]...)
		}
		packed = packed[3:]
	}
	return slices.Concat(spi, all[before:])
}
