package dataplane

import (
	"net/netip"
	"slices"
	"testing"

	"culvert/esp"
	"culvert/internal/ipheader"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// Two hosts of lanA. Each has Child SAs of its own in the one policy, as a peer makes them that
// narrows each to the packet that asked for it.
var (
	hostX = netip.MustParseAddrPort("10.1.0.1:1000")
	hostY = netip.MustParseAddrPort("10.1.9.9:2000")
)

// narrowSA is an SA pair for one host, with a hard limit in packets, 0 being none, by the path to
// remote.
func narrowSA(t *testing.T, a, b *gateway, id ipsec.ChildID, host netip.AddrPort, limit uint64, remote netip.AddrPort) {
	t.Helper()
	sa := childSA(t, a, b, id)
	sa.LocalTS = []selector.Selector{selector.FromPrefix(netip.PrefixFrom(host.Addr(), 32))}
	sa.Path = ipsec.NATPath(outerA, remote)
	peer := mirror(sa)
	sa.Limits = esp.Limits{HardPackets: limit}
	if err := b.InstallInbound(peer); err != nil {
		t.Fatal(err)
	}
	if err := a.InstallInbound(sa); err != nil {
		t.Fatal(err)
	}
	a.ActivateOutbound(id)
}

// narrowed is two gateways with the SAs 1 (no limit) and 3 (limit packets) for X, 2 (no limit) and
// 4 (1 packet) for Y. The limited ones are newer, and their path carries 9000 octets, that of the
// others 1500.
func narrowed(t *testing.T, limit uint64) (a, b *gateway) {
	t.Helper()
	small := netip.MustParseAddrPort("192.0.2.3:4500")
	a, b = twoGateways(t, 2, func(c *Config) {
		c.LinkMTU = func(_, remote netip.Addr) int {
			if remote == small.Addr() {
				return 1500
			}
			return 9000
		}
	})
	narrowSA(t, a, b, 1, hostX, 0, small)
	narrowSA(t, a, b, 2, hostY, 0, small)
	narrowSA(t, a, b, 3, hostX, limit, outerB)
	narrowSA(t, a, b, 4, hostY, 1, outerB)
	return a, b
}

// ofX is n small packets of X that wait in one transmit batch.
func ofX(n int) []gso.Packet {
	return repeated(n, gso.Packet{Data: udpPacket(hostX, dst4, true, make([]byte, 36))})
}

// TestBatchBreaksBeforeFragments: a batch of X's breaks at its SA's hard limit as a packet of Y's
// has to be fragmented, whose SA comes to its end as well. Y's other SA carries it, and not that of
// X.
func TestBatchBreaksBeforeFragments(t *testing.T) {
	const limit, came = 10, 20
	a, b := narrowed(t, limit)
	large := gso.Packet{Data: udpPacket(hostY, dst4, false, make([]byte, 20000))}
	a.queues[0].in.put(nil, append(ofX(came), large)...)
	var x, y int
	// The first of three fragments of 9000 octets, and then all 15 of 1500.
	for x+y < came+1+15 {
		switch hdr := parse(t, b.queues[0].want(t)); hdr.Src {
		case hostX.Addr():
			x++
		case hostY.Addr():
			y++
		default:
			t.Fatalf("a packet of %v", hdr.Src)
		}
	}
	if x != came || y != 16 {
		t.Errorf("%d packets of X and %d fragments of Y", x, y)
	}
	b.wantCounter(t, "esp_selector_mismatch", 0)
	for id, want := range map[ipsec.ChildID]uint64{1: came - limit, 2: 15, 3: limit, 4: 1} {
		if st, _ := a.ChildStats(id); st.PacketsOut != want {
			t.Errorf("SA %d carried %d packets, want %d", id, st.PacketsOut, want)
		}
	}
}

// TestBatchBreaksBeforeTooBig: the same with a packet that must not be fragmented, and that the SA
// which is left cannot carry whole: its own host is told.
func TestBatchBreaksBeforeTooBig(t *testing.T) {
	const limit, came = 10, 20
	a, b := narrowed(t, limit)
	first := gso.Packet{Data: udpPacket(hostY, dst4, true, make([]byte, 36))}
	large := gso.Packet{Data: udpPacket(hostY, dst4, true, make([]byte, 8500))}
	a.queues[0].in.put(nil, slices.Concat([]gso.Packet{first}, ofX(came), []gso.Packet{large})...)
	for range 1 + came {
		b.queues[0].want(t)
	}
	answer := a.queues[0].want(t)
	if hdr := checkSums(t, answer); hdr.Dst != hostY.Addr() {
		t.Errorf("%v was told of a packet that is too big, and not Y", hdr.Dst)
	}
	quote := parse(t, append(slices.Clone(answer[ipheader.IPv4Len+ipheader.ICMPLen:]), make([]byte, 10000)...))
	if quote.Src != hostY.Addr() || quote.TotalLen != len(large.Data) {
		t.Errorf("what was quoted is a packet of %v with %d octets", quote.Src, quote.TotalLen)
	}
	a.queues[0].wantIdle(t)
	b.wantCounter(t, "esp_selector_mismatch", 0)
}
