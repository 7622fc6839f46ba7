package dataplane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/esp"
	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// cut4 is an IPv4 packet without options in fragments of at most mtu octets.
func cut4(pkt []byte, mtu int) (list [][]byte) {
	f := ipheader.NewFragmenter(pkt, 20, mtu)
	for b := f.Next(nil); len(b) > 0; b = f.Next(nil) {
		list = append(list, b)
	}
	return list
}

// cut6 is an IPv6 packet in fragments of at most mtu octets, by the plainest code there is.
func cut6(pkt []byte, mtu int, id uint32) (list [][]byte) {
	payload := pkt[40:]
	size := (mtu - 48) &^ 7
	for at := 0; at < len(payload); at += size {
		part := payload[at:min(at+size, len(payload))]
		field := uint16(at)
		if at+len(part) < len(payload) {
			field |= 1
		}
		f := append(bytes.Clone(pkt[:40]), pkt[6], 0, byte(field>>8), byte(field))
		f[6] = 44
		f = append(binary.BigEndian.AppendUint32(f, id), part...)
		binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
		list = append(list, f)
	}
	return list
}

// datagram is a UDP datagram in fragments, with an identification of its own.
func datagram(src, dst netip.AddrPort, payload int, id uint16) [][]byte {
	pkt := udpPacket(src, dst, false, random(payload))
	if src.Addr().Is6() {
		return cut6(pkt, 1280, uint32(id))
	}
	binary.BigEndian.PutUint16(pkt[4:], id)
	pkt[10], pkt[11] = 0, 0
	binary.BigEndian.PutUint16(pkt[10:], ^fold(sum16(pkt[:20])))
	return cut4(pkt, 1280)
}

// wantAll waits until the queue has given exactly these packets, in any order.
func (q *fakeQueue) wantAll(t *testing.T, want [][]byte) {
	t.Helper()
	var got [][]byte
	for range want {
		got = append(got, q.want(t))
	}
	q.wantIdle(t)
	slices.SortFunc(got, bytes.Compare)
	want = slices.Clone(want)
	slices.SortFunc(want, bytes.Compare)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d packets, which differ from those that were sent", len(got))
	}
}

// orders are those in which fragments may come.
var orders = map[string]func([][]byte){
	"in order":   func([][]byte) {},
	"backwards":  slices.Reverse[[][]byte],
	"first last": func(l [][]byte) { l[0], l[len(l)-1] = l[len(l)-1], l[0] },
}

// TestFragmentsOfLimitedTraffic: the kernel cuts for the TUN's MTU before anyone sees the ports.
// All fragments arrive, in whatever order, at whichever workers they are read.
func TestFragmentsOfLimitedTraffic(t *testing.T) {
	a, b := udp5001(t, 2)
	id := uint16(0)
	for name, order := range orders {
		for _, ends := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
			for _, spread := range []int{1, 2} {
				id++
				list := datagram(ends[0], ends[1], 9000, id)
				want := slices.Clone(list)
				order(list)
				for i, f := range list {
					a.queues[i%spread].inject(f)
				}
				var got [][]byte
				eventually(t, name+" all come", func() bool {
					for _, q := range b.queues {
						select {
						case f := <-q.out:
							got = append(got, f)
						default:
						}
					}
					return len(got) == len(want)
				})
				slices.SortFunc(got, bytes.Compare)
				slices.SortFunc(want, bytes.Compare)
				if !slices.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%s, %v, %d workers: what came is not what was sent", name, ends[0], spread)
				}
			}
		}
	}
	for _, g := range []*gateway{a, b} {
		if g.Counters()["out_fragment"]+g.Counters()["esp_fragment"] != 0 {
			t.Errorf("fragments were lost: %v", g.Counters())
		}
	}
}

// TestFragmentsWithoutTheirFirst are dropped and counted in the end, on both sides.
func TestFragmentsWithoutTheirFirst(t *testing.T) {
	a, b := udp5001(t, 1)
	list := datagram(client4, server4, 4000, 1)
	a.queues[0].inject(list[1:]...)
	eventually(t, "they are held", func() bool {
		a.fragmentsOut.mu.Lock()
		defer a.fragmentsOut.mu.Unlock()
		return a.fragmentsOut.packets == len(list)-1
	})
	a.tickFragments(time.Now().Add(fragmentHoldFor))
	a.wantCounter(t, "out_fragment", uint64(len(list)-1))

	other := datagram(client4, netip.AddrPortFrom(server4.Addr(), 22), 4000, 2) // no policy covers it
	a.queues[0].inject(other[0])
	a.queues[0].want(t) // prohibited
	a.queues[0].inject(other[1:]...)
	a.wantCounter(t, "out_no_policy", uint64(len(other)))
	b.queues[0].wantIdle(t)

	a.queues[0].inject(list...) // it is not too late
	b.queues[0].wantAll(t, list)
}

