package selector

import (
	"bytes"
	"errors"
	"testing"
)

// The quoted packets go from the far side to ours, so that the error goes the other way.
const (
	quoted4   = "45000514 1234 0000 01110000" + dst4 + src4
	quoted4s  = "47000514 1234 0000 01110000" + dst4 + src4 + "01010101 01010100"
	quoted6   = "60000000 04ec 11 01" + dst6 + src6
	quoted6h  = "60000000 04ec 00 01" + dst6 + src6 + "2c00 0104 0000 0000 1100 0001 0000 0007"
	quotePort = "1389 c000"
)

func error4(t testing.TB, kind, quote string) []byte {
	return v4(t, "00", "0000", "01", kind+"0000 00000000"+quote)
}

func error6(t testing.TB, kind, quote string) []byte { return v6(t, "3a", kind+"0000 00000000"+quote) }

func TestParseQuote(t *testing.T) {
	for _, c := range []struct {
		name  string
		pkt   []byte
		ports bool // 5001 and 49152, or unknown
		proto uint8
	}{
		{"v4 unreachable", error4(t, "0303", quoted4+quotePort+"0008 0000"), true, ProtoUDP},
		{"v4 options", error4(t, "0b00", quoted4s+quotePort+"0008 0000"), true, ProtoUDP},
		{"v4 no ports", error4(t, "0c00", quoted4), false, ProtoUDP},
		{"v4 half of the ports", error4(t, "0400", quoted4+"1389 c0"), false, ProtoUDP},
		{"v4 later fragment", error4(t, "0b01", "45000514 1234 00b9 01110000"+dst4+src4+quotePort), false, ProtoUDP},
		{"v4 first fragment", error4(t, "0b01", "45000514 1234 2000 01110000"+dst4+src4+quotePort), true, ProtoUDP},
		{"v6 too big", error6(t, "0200", quoted6+quotePort+"0008 0000"), true, ProtoUDP},
		{"v6 extension headers", error6(t, "0100", quoted6h+quotePort), true, ProtoUDP},
		{"v6 no ports", error6(t, "0300", quoted6h), false, ProtoUDP},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p, q Packet
			if err := ParsePacket(c.pkt, &p); err != nil {
				t.Fatal(err)
			}
			if !p.ICMPError() {
				t.Fatal("it is not taken for an error")
			}
			if err := p.ParseQuote(c.pkt, &q); err != nil {
				t.Fatal(err)
			}
			want := Flow{Src: p.Dst, Dst: p.Src, Protocol: c.proto, PortsUnknown: !c.ports}
			if c.ports {
				want.SrcPort, want.DstPort = 5001, 49152
			}
			if q.Flow != want {
				t.Errorf("got %+v, want %+v", q.Flow, want)
			}
		})
	}
}

func TestICMPErrorTypes(t *testing.T) {
	errors4 := map[byte]bool{3: true, 4: true, 11: true, 12: true}
	for kind := range 256 {
		var p Packet
		pkt := error4(t, "0004", quoted4)
		pkt[20] = byte(kind)
		if err := ParsePacket(pkt, &p); err != nil {
			t.Fatal(err)
		}
		if p.ICMPError() != errors4[byte(kind)] || p.ICMPTooBig() != (kind == 3) {
			t.Errorf("ICMP type %d code 4: error %v, too big %v", kind, p.ICMPError(), p.ICMPTooBig())
		}
		pkt = error6(t, "0000", quoted6)
		pkt[40] = byte(kind)
		if err := ParsePacket(pkt, &p); err != nil {
			t.Fatal(err)
		}
		if p.ICMPError() != (kind >= 1 && kind <= 4) || p.ICMPTooBig() != (kind == 2) {
			t.Errorf("ICMPv6 type %d: error %v, too big %v", kind, p.ICMPError(), p.ICMPTooBig())
		}
	}
	for name, pkt := range map[string][]byte{
		"port unreachable":       error4(t, "0303", quoted4),
		"a fragment":             v4(t, "00", "2000", "01", "0304 0000 00000000"+quoted4),
		"UDP":                    v4(t, "00", "0000", "11", "0304 0000 00000000"+quoted4),
		"ICMPv6 in IPv4":         v4(t, "00", "0000", "3a", "0200 0000 00000000"+quoted4),
		"ICMP in IPv6":           v6(t, "01", "0304 0000 00000000"+quoted6),
		"a type without a code":  v4(t, "00", "0000", "01", "03"),
		"an IPv6 fragment of it": v6(t, "2c", "3a00 0001 0000 0007 0200 0000 00000000"+quoted6),
	} {
		var p Packet
		if err := ParsePacket(pkt, &p); err != nil {
			t.Fatal(err)
		}
		if p.ICMPTooBig() {
			t.Errorf("%s is taken for a too big", name)
		}
	}
}

