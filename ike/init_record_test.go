package ike

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// TestInitRecord writes the data of half-open IKE SAs and reads them back.
func TestInitRecord(t *testing.T) {
	table := newPair(t, 1, nil).right.e.sas.halfOpen
	vendor := []wire.Payload{&wire.VendorID{Data: []byte("a credential")}, &wire.Notify{Kind: 16431, Data: []byte{0, 5}}}
	for _, text := range []string{"aes128gcm16-prfsha256-x25519", "aes256-sha512-prfsha512-modp2048"} {
		for _, extra := range [][]wire.Payload{nil, vendor} {
			p, err := suite.ParseIKEProposal(text)
			if err != nil {
				t.Fatal(err)
			}
			p.Number = 3
			size := suite.PublicSize(p.Transforms[len(p.Transforms)-1].ID)
			public, nonce, seed := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, nonceLen), bytes.Repeat([]byte{3}, 64)
			m := wire.Message{Header: wire.Header{InitiatorSPI: 77, MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true}, Payloads: []wire.Payload{
				&wire.SA{Proposals: []wire.Proposal{p}}, &wire.Nonce{Data: nonce}}}
			request := m.AppendTo(nil)
			h := &halfOpen{spi: 88, path: ipsec.UDPPath(netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500"))}
			h.announced = table.announced.keep(encodeAnnouncement(extra))
			h.setRequest(request, nonce, p)
			if h.setKey(public, bytes.Clone(seed)); !bytes.Equal(h.requestData(), request) || !bytes.Equal(h.nonce(), nonce) || !bytes.Equal(h.publicValue(), public) || !bytes.Equal(h.skeyseed(), seed) {
				t.Errorf("%s: got %x", text, h.data)
			}
			if got := h.chosen(); !reflect.DeepEqual(got, p) {
				t.Errorf("%s: chosen %v, want %v", text, got, p)
			}
			if got := h.spis(); got != (spiPair{77, 88}) {
				t.Errorf("%s: SPIs %v", text, got)
			}
			for n, childless := range []bool{false, true} {
				h.said = newInitSaid(initTerms{encap: EncapAlways, childless: childless})
				got, err := wire.Parse(table.response(h))
				if err != nil || len(got.Payloads) != 5+n+len(extra) || len(extra) > 0 && !reflect.DeepEqual(got.Payloads[5+n:], extra) {
					t.Errorf("%s: the response is %v, %v, want %v at its end", text, got, err, extra)
				}
			}
		}
	}
}

// TestAbilitiesOfRecord answers an announcement of abilities, and no other request, with ours.
func TestAbilitiesOfRecord(t *testing.T) {
	udp := ipsec.UDPPath(netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500"))
	stream := ipsec.NewPath(&ipsec.Transport{Stream: true}, udp.Local(), udp.Remote(), 1)
	for _, c := range []struct {
		what    string
		encap   EncapMode
		path    ipsec.Path
		request []wire.Payload
		want    abilities
	}{
		{"ours", EncapAuto, udp, ableUDP.payload(), ableUDP | ablePorts},
		{"of another culvert, with abilities that we do not know", EncapAuto, udp, abilities(0x80).payload(), ableUDP | ablePorts},
		{"none", EncapAuto, udp, nil, 0},
		{"another vendor's", EncapAuto, udp, []wire.Payload{&wire.VendorID{Data: []byte("somebody else's vendor ID")}}, 0},
		{"cut", EncapAuto, udp, []wire.Payload{&wire.VendorID{Data: []byte(abilitiesVendorID)}}, 0},
		{"encapsulation forbidden here", EncapNever, udp, ableUDP.payload(), 0},
		{"always encapsulated", EncapAlways, udp, ableUDP.payload(), ablePorts},
		{"on a stream", EncapAuto, stream, ableUDP.payload(), 0},
	} {
		h := halfOpen{path: c.path}
		if h.setTerms(initTerms{encap: c.encap}, c.request); h.able != c.want {
			t.Errorf("%s: the response announces %b, want %b", c.what, h.able, c.want)
		}
	}
}

// TestTermsOfRecord keeps what was announced.
func TestTermsOfRecord(t *testing.T) {
	supports := []wire.Payload{&wire.Notify{Kind: wire.FragmentationSupported}}
	for _, c := range []struct {
		size    int
		request []wire.Payload
		want    int
	}{{1280, supports, 1280}, {1280, nil, 0}, {0, supports, 0}, {1 << 20, supports, 65535}} {
		var h halfOpen
		if h.setTerms(initTerms{encap: EncapNever, fragment: c.size}, c.request); int(h.fragment) != c.want || h.said.encap() != EncapNever {
			t.Errorf("%d: fragments of %d, want %d", c.size, h.fragment, c.want)
		}
	}
}

// TestFragmentsAreAnnouncedInReturn: the response announces support of fragments if the request
// does and we are willing, and neither side sends fragments otherwise.
func TestFragmentsAreAnnouncedInReturn(t *testing.T) {
	for _, c := range []struct{ left, right int }{{0, 0}, {1280, 0}, {0, 1280}, {1280, 1280}} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].Fragment, p.right.peers[0].Fragment = c.left, c.right
		})
		said, link := map[bool]bool{}, p.link
		p.link = func(pk *testPacket) []time.Duration {
			if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKESAInit {
				_, said[pk.msg.hdr.Response] = wire.FindNotify(pk.msg.payloads, wire.FragmentationSupported)
			}
			return link(pk)
		}
		p.up()
		if both := c.left > 0 && c.right > 0; said[false] != (c.left > 0) || said[true] != both {
			t.Errorf("sizes %+v: the request announces it: %t, the response: %t", c, said[false], said[true])
		}
		for _, s := range []*testSide{p.left, p.right} {
			if size := s.main().keys.fragment; (size > 0) != (c.left > 0 && c.right > 0) {
				t.Errorf("sizes %+v: %s has fragments of %d", c, s.name, size)
			}
		}
	}
}