// TestHostileFragments: what a peer may not send whole it may not send in fragments.
func TestHostileFragments(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.start(t)
	sa := childSA(t, g, g, 1)
	sa.LocalTS, sa.RemoteTS = limited(lanA(), 17, 5001), limited(lanB(), 17, 0)
	other := childSA(t, g, g, 2) // another peer's
	other.Policy, other.LocalTS, other.RemoteTS = ipsec.PolicyID(2), sa.LocalTS, sa.RemoteTS
	for _, sa := range []ipsec.ChildSA{sa, other} {
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
	}
	p, stranger := newPeer(t, sa), newPeer(t, other)
	come := func(p *peer, list ...[]byte) {
		for _, f := range list {
			g.come(outerB, p.seal(map[byte]uint8{4: esp.NextIPv4, 6: esp.NextIPv6}[f[0]>>4], f))
		}
	}
	lost := uint64(0)
	wantLost := func(what string, n int) { // after all that was held has been given up
		t.Helper()
		lost += uint64(n)
		eventually(t, what, func() bool {
			g.tickFragments(time.Now().Add(fragmentHoldFor))
			return g.Counters()["esp_fragment"] == lost
		})
		g.queues[0].wantIdle(t)
	}
	service4, service6 := netip.AddrPortFrom(client4.Addr(), 5001), netip.AddrPortFrom(client6.Addr(), 5001)
	for _, ends := range [][2]netip.AddrPort{{server4, service4}, {server6, service6}} {
		src, dst := ends[0], ends[1]
		refused := datagram(src, netip.AddrPortFrom(dst.Addr(), 22), 3000, 1)
		before := g.Counters()["esp_selector_mismatch"]
		come(p, refused...)
		eventually(t, "the first is refused", func() bool { return g.Counters()["esp_selector_mismatch"] == before+1 })
		wantLost("later ones of a refused first one", len(refused)-1)

		good := datagram(src, dst, 3000, 2)
		come(p, good...)
		g.queues[0].wantAll(t, good)
		come(stranger, good[1])
		wantLost("one of another peer's", 1)
		come(p, datagram(src, dst, 3000, 3)[1])
		wantLost("one of another datagram", 1)

		over := datagram(src, dst, 3000, 2) // of the datagram that came, over its ports and what is around
		small := cutAt(over, 8)
		come(p, small)
		wantLost("one over the first's data", 1)

		tiny := datagram(src, dst, 3000, 4) // without ports: what follows would bring them
		before = g.Counters()["esp_selector_mismatch"]
		come(p, shortened(tiny[0], 2))
		eventually(t, "a first one without ports is refused", func() bool { return g.Counters()["esp_selector_mismatch"] == before+1 })
		come(p, tiny[1])
		wantLost("what follows it", 1)

		outside := datagram(netip.MustParseAddrPort(map[bool]string{true: "10.9.0.1:1", false: "[2001:db8:9::1]:1"}[src.Addr().Is4()]), dst, 3000, 5)
		before = g.Counters()["esp_selector_mismatch"]
		come(p, outside...)
		eventually(t, "other addresses are refused at once", func() bool { return g.Counters()["esp_selector_mismatch"] == before+uint64(len(outside)) })
		wantLost("none of which was held", 0)
	}
	if st, _ := g.ChildStats(1); st.Drops["fragment"] != lost-2 {
		t.Errorf("drops of the SA: %v, want %d", st.Drops, lost-2)
	}
}

// cutAt is the second of a datagram's fragments as if it began at an offset.
func cutAt(list [][]byte, offset uint16) []byte {
	f := bytes.Clone(list[1])
	if f[0]>>4 == 4 {
		binary.BigEndian.PutUint16(f[6:], 0x2000|offset/8)
		f[10], f[11] = 0, 0
		binary.BigEndian.PutUint16(f[10:], ^fold(sum16(f[:20])))
		return f
	}
	binary.BigEndian.PutUint16(f[42:], offset|1)
	return f
}

// shortened is a first fragment with no more than n octets of data.
func shortened(f []byte, n int) []byte {
	if f[0]>>4 == 4 {
		f = bytes.Clone(f[:20+n])
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		f[10], f[11] = 0, 0
		binary.BigEndian.PutUint16(f[10:], ^fold(sum16(f[:20])))
		return f
	}
	f = bytes.Clone(f[:48+n])
	binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
	return f
}

