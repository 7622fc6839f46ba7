package wire

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
)

// generator makes random payloads. Empty slices are nil, as in the parser's output.
type generator struct{ *rand.Rand }

func (g generator) octets(lo, hi int) []byte {
	n := lo + g.IntN(hi-lo+1)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) u8() uint8   { return uint8(g.Uint32()) }
func (g generator) u16() uint16 { return uint16(g.Uint32()) }
func (g generator) bool() bool  { return g.IntN(2) == 0 }

func (g generator) sa() *SA {
	sa := &SA{}
	for range 1 + g.IntN(4) {
		p := Proposal{Number: g.u8(), Protocol: ProtocolID(g.u8()), SPI: g.octets(0, 8)}
		for range g.IntN(6) {
			t := Transform{Type: TransformType(g.u8()), ID: TransformID(g.u16()), UnknownAttribute: g.bool()}
			if g.bool() {
				t.KeyLength = g.u16()
			}
			p.Transforms = append(p.Transforms, t)
		}
		sa.Proposals = append(sa.Proposals, p)
	}
	return sa
}

func (g generator) ts() *TS {
	ts := &TS{Responder: g.bool()}
	for range g.IntN(5) {
		n := 4
		if g.bool() {
			n = 16
		}
		start, _ := netip.AddrFromSlice(g.octets(n, n))
		end, _ := netip.AddrFromSlice(g.octets(n, n))
		ts.Selectors = append(ts.Selectors, TrafficSelector{Protocol: g.u8(), StartPort: g.u16(), EndPort: g.u16(), Start: start, End: end})
	}
	return ts
}

func (g generator) configuration() *Configuration {
	c := &Configuration{CFGType: CFGType(g.u8())}
	for range g.IntN(5) {
		c.Attributes = append(c.Attributes, ConfigAttribute{Type: ConfigAttributeType(100 + g.IntN(1000)), Value: g.octets(0, 20)})
	}
	return c
}

func (g generator) delete() *Delete {
	d := &Delete{Protocol: ProtoESP, SPISize: 4}
	for range g.IntN(5) {
		d.SPIs = append(d.SPIs, g.octets(4, 4))
	}
	return d
}

func (g generator) eap() *EAP {
	data := g.octets(5, 40)
	data[0], data[2], data[3] = eapRequest+g.u8()%2, 0, byte(len(data))
	return &EAP{Data: data}
}

// plain returns one payload of each type that may be anywhere in a message.
func (g generator) plain() []Payload {
	return []Payload{
		g.sa(), g.ts(), g.configuration(), g.delete(), g.eap(),
		&KE{Group: TransformID(g.u16()), Data: g.octets(0, 64)},
		&ID{Responder: g.bool(), IDType: IDType(20 + g.IntN(200)), Data: g.octets(0, 64)},
		&Cert{Encoding: CertEncoding(g.u8()), Data: g.octets(0, 64)},
		&CertReq{Encoding: CertEncoding(g.u8()), Data: g.octets(0, 64)},
		&Auth{Method: AuthMethod(g.u8()), Data: g.octets(0, 64)},
		&Nonce{Data: g.octets(MinNonceLen, MaxNonceLen)},
		&Notify{Protocol: ProtocolID(g.u8()), SPI: g.octets(0, 8), Kind: NotifyType(g.u16()), Data: g.octets(0, 64)},
		&VendorID{Data: g.octets(0, 64)},
		&Unknown{PayloadType: PayloadType(60 + g.IntN(190)), Critical: g.bool(), Body: g.octets(0, 64)},
	}
}

func (g generator) message() *Message {
	m := &Message{Header: Header{
		InitiatorSPI: SPI(g.Uint64() | 1), ResponderSPI: SPI(g.Uint64()), MajorVersion: 2, MinorVersion: g.u8() & 0xf, Exchange: ExchangeType(g.u8()),
		Initiator: g.bool(), Response: g.bool(), HigherVer: g.bool(), MessageID: g.Uint32(),
	}}
	m.Payloads = g.plain()
	g.Shuffle(len(m.Payloads), func(i, j int) { m.Payloads[i], m.Payloads[j] = m.Payloads[j], m.Payloads[i] })
	switch g.IntN(3) {
	case 0:
		m.Payloads = append(m.Payloads, &Encrypted{First: PayloadType(g.u8()), Body: g.octets(0, 64)})
	case 1:
		f := &EncryptedFragment{Number: 1 + g.u16()%9, Total: 9 + g.u16()%9, Body: g.octets(0, 64)}
		if f.Number == 1 {
			f.First = PayloadType(g.u8())
		}
		m.Payloads = append(m.Payloads, f)
	}
	return m
}

// Random messages of every payload type survive append and parse.
func TestRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for i := range 2000 {
		want := g.message()
		b := want.AppendTo([]byte("before"))[len("before"):]
		got, err := Parse(b)
		if err != nil {
			t.Fatalf("message %d %v: %v", i, want, err)
		}
		want.Length, want.NextPayload = uint32(len(b)), FirstType(want.Payloads)
		if got.Header != want.Header {
			t.Fatalf("message %d: got header %+v, want %+v", i, got.Header, want.Header)
		}
		for j, p := range want.Payloads {
			if !reflect.DeepEqual(got.Payloads[j], p) {
				t.Fatalf("message %d: got %+v, want %+v", i, got.Payloads[j], p)
			}
		}
		if again := got.AppendTo(nil); string(again) != string(b) {
			t.Fatalf("message %d: appended again\ngot  %x\nwant %x", i, again, b)
		}
	}
}

// A datagram cannot make the parser allocate many times its size.
func TestAllocationBound(t *testing.T) {
	proposals := &SA{Proposals: make([]Proposal, maxProposals)}
	full := Proposal{Transforms: make([]Transform, 255)}
	var small []Payload
	for range maxPayloads {
		small = append(small, &TS{})
	}
	for name, ps := range map[string][]Payload{
		"proposals":  {proposals},
		"transforms": {&SA{Proposals: []Proposal{full, full, full, full, full, full, full, full}}},
		"selectors":  {&TS{Selectors: make([]TrafficSelector, 255)}},
		"attributes": {&Configuration{Attributes: make([]ConfigAttribute, maxConfigAttributes)}},
		"SPIs":       {&Delete{Protocol: ProtoESP, SPISize: 4, SPIs: make([][]byte, 16000)}},
		"payloads":   small,
	} {
		if d, ok := ps[0].(*Delete); ok {
			for i := range d.SPIs {
				d.SPIs[i] = make([]byte, 4)
			}
		}
		b := (&Message{Header: Header{InitiatorSPI: 1}, Payloads: ps}).AppendTo(nil)
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := Parse(b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > uint64(40*len(b)) {
			t.Errorf("%s: %d octets allocated for a datagram of %d", name, got, len(b))
		}
	}
}
