package netio

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"culvert/internal/ipsec"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// BenchmarkSendRaw measures the sending of packets of protocol 50 to a device that drops them after
// its queue, past the IP stack and by the raw socket in turn: the fastest of many rounds of each.
func BenchmarkSendRaw(b *testing.B) {
	p := newDirectPair(b, 1)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "sink"
	nl, sink := p.a.Netlink(), &netlink.Ifb{LinkAttrs: attrs}
	if err := nl.LinkAdd(sink); err != nil {
		b.Skipf("not on this host: %v", err)
	}
	for _, s := range []string{"198.51.100.1/24", "2001:db8:5::1/64"} {
		addr, _ := netlink.ParseAddr(s)
		addr.Flags = unix.IFA_F_NODAD
		if err := nl.AddrAdd(sink, addr); err != nil {
			b.Fatal(err)
		}
	}
	if err := nl.LinkSetUp(sink); err != nil {
		b.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		from := map[bool]string{false: "198.51.100.1", true: "2001:db8:5::1"}[v6]
		path := ipsec.RawPath(netip.MustParseAddr(from), netip.MustParseAddr(from).Next())
		for _, size := range []int{1400, 64} {
			b.Run(fmt.Sprintf("v6=%t/%d", v6, size), func(b *testing.B) { benchmarkSendRaw(b, p.netA, Outgoing{Data: espPacket(1000, size), Path: path}) })
		}
	}
}

func benchmarkSendRaw(b *testing.B, n *Net, out Outgoing) {
	const batch, round = 44, 20 // as the prototype's
	outs := make([]Outgoing, batch)
	for i := range outs {
		outs[i] = out
	}
	mustGoDirect(b, n, out)
	tx := n.ports[0]
	s := tx.out.sock
	bypass, fastest := s.bypass, map[bool]time.Duration{}
	for b.Loop() {
		for _, direct := range []bool{false, true} {
			if s.bypass = nil; direct {
				s.bypass = bypass
			}
			begun := time.Now()
			for range round {
				tx.Send(outs)
			}
			if took := time.Since(begun); fastest[direct] == 0 || took < fastest[direct] {
				fastest[direct] = took
			}
		}
	}
	s.bypass = bypass
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(fastest[false])/(batch*round), "ns/socket")
	b.ReportMetric(float64(fastest[true])/(batch*round), "ns/direct")
	b.ReportMetric(float64(fastest[true])/float64(fastest[false]), "direct/socket")
}

// BenchmarkPastTheStack is the time of both hosts for a packet of protocol 50 over a veth, sent and
// received past the IP stack and by raw sockets in turn: the fastest of many rounds of each.
func BenchmarkPastTheStack(b *testing.B) {
	for _, noTCX := range []bool{false, true} {
		p := newRingPairBy(b, 1, noTCX)
		p.netA.Close()
		p.netA = openIn(b, p.a, ringConfig(1, noTCX))
		p.netA.Live(1000)
		p.live(b, 1000)
		for _, v6 := range []bool{false, true} {
			for _, size := range []int{1400, 64} {
				b.Run(fmt.Sprintf("noTCX=%t/v6=%t/%d", noTCX, v6, size), func(b *testing.B) { benchmarkPast(b, p, v6, size) })
			}
		}
	}
}

func benchmarkPast(b *testing.B, p *pair, v6 bool, size int) {
	const batch, round = 44, 20
	mustGoDirect(b, p.netA, espOut(v6, size))
	tx, rx := p.netA.ports[0], p.netB.ports[0]
	s := tx.out.sock
	empty(rx)
	bypass, fastest := s.bypass, map[bool]time.Duration{}
	for b.Loop() {
		for _, past := range []bool{false, true} {
			outs := make([]Outgoing, batch)
			for i := range outs {
				outs[i] = espOut(v6, size)
				if !past {
					outs[i].Data = espPacket(1002, size) // which is not live
				}
			}
			if s.bypass = nil; past {
				s.bypass = bypass
			}
			begun := time.Now()
			for range round {
				tx.Send(outs)
				if n := empty(rx); n != batch {
					b.Fatalf("%d packets of %d came", n, batch)
				}
			}
			if took := time.Since(begun); fastest[past] == 0 || took < fastest[past] {
				fastest[past] = took
			}
		}
	}
	s.bypass = bypass
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(fastest[false])/(batch*round), "ns/socket")
	b.ReportMetric(float64(fastest[true])/(batch*round), "ns/past")
	b.ReportMetric(float64(fastest[true])/float64(fastest[false]), "past/socket")
}
