package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
	"culvert/tun"
)

// peer seals what no gateway of ours would send.
type peer struct {
	out     *esp.Outbound
	scratch esp.Scratch
}

// newPeer has the keys of the other end of sa, as whose inbound SA g holds it.
func newPeer(t *testing.T, sa ipsec.ChildSA) *peer {
	m := mirror(sa)
	out, err := esp.NewOutbound(m.Outbound())
	if err != nil {
		t.Fatal(err)
	}
	return &peer{out: out}
}

func (p *peer) seal(next uint8, payload []byte) []byte {
	seq, _, err := p.out.Reserve(1, len(payload))
	if err != nil {
		panic(err)
	}
	return p.out.Seal(&p.scratch, make([]byte, gcmFormat.SealedLen(len(payload))), seq, bytes.Clone(payload), next)
}

// oneGateway runs alone, with an SA pair whose peer the test plays: its LAN is 10.1/16, the peer's
// 10.2/16.
func oneGateway(t *testing.T) (*gateway, *peer) {
	g := newGateway(t, 1, nil)
	g.start(t)
	sa := childSA(t, g, g, 1)
	if err := g.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	return g, newPeer(t, sa)
}

func TestHostileInnerPackets(t *testing.T) {
	g, p := oneGateway(t)
	good := udpPacket(dst4, src4, true, []byte("good"))
	good6 := udpPacket(dst6, src6, true, []byte("good"))
	cut := func(b []byte, n int) []byte { return b[:n] }
	long := bytes.Clone(good)
	binary.BigEndian.PutUint16(long[2:], uint16(len(long)+1))
	short := bytes.Clone(good)
	short[0] = 0x44 // a header of 16 octets
	version := bytes.Clone(good)
	version[0] = 0x75
	bad := []struct {
		name    string
		next    uint8
		payload []byte
	}{
		{"nothing", esp.NextIPv4, nil}, {"1 octet", esp.NextIPv4, cut(good, 1)}, {"2 octets", esp.NextIPv4, cut(good, 2)}, {"3 octets", esp.NextIPv6, cut(good6, 3)},
		{"IPv4 header cut", esp.NextIPv4, cut(good, 19)}, {"IPv6 header cut", esp.NextIPv6, cut(good6, 39)}, {"total length too long", esp.NextIPv4, long},
		{"header length too small", esp.NextIPv4, short}, {"version 7", esp.NextIPv4, version}, {"IPv4 said to be IPv6", esp.NextIPv6, good},
		{"IPv6 said to be IPv4", esp.NextIPv4, good6}, {"TCP alone", 6, good[20:]}, {"packet said to be TCP", 6, good},
	}
	for _, tt := range bad {
		g.come(outerA, p.seal(tt.next, tt.payload))
	}
	g.wantCounter(t, "esp_bad_inner", uint64(len(bad)))
	g.come(outerA, p.seal(esp.NextDummy, random(77)))
	g.wantCounter(t, "esp_dummy", 1)
	g.queues[0].wantIdle(t)

	g.come(outerA, p.seal(esp.NextIPv4, append(bytes.Clone(good), random(33)...))) // TFC padding (RFC 4303, Section 2.7)
	if got := g.queues[0].want(t); !bytes.Equal(got, good) {
		t.Errorf("got %x, want the packet without its padding", got)
	}
	spoofed := udpPacket(src4, dst4, true, nil) // from our own network
	g.come(outerA, p.seal(esp.NextIPv4, spoofed))
	g.wantCounter(t, "esp_selector_mismatch", 1)
	eventually(t, "its flow is known", func() bool {
		return slices.ContainsFunc(g.Sightings(), func(s Sighting) bool {
			return s.Reason == "esp_selector_mismatch" && s.Policy == lan && s.Flow == parse(t, spoofed).Flow
		})
	})
}

func TestHostileDatagrams(t *testing.T) {
	g, p := oneGateway(t)
	good := p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, []byte("good")))
	const shortest = esp.HeaderLen + 8 + 2 + 16
	for n := range shortest {
		g.come(outerA, good[:n])
	}
	g.wantCounter(t, "esp_malformed", shortest-1) // an empty one is not sent as a datagram
	g.come(outerA, good[:len(good)-4])
	g.wantCounter(t, "esp_icv", 1)
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 0x10
		g.come(outerA, flipped)
	}
	c := func() map[string]uint64 { return g.Counters() }
	eventually(t, "every flipped bit is noticed", func() bool {
		return c()["esp_unknown_spi"]+c()["esp_icv"]+c()["esp_replay"] == uint64(len(good))+1
	})
	if c()["esp_unknown_spi"] != 4 {
		t.Errorf("%d unknown SPIs, want 4", c()["esp_unknown_spi"])
	}
	g.queues[0].wantIdle(t)
	g.come(outerA, good)
	g.queues[0].want(t)
	g.come(outerA, good)
	eventually(t, "the replay is counted", func() bool { st, _ := g.ChildStats(1); return st.Drops["replay"] >= 1 })
	g.queues[0].wantIdle(t)
	if last, _ := g.LastTraffic(1); last.In.IsZero() {
		t.Error("no traffic")
	}
}