// TestFragmentsAfterARekey: the later ones may come by the next SA of the same policy.
func TestFragmentsAfterARekey(t *testing.T) {
	g := newGateway(t, 1, nil)
	g.start(t)
	var peers []*peer
	for id := range ipsec.ChildID(3) {
		sa := childSA(t, g, g, id+1)
		sa.LocalTS, sa.RemoteTS = limited(lanA(), 17, 5001), limited(lanB(), 17, 0)
		if id == 2 { // narrowed to another port
			sa.LocalTS = limited(lanA(), 17, 5002)
		}
		if err := g.InstallInbound(sa); err != nil {
			t.Fatal(err)
		}
		peers = append(peers, newPeer(t, sa))
	}
	list := datagram(server4, netip.AddrPortFrom(client4.Addr(), 5001), 4000, 1)
	for i, f := range list {
		g.come(outerB, peers[min(i, 1)].seal(esp.NextIPv4, f))
	}
	g.queues[0].wantAll(t, list)
	g.come(outerB, peers[2].seal(esp.NextIPv4, list[1]))
	g.wantCounter(t, "esp_fragment", 1)
	g.queues[0].wantIdle(t)
}

// TestFragmentsChoosePolicies: a first fragment takes its later ones to the policy of its ports,
// past another that would match them by themselves, but not past one that is for fragments without
// ports.
func TestFragmentsChoosePolicies(t *testing.T) {
	opaque := limited(lanB(), 17, 0)
	for i := range opaque {
		opaque[i].StartPort, opaque[i].EndPort = selector.MaxPort, 0
	}
	port, any := ipsec.PolicyID(1), ipsec.PolicyID(2)
	for name, tt := range map[string]struct {
		remote []selector.Selector
		later  ipsec.PolicyID
	}{
		"any ports":    {lanB(), port},
		"opaque ports": {opaque, any},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, 1, nil)
			if err := g.SetPolicies([]ipsec.Policy{{ID: port, Local: limited(lanA(), 17, 0), Remote: limited(lanB(), 17, 5001)}, {ID: any, Local: lanA(), Remote: tt.remote}}); err != nil {
				t.Fatal(err)
			}
			g.start(t)
			for _, ends := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
				list := datagram(ends[0], ends[1], 2000, 9)
				kept := func(p ipsec.PolicyID) int {
					g.acquires.mu.Lock()
					defer g.acquires.mu.Unlock()
					return len(g.slots[p].acquire.packets)
				}
				was, wasLater := kept(port), kept(tt.later)
				g.queues[0].inject(list[0])
				eventually(t, "the first waits for its SA", func() bool { return kept(port) == was+1 })
				if tt.later == port {
					wasLater++
				}
				g.queues[0].inject(list[1])
				eventually(t, "and so does the later one", func() bool { return kept(tt.later) == wasLater+1 })
				wasAny := kept(any)
				g.queues[0].inject(datagram(ends[0], ends[1], 2000, 10)[1])
				eventually(t, "one without a first is not held", func() bool { return kept(any) == wasAny+1 })
			}
			if n := g.fragmentsOut.count; n != 0 && tt.later == any {
				t.Errorf("%d datagrams were noted, which nobody asks for", n)
			}
		})
	}
}

// TestFragmentsThatNeedNoState: where no selector tells ports apart, nothing is remembered.
func TestFragmentsThatNeedNoState(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	list := slices.Concat(datagram(src4, dst4, 4000, 1), datagram(src6, dst6, 4000, 2))
	slices.Reverse(list)
	a.queues[0].inject(list...)
	b.queues[0].wantAll(t, list)
	if a.fragmentsOut.known != nil || b.fragmentsIn.known != nil || a.fragmentsOut.waiting != nil {
		t.Error("state was made")
	}
	if err := a.SetPolicies([]ipsec.Policy{{ID: lan, Local: limited(lanA(), 17, 0), Remote: limited(lanB(), 17, 5001)}}); err != nil {
		t.Fatal(err)
	}
	if n := a.portPolicies.Load(); n != 1 {
		t.Errorf("%d policies tell ports apart, want 1", n)
	}
	if err := a.ChangePolicies([]ipsec.Policy{{ID: lan, Local: lanA(), Remote: lanB()}}, nil); err != nil {
		t.Fatal(err)
	}
	if n := a.portPolicies.Load(); n != 0 {
		t.Errorf("%d policies tell ports apart, want 0", n)
	}
}
