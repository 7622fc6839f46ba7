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
