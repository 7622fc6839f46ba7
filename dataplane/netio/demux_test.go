package netio

import (
	"bytes"
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
)

// espPath returns a path of ESP, encapsulated or not.
func espPath(encap bool, local, remote netip.AddrPort) ipsec.Path {
	if encap {
		return ipsec.NATPath(local, remote)
	}
	return ipsec.RawPath(local.Addr(), remote.Addr())
}

// ikePath returns a path of IKE, from the NAT port or the IKE port.
func ikePath(natPort bool, local, remote netip.AddrPort) ipsec.Path {
	if natPort {
		return ipsec.NATPath(local, remote)
	}
	return ipsec.UDPPath(local, remote)
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want Kind
	}{
		{"NAT-keepalive", []byte{0xff}, Keepalive},
		{"nothing", nil, Keepalive},
		{"one zero octet", []byte{0}, Keepalive},
		{"three zero octets", []byte{0, 0, 0}, Keepalive},
		{"two keepalives' worth", []byte{0xff, 0xff}, Keepalive},
		{"marker alone", []byte{0, 0, 0, 0}, IKE},
		{"marker and IKE", []byte{0, 0, 0, 0, 1, 2}, IKE},
		{"almost a marker", []byte{0, 0, 0, 1, 0, 0, 0, 1}, ESP}, // a reserved SPI: the SAD has none such
		{"ESP", []byte{0xc0, 0, 0, 1, 0, 0, 0, 1}, ESP},
		{"ESP cut to its SPI", []byte{0xc0, 0, 0, 1}, ESP},
		{"ESP that begins like a keepalive", []byte{0xff, 0xff, 0xff, 0xff, 0}, ESP},
	} {
		if got := classify(c.data); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// A delivery is the result of one Recv.
type delivery struct {
	kind Kind
	data []byte
	size int
}

func drainRun(r run) []delivery {
	var out []delivery
	var in Received
	for {
		r.next(&in)
		out = append(out, delivery{in.Kind, bytes.Clone(in.Data), in.SegSize})
		if len(r.data) == 0 {
			return out
		}
	}
}

// A coalesced run is of one flow and one size, whatever its datagrams are.
func TestRunIsCutByKind(t *testing.T) {
	e1, e2 := []byte{0xc0, 0, 0, 1, 1, 1}, []byte{0xc0, 0, 0, 1, 2, 2}
	ike := []byte{0, 0, 0, 0, 9, 9}
	for _, c := range []struct {
		name string
		data [][]byte
		want []delivery
	}{
		{"ESP only", [][]byte{e1, e2, e1}, []delivery{{ESP, bytes.Join([][]byte{e1, e2, e1}, nil), 6}}},
		{"short last", [][]byte{e1, e2[:5]}, []delivery{{ESP, append(bytes.Clone(e1), e2[:5]...), 6}}},
		{"IKE between", [][]byte{e1, e2, ike, e1}, []delivery{{ESP, append(bytes.Clone(e1), e2...), 6}, {IKE, ike[4:], 0}, {ESP, e1, 0}}},
		{"IKE only comes singly", [][]byte{ike, ike}, []delivery{{IKE, ike[4:], 0}, {IKE, ike[4:], 0}}},
		{"keepalive last", [][]byte{e1, e2, {0xff}}, []delivery{{ESP, append(bytes.Clone(e1), e2...), 6}, {Keepalive, []byte{0xff}, 0}}},
	} {
		got := drainRun(run{data: bytes.Join(c.data, nil), size: 6})
		if len(got) != len(c.want) {
			t.Errorf("%s: %d deliveries, want %d: %v", c.name, len(got), len(c.want), got)
			continue
		}
		for i, w := range c.want {
			if got[i].kind != w.kind || !bytes.Equal(got[i].data, w.data) || got[i].size != w.size {
				t.Errorf("%s: delivery %d is %v, want %v", c.name, i, got[i], w)
			}
		}
	}
}

// A transport of frames on a connection (RFC 9329, Section 3) tells IKE from ESP by the same
// marker, and its path comes with each of them.
func TestFramesAreSorted(t *testing.T) {
	via := &ipsec.Transport{Name: "stream", CarriesESP: true, Stream: true}
	path := ipsec.NewPath(via, netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:50001"), 1)
	stream := []byte{0, 8, 0xc0, 0, 0, 1, 1, 1, 0, 3, 0xff, 0, 8, 0, 0, 0, 0, 9, 9}
	want := []delivery{{ESP, stream[2:8], 0}, {Keepalive, stream[10:11], 0}, {IKE, stream[17:], 0}}
	for i := 0; len(stream) > 0; i++ {
		frame := int(stream[0])<<8 | int(stream[1])
		r := run{from: Received{Path: path}, data: stream[2:frame]}
		var in Received
		r.next(&in)
		if in.Kind != want[i].kind || !bytes.Equal(in.Data, want[i].data) || in.Path != path {
			t.Errorf("frame %d: kind %d, %x by %v", i, in.Kind, in.Data, in.Path)
		}
		stream = stream[frame:]
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte{0xc0, 0, 0, 1, 0, 0, 0, 0, 0xff}, 4)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		if size < 0 || size > len(data) {
			return
		}
		total := 0
		for _, d := range drainRun(run{data: data, size: size}) {
			total += len(d.data)
			if d.kind == IKE {
				total += markerLen
			}
			if d.size != 0 && (d.kind != ESP || d.size != size) {
				t.Fatalf("a run of kind %d cut every %d octets", d.kind, d.size)
			}
		}
		if total != len(data) {
			t.Fatalf("%d octets came out of %d", total, len(data))
		}
	})
}