func TestParseQuoteHostile(t *testing.T) {
	for _, c := range []struct {
		name string
		pkt  []byte
		want error
	}{
		{"no quote", error4(t, "0303", ""), ErrTruncated},
		{"ICMP header cut", v4(t, "00", "0000", "01", "0303 0000 00"), ErrTruncated},
		{"one octet", error4(t, "0303", "45"), ErrTruncated},
		{"IPv4 header cut", error4(t, "0303", "45000514 1234 0000 01110000"+dst4+"0a0100"), ErrTruncated},
		{"IPv4 options cut", error4(t, "0303", "47000514 1234 0000 01110000"+dst4+src4+"010101"), ErrTruncated},
		{"IPv6 in IPv4", error4(t, "0303", quoted6), ErrVersion},
		{"IPv4 in IPv6", error6(t, "0100", quoted4), ErrVersion},
		{"version 0", error4(t, "0303", "05000514"+quoted4[8:]), ErrVersion},
		{"IHL 4", error4(t, "0303", "44000514"+quoted4[8:]), ErrHeader},
		{"total length below the header", error4(t, "0303", "45000013"+quoted4[8:]), ErrHeader},
		{"fragment beyond any datagram", error4(t, "0303", "45000514 1234 1fff 01110000"+dst4+src4), ErrFragment},
		{"IPv6 header cut", error6(t, "0100", "60000000 04ec 11 01"+dst6+src6[:30]), ErrTruncated},
		{"IPv6 extension header cut", error6(t, "0100", "60000000 04ec 00 01"+dst6+src6+"11"), ErrTruncated},
		{"IPv6 extension header longer than the quote", error6(t, "0100", "60000000 04ec 00 01"+dst6+src6+"11ff 0104 0000 0000"), ErrTruncated},
		{"4-in-6", error6(t, "0100", "60000000 04ec 11 01 00000000000000000000ffff0a020002"+src6+quotePort), ErrAddress},
	} {
		var p, q Packet
		if err := ParsePacket(c.pkt, &p); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := p.ParseQuote(c.pkt, &q); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzParseQuote: whatever an error quotes, what is read of it is what ParsePacket reads of the
// whole packet, of which the quote is the front.
func FuzzParseQuote(f *testing.F) {
	f.Add(error4(f, "0303", quoted4+quotePort+"0008 0000"))
	f.Add(error4(f, "0b00", quoted4s+quotePort))
	f.Add(error6(f, "0200", quoted6h+quotePort))
	f.Add(error6(f, "0100", quoted6))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		var p, q Packet
		if ParsePacket(pkt, &p) != nil || !p.ICMPError() || p.ParseQuote(pkt, &q) != nil {
			return
		}
		quote := bytes.Clone(pkt[p.Upper+8 : p.TotalLen])
		if q.Version != p.Version || q.HeaderLen > q.Upper || q.Upper > len(quote) || q.PortsUnknown && q.SrcPort|q.DstPort != 0 {
			t.Fatalf("%+v of %x", q, quote)
		}
		if q.TotalLen > len(quote) {
			quote = append(quote, make([]byte, q.TotalLen-len(quote))...)
		}
		var whole Packet
		if err := ParsePacket(quote, &whole); err != nil {
			t.Fatalf("the whole packet: %v; quoted: %+v", err, q)
		}
		if q.PortsUnknown {
			whole.PortsUnknown, whole.SrcPort, whole.DstPort = true, 0, 0
		}
		if whole != q {
			t.Fatalf("quoted %+v\nwhole  %+v", q, whole)
		}
	})
}
