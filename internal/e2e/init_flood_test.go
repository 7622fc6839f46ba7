//go:build linux

package e2e

import (
	"context"
	enc "encoding/binary"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/netlab"
)

// floodRate is how many requests floodInits sends in a second.
const floodRate = 300

// floodInits floods right with IKE_SA_INIT requests for a group that takes milliseconds, each from
// a spoofed address of its own and with a public value of zeros, until stop is called. It returns
// how many were sent. The frames bypass left's stack.
func (n *network) floodInits(t *testing.T) (stop func() (sent int)) {
	t.Helper()
	from, err := n.left.Netlink().LinkByName("wan")
	ok(t, err)
	to, err := n.right.Netlink().LinkByName("wan")
	ok(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	sent, ended := 0, make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for begun := time.Now(); err == nil; {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			var packets [][]byte
			for due := int(time.Since(begun) * floodRate / time.Second); sent < due; sent++ {
				packets = append(packets, floodRequest(sent))
			}
			err = n.left.Inject("wan", from.Attrs().HardwareAddr, to.Attrs().HardwareAddr, packets...)
		}
		ended <- err
	}()
	return func() int {
		cancel()
		ok(t, <-ended)
		return sent
	}
}

// floodRequest returns the i-th IP packet of a flood.
func floodRequest(i int) []byte {
	transforms := []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128}, {Type: wire.TransformPRF, ID: wire.PRFHMACSHA2256},
		{Type: wire.TransformKE, ID: wire.GroupMODP4096},
	}
	nonce := make([]byte, 32)
	enc.BigEndian.PutUint64(nonce, uint64(i))
	m := wire.Message{
		Header: wire.Header{InitiatorSPI: wire.SPI(i + 1), MajorVersion: 2, Exchange: wire.IKESAInit, Initiator: true},
		Payloads: []wire.Payload{
			&wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtoIKE, Transforms: transforms}}},
			&wire.KE{Group: wire.GroupMODP4096, Data: make([]byte, 512)}, &wire.Nonce{Data: nonce},
		},
	}
	source := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	return netlab.UDPPacket(netip.AddrPortFrom(source, 500), netip.MustParseAddrPort("192.0.2.2:500"), m.AppendTo(nil))
}

// TestFloodOfStrangers floods a gateway with spoofed IKE_SA_INIT requests beside a tunnel under
// TCP: each is asked for a cookie, and the tunnel does not notice. CULVERT_MEASURE=1 takes longer,
// for the figures of docs/measurements.md.
func TestFloodOfStrangers(t *testing.T) {
	rounds, span := 3, time.Second
	if os.Getenv("CULVERT_MEASURE") == "1" {
		rounds, span = 15, 2*time.Second
	}
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	n.wantPing(t, 10*time.Second)

	idle := usedIn(t, right, 3*span)
	stop := n.floodInits(t)
	used := usedIn(t, right, 3*span) - idle
	sent := stop()
	t.Logf("%d requests in %v cost %v of CPU time", sent, 3*span, used)
	if most := 3 * span / 20; used > most {
		t.Errorf("the flood costs %v in %v, want at most %v", used, 3*span, most)
	}

	ratio, more := n.throughputOfFlood(t, rounds, span)
	if ratio < 0.5 {
		t.Errorf("the flood leaves %.2f of the throughput", ratio)
	}
	sent += more
	c := right.status().Counters
	if got := c["ike_cookie_sent"]; got < uint64(sent)*9/10 || c["ike_bad_key_exchange"] > 0 {
		t.Errorf("of %d requests %d were asked for a cookie: %v", sent, got, c)
	}
	wantRekeys(t, left, right, 5*time.Second)
	wantNeverDown(t, left, right)
}

// throughputOfFlood returns the median of TCP's throughput with a flood in proportion to that
// without, each measured for the given time in turn, and how many requests were sent.
func (n *network) throughputOfFlood(t *testing.T, rounds int, span time.Duration) (median float64, sent int) {
	t.Helper()
	load, err := netlab.StartLoad(t.Context(), netlab.Flow{From: n.left, To: n.right, Src: leftLAN4, Dst: rightLAN4, Streams: 2})
	ok(t, err)
	defer load.Stop()
	var ratios []float64
	for i := range rounds {
		var octets [2]int64 // without the flood, and with it
		for _, with := range []int{i % 2, 1 - i%2} {
			stop := func() int { return 0 }
			if with == 1 {
				stop = n.floodInits(t)
			}
			octets[with] = octetsIn(load, span)
			sent += stop()
		}
		ratios = append(ratios, float64(octets[1])/float64(octets[0]))
	}
	slices.Sort(ratios)
	median = ratios[rounds/2]
	t.Logf("throughput with the flood, to that without: %.2f (%.2f to %.2f)", median, ratios[rounds/4], ratios[rounds*3/4])
	return median, sent
}

// usedIn returns the CPU time that a daemon uses in the given time.
func usedIn(t *testing.T, g *gateway, span time.Duration) time.Duration {
	t.Helper()
	before := cpu(t, g)
	time.Sleep(span) // what it uses meanwhile is measured
	return cpu(t, g) - before
}

// octetsIn returns how many octets a load carries in the given time.
func octetsIn(l *netlab.Load, span time.Duration) int64 {
	before := l.Octets()
	time.Sleep(span) // what is carried meanwhile is measured
	return l.Octets() - before
}
