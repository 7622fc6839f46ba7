package netio

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// attr returns an attribute.
func attr(kind uint16, parts ...[]byte) []byte {
	v := bytes.Join(parts, nil)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(v)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), v...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// body returns a message's body: a header of n octets with the given ones, and attributes.
func body(n int, header map[int]byte, attrs ...[]byte) []byte {
	b := make([]byte, n)
	for i, v := range header {
		b[i] = v
	}
	return append(b, bytes.Join(attrs, nil)...)
}

func TestParseRoute(t *testing.T) {
	gateway := addrB[false]
	unicast := map[int]byte{0: unix.AF_INET, 1: 24, 7: unix.RTN_UNICAST}
	link, via := attr(unix.RTA_OIF, u32(3)), attr(unix.RTA_GATEWAY, gateway.AsSlice())
	for name, tt := range map[string]struct {
		body []byte
		want routeAnswer
	}{
		"a gateway": {body(12, unicast, link, via), routeAnswer{kind: unix.RTN_UNICAST, link: 3, via: gateway}},
		"a hop limit": {body(12, unicast, link, attr(unix.RTA_METRICS|unix.NLA_F_NESTED, attr(unix.RTAX_MTU, u32(1400)), attr(unix.RTAX_HOPLIMIT, u32(9)))),
			routeAnswer{kind: unix.RTN_UNICAST, link: 3, hops: 9}},
		"several next hops":             {body(12, unicast, attr(unix.RTA_MULTIPATH, make([]byte, 16))), routeAnswer{kind: unix.RTN_UNICAST, many: true}},
		"a gateway of the other family": {body(12, unicast, link, attr(unix.RTA_VIA, make([]byte, 18))), routeAnswer{kind: unix.RTN_UNICAST, link: 3, other: true}},
		"headers":                       {body(12, unicast, link, attr(unix.RTA_ENCAP, u32(0))), routeAnswer{kind: unix.RTN_UNICAST, link: 3, other: true}},
		"local":                         {body(12, map[int]byte{7: unix.RTN_LOCAL}, link), routeAnswer{kind: unix.RTN_LOCAL, link: 3}},
		"a broken end":                  {append(body(12, unicast, link), 200, 0, 5, 0), routeAnswer{kind: unix.RTN_UNICAST, link: 3}},
	} {
		if got, err := parseRoute(tt.body); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := parseRoute(make([]byte, 11)); err == nil {
		t.Error("half a header is a route")
	}
}

func TestParseDestination(t *testing.T) {
	for want, b := range map[string][]byte{
		"192.0.2.0/24":   body(12, map[int]byte{0: unix.AF_INET, 1: 24}, attr(unix.RTA_DST, []byte{192, 0, 2, 0})),
		"0.0.0.0/0":      body(12, map[int]byte{0: unix.AF_INET}),
		"::/0":           body(12, map[int]byte{0: unix.AF_INET6}),
		"2001:db8::/32":  body(12, map[int]byte{0: unix.AF_INET6, 1: 32}, attr(unix.RTA_DST, netip.MustParseAddr("2001:db8::").AsSlice())),
		"invalid Prefix": body(12, map[int]byte{0: unix.AF_INET, 1: 33}),
	} {
		if got, ok := parseDestination(b); got.String() != want || ok != got.IsValid() {
			t.Errorf("%v, %v, want %s", got, ok, want)
		}
	}
	if _, ok := parseDestination(nil); ok {
		t.Error("nothing is a route")
	}
}

func TestParseLink(t *testing.T) {
	ether := map[int]byte{2: unix.ARPHRD_ETHER, 8: unix.IFF_UP}
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	addr, mtu := attr(unix.IFLA_ADDRESS, mac[:]), attr(unix.IFLA_MTU, u32(1400))
	kind := func(which uint16, name string) []byte {
		return attr(unix.IFLA_LINKINFO, attr(which, []byte(name+"\x00")))
	}
	conf := attr(unix.IFLA_AF_SPEC, attr(unix.AF_INET, u32(0)), attr(unix.AF_INET6, attr(unix.IFLA_INET6_CONF, u32(1), u32(61), u32(1500))))
	for name, tt := range map[string]struct {
		body []byte
		want linkAnswer
	}{
		"Ethernet":      {body(16, ether, addr, mtu, conf), linkAnswer{ethernet: true, up: true, addr: mac, mtu: 1400, hops6: 61}},
		"down":          {body(16, map[int]byte{2: unix.ARPHRD_ETHER}, addr), linkAnswer{ethernet: true, addr: mac}},
		"a TUN":         {body(16, map[int]byte{2: 0xfe, 3: 0xff, 8: unix.IFF_UP}, mtu), linkAnswer{up: true, mtu: 1400}},
		"a VRF":         {body(16, ether, addr, kind(unix.IFLA_INFO_KIND, "vrf")), linkAnswer{ethernet: true, up: true, addr: mac, vrf: true}},
		"in a VRF":      {body(16, ether, addr, kind(unix.IFLA_INFO_SLAVE_KIND, "vrf")), linkAnswer{ethernet: true, up: true, addr: mac, vrf: true}},
		"in a bond":     {body(16, ether, addr, kind(unix.IFLA_INFO_SLAVE_KIND, "bond")), linkAnswer{ethernet: true, up: true, addr: mac}},
		"longer octets": {body(16, ether, attr(unix.IFLA_ADDRESS, make([]byte, 20))), linkAnswer{up: true}},
	} {
		if got, err := parseLink(tt.body); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := parseLink(make([]byte, 15)); err == nil {
		t.Error("half a header is a device")
	}
}

func TestParseNeighbour(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	to, lladdr := attr(unix.NDA_DST, addrB[true].AsSlice()), attr(unix.NDA_LLADDR, mac[:])
	key := neighbourKey{5, addrB[true]}
	for name, tt := range map[string]struct {
		state, flags byte
		attrs        [][]byte
		want         neighbourAnswer
	}{
		"reachable":  {unix.NUD_REACHABLE, 0, [][]byte{to, lladdr}, neighbourAnswer{key, true, mac}},
		"stale":      {unix.NUD_STALE, 0, [][]byte{to, lladdr}, neighbourAnswer{key, true, mac}},
		"failed":     {unix.NUD_FAILED, 0, [][]byte{to, lladdr}, neighbourAnswer{key, false, mac}},
		"incomplete": {unix.NUD_INCOMPLETE, 0, [][]byte{to}, neighbourAnswer{key, false, [6]byte{}}},
		"a proxy's":  {unix.NUD_PERMANENT, unix.NTF_PROXY, [][]byte{to, lladdr}, neighbourAnswer{key, false, mac}},
		"another":    {unix.NUD_PERMANENT, 0, [][]byte{to, attr(unix.NDA_LLADDR, make([]byte, 4))}, neighbourAnswer{key, false, [6]byte{}}},
	} {
		if got, err := parseNeighbour(body(12, map[int]byte{4: 5, 8: tt.state, 10: tt.flags}, tt.attrs...)); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := parseNeighbour(make([]byte, 11)); err == nil {
		t.Error("half a header is a neighbour")
	}
}
