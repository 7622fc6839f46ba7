package dataplane

import (
	"net/netip"
	"testing"
	"time"
)

func TestNoICMPAbout(t *testing.T) {
	later := udpPacket(src4, dst4, false, make([]byte, 100))
	later[7] = 100
	multicast := netip.MustParseAddr("224.0.0.1")
	for name, pkt := range map[string][]byte{
		"an ICMP error":     ipPacket(src4.Addr(), dst4.Addr(), 1, true, []byte{3, 4, 0, 0, 0, 0, 0, 0}),
		"an ICMPv6 error":   ipPacket(src6.Addr(), dst6.Addr(), 58, true, []byte{2, 0, 0, 0, 0, 0, 5, 0}),
		"empty ICMP":        ipPacket(src4.Addr(), dst4.Addr(), 1, true, nil),
		"a later fragment":  later,
		"multicast":         ipPacket(src4.Addr(), multicast, 17, true, make([]byte, 8)),
		"the unspecified":   ipPacket(netip.IPv4Unspecified(), dst4.Addr(), 17, true, make([]byte, 8)),
		"a broadcast":       ipPacket(src4.Addr(), netip.MustParseAddr("255.255.255.255"), 17, true, make([]byte, 8)),
		"a multicast by v6": ipPacket(src6.Addr(), netip.MustParseAddr("ff02::1"), 17, true, make([]byte, 8)),
	} {
		if mayAnswer(pkt, parse(t, pkt)) {
			t.Errorf("%s is answered", name)
		}
	}
}

func TestICMPIsLimited(t *testing.T) {
	a := newGateway(t, 1, nil)
	a.clock.Store(int64(1000 * time.Second))
	a.start(t)
	pkt := udpPacket(src4, dst4, true, nil)
	for range 3 * icmpPerSecond {
		a.queues[0].inject(pkt)
	}
	a.wantCounter(t, "out_no_policy", 3*icmpPerSecond)
	a.wantCounter(t, "icmp_sent", icmpPerSecond)
	a.clock.Add(int64(time.Second))
	a.queues[0].inject(pkt)
	a.wantCounter(t, "icmp_sent", icmpPerSecond+1)
}