func TestRunOfSeveralSAs(t *testing.T) {
	g, p := oneGateway(t)
	second := childSA(t, g, g, 2)
	if err := g.InstallInbound(second); err != nil {
		t.Fatal(err)
	}
	q := newPeer(t, second)
	var run []byte
	for i := range 6 { // UDP_GRO puts datagrams of one sender together, whatever their SA
		from := []*peer{p, q}[i%2]
		run = append(run, from.seal(esp.NextIPv4, udpPacket(dst4, src4, true, []byte{byte(i)}))...)
	}
	size := len(run) / 6
	run[2*size+30] ^= 1 // the third is forged
	g.ports[0].in.put(nil, netio.Received{Data: append(run, 1, 2, 3), SegSize: size, Path: ipsec.NATPath(outerB, outerA)})
	for _, want := range []byte{0, 1, 3, 4, 5} {
		if got := g.queues[0].want(t); got[len(got)-1] != want {
			t.Errorf("packet %d, want %d", got[len(got)-1], want)
		}
	}
	g.wantCounter(t, "esp_icv", 1)
	g.wantCounter(t, "esp_malformed", 1)
}

func TestIKEAndKeepalives(t *testing.T) {
	got := make(chan []byte, 1)
	g := newGateway(t, 1, func(c *Config) { c.OnIKE = func(r *netio.Received) { got <- bytes.Clone(r.Data) } })
	g.start(t)
	g.ports[0].in.put(nil, netio.Received{Kind: netio.Keepalive, Data: []byte{0xff}}, netio.Received{Kind: netio.IKE, Data: []byte("IKE")})
	if b := <-got; string(b) != "IKE" {
		t.Errorf("OnIKE got %q", b)
	}
	g.wantCounter(t, "ike_datagrams", 1)
}

func TestManualOneWaySAs(t *testing.T) {
	a, b := twoGateways(t, 1, nil)
	send := ipsec.ChildSA{
		ID: 1, Policy: lan, SPIOut: 0x1001, KeyOut: key(1), Cipher: esp.Cipher{ID: esp.ChaCha20Poly1305, KeyBits: 256},
		Path: ipsec.NATPath(outerA, outerB), LocalTS: lanA(), RemoteTS: lanB(),
	}
	send.KeyOut = bytes.Repeat([]byte{1}, 36)
	receive := mirror(send)
	receive.ReplayWindow = 64
	for _, bad := range []func(*ipsec.ChildSA){
		func(sa *ipsec.ChildSA) { sa.SPIOut = 0 },
		func(sa *ipsec.ChildSA) { sa.SPIOut = 7 },
		func(sa *ipsec.ChildSA) { sa.Cipher.KeyBits = 1 },
		func(sa *ipsec.ChildSA) { sa.KeyOut = sa.KeyOut[1:] },
		func(sa *ipsec.ChildSA) { sa.SPIIn = 300 },
	} {
		sa := send
		bad(&sa)
		if err := a.InstallInbound(sa); err == nil {
			t.Errorf("%+v was installed", sa)
		}
	}
	install(t, a, b, send)
	if err := a.InstallInbound(send); err == nil {
		t.Error("an SA was installed twice")
	}
	pkt := udpPacket(src4, dst4, true, nil)
	a.queues[0].inject(pkt)
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Error("the packet did not come through")
	}
	if st, _ := b.ChildStats(1); st.PacketsIn != 1 || st.PacketsOut != 0 {
		t.Errorf("stats %+v", st)
	}
	b.queues[0].inject(udpPacket(dst4, src4, true, nil)) // b has nothing to send with
	b.wantEvent(t, ipsec.EventAcquire)
	if receive.SPIIn != 0x1001 {
		t.Error("mirror is wrong")
	}
}

func TestTUNRefuses(t *testing.T) {
	g, p := oneGateway(t)
	full, broken := error(tun.ErrWouldBlock), errors.New("broken")
	g.queues[0].writeErr.Store(&full)
	g.come(outerA, p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, nil)))
	g.wantCounter(t, "tun_full", 1)
	g.queues[0].writeErr.Store(&broken)
	g.come(outerA, p.seal(esp.NextIPv4, udpPacket(dst4, src4, true, nil)))
	g.wantCounter(t, "tun_write_errors", 1)
}
