package guard

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// The tunnels' own packets pass only the base chains of the hooks, inbound ones if their
// destination is not in a local network: over protocol 50 every chain adds to the cost of each
// packet (docs/measurements.md).
func TestChainsThatOwnPacketsMeet(t *testing.T) {
	const n = 5
	s := newSite(t)
	set := protect.NewSet()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{
		policy("lan", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/24", "fd02::/64")),
		policy("near", pfx("192.0.2.128/25", "2001:db8:0:8000::/49"), pfx("10.2.0.0/24", "fd02::/64")),
	}, nil))
	table := g.tableNow()
	if err := g.Close(); err != nil { // the table stays, and no watcher restores it
		t.Fatal(err)
	}
	var count strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^\tchain (\S+)`).FindAllStringSubmatch(nft(t, s.gw, "list", "table", "inet", table), -1) {
		fmt.Fprintf(&count, "insert rule inet %s %s meta l4proto esp counter;", table, m[1])
	}
	nft(t, s.gw, count.String())
	met := func() map[string]int {
		out := make(map[string]int)
		for _, part := range strings.Split(nft(t, s.gw, "list", "table", "inet", table), "\tchain ")[1:] {
			m := regexp.MustCompile(`counter packets (\d+)`).FindStringSubmatch(part)
			if packets, _ := strconv.Atoi(m[1]); packets > 0 {
				out[strings.Fields(part)[0]] = packets
			}
		}
		return out
	}
	for _, a := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		us, peer := netip.MustParseAddr(a[0]), netip.MustParseAddr(a[1])
		for range n {
			sendMarked(t, s.gw, testConfig().Mark.Value, ip(us, peer, unix.IPPROTO_ESP, 64, make([]byte, 32)))
			send(t, s.outside, ip(peer, us, unix.IPPROTO_ESP, 64, make([]byte, 32)))
		}
	}
	arrived := sniff(t, s.inside, "lan")
	send(t, s.outside, udp("192.0.2.2", "10.1.0.5", 1, 7, barrierID)) // behind them
	arrived.await(t, barrierID)
	want := fmt.Sprint(map[string]int{"errors": 2 * n, "post-before-nat": 2 * n, "post-after-nat": 2 * n, "pre-before-nat": 2 * n, "pre-after-nat": 2 * n})
	if got := fmt.Sprint(met()); got != want {
		t.Errorf("%d packets each way met %s, want %s", 2*n, got, want)
	}
}
