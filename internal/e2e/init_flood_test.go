//go:build linux

package e2e

import (
	"context"
	enc "encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/netlab"
)

// floodRate is how many requests a flood sends in a second, and floodPort the strangers' port.
const (
	floodRate = 300
	floodPort = 5000
)

// A flood is of IKE_SA_INIT requests to right, each from an address of its own, for a group that
// takes milliseconds and with the same public value: 0, which is refused, or 2.
type flood struct {
	n        *network
	from, to net.HardwareAddr
	outer    outer
	public   byte
	port     uint16         // of right that it goes to
	answers  net.PacketConn // where strangers get the answers; nil: the addresses are spoofed
	rate     int            // requests in a second
	make     func(i int) []byte
}

// newFlood prepares a flood. The strangers' addresses are left's if they are to get the answers.
func (n *network) newFlood(t *testing.T, o outer, answers bool) *flood {
	t.Helper()
	from, err := n.left.Netlink().LinkByName("wan")
	ok(t, err)
	to, err := n.right.Netlink().LinkByName("wan")
	ok(t, err)
	f := &flood{n: n, from: from.Attrs().HardwareAddr, to: to.Attrs().HardwareAddr, outer: o, port: 500, rate: floodRate}
	f.make = func(i int) []byte { return f.request(i, nil) }
	if !answers { // otherwise the hosts would send each answer back and forth until its hop limit
		ip(t, n.left, "route", "add", "blackhole", "198.18.0.0/15")
		ip(t, n.left, "-6", "route", "add", "blackhole", "2001:db8:18::/48")
	} else {
		ip(t, n.left, "route", "add", "local", "198.18.0.0/15", "dev", "lo")
		ip(t, n.left, "-6", "route", "add", "local", "2001:db8:18::/48", "dev", "lo")
		ok(t, n.left.Do(func() (err error) {
			f.answers, err = net.ListenPacket("udp", fmt.Sprintf(":%d", floodPort))
			return err
		}))
		t.Cleanup(func() { f.answers.Close() })
		go f.answer()
	}
	return f
}

// answer sends requests again, with the cookies that right asks for. It sends what has come in the
// time that sending takes at once.
func (f *flood) answer() {
	buf := make([]byte, 2000)
	var packets [][]byte
	for {
		wait := time.Time{}
		if len(packets) > 0 {
			wait = time.Now().Add(time.Millisecond)
		}
		_ = f.answers.SetReadDeadline(wait)
		size, _, err := f.answers.ReadFrom(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = f.send(packets...) // right's counter tells
			packets = nil
		case err != nil:
			return
		default:
			if m, err := wire.Parse(buf[:size]); err == nil {
				if c, ok := wire.FindNotify(m.Payloads, wire.Cookie); ok {
					packets = append(packets, f.request(int(m.InitiatorSPI)-1, c))
				}
			}
		}
	}
}

// send sends packets to right past left's stack.
func (f *flood) send(packets ...[]byte) error {
	return f.n.left.Inject("wan", f.from, f.to, packets...)
}

// begin floods right until stop is called, which returns how many requests were sent.
func (f *flood) begin(t *testing.T) (stop func() (sent int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	sent, ended := 0, make(chan error, 1)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var err error
		for begun := time.Now(); err == nil; {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			var packets [][]byte
			for due := int(time.Since(begun) * time.Duration(f.rate) / time.Second); sent < due; sent++ {
				packets = append(packets, f.make(sent))
			}
			err = f.send(packets...)
		}
		ended <- err
	}()
	return func() int {
		cancel()
		ok(t, <-ended)
		return sent
	}
}

// request returns the i-th IP packet of a flood, with a cookie if there is one.
func (f *flood) request(i int, cookie *wire.Notify) []byte {
	source, to := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), addr(f.outer.right)
	if to.Is6() { // each in a /64 of its own
		source = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x18, byte(i >> 8), byte(i), 15: 1})
	}
	return netlab.UDPPacket(netip.AddrPortFrom(source, floodPort), netip.AddrPortFrom(to, f.port), initRequest(i, f.public, cookie))
}

// initRequest returns the i-th IKE_SA_INIT request of strangers, with a public value that is zero
// but for its last octet, and with a cookie if there is one.
func initRequest(i int, public byte, cookie *wire.Notify) []byte {
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
			&wire.KE{Group: wire.GroupMODP4096, Data: append(make([]byte, 511), public)}, &wire.Nonce{Data: nonce},
		},
	}
	if cookie != nil {
		m.Payloads = append([]wire.Payload{cookie}, m.Payloads...)
	}
	return m.AppendTo(nil)
}

// costOfComputation returns how long a responder computes here for a request of a flood that it
// does not refuse before. A flood is judged by it, whatever the speed of the machine.
func costOfComputation(t *testing.T) time.Duration {
	t.Helper()
	least := time.Hour
	for range 5 {
		begun := time.Now()
		ke, err := suite.NewKE(wire.GroupMODP4096)
		ok(t, err)
		_, err = ke.Shared(append(make([]byte, 511), 2))
		ok(t, err)
		least = min(least, time.Since(begun))
	}
	return least
}

// TestFloodOfStrangers floods a gateway with IKE_SA_INIT requests beside a tunnel under TCP: each
// is asked for a cookie, those that come with one are refused without a computation, and the tunnel
// does not notice. CULVERT_MEASURE=1 takes longer, for the figures of docs/measurements.md.
func TestFloodOfStrangers(t *testing.T) {
	rounds, span := 3, 500*time.Millisecond
	if os.Getenv("CULVERT_MEASURE") == "1" {
		rounds, span = 15, 2*time.Second
	}
	computation := costOfComputation(t)
	t.Logf("what a responder computes for such a request takes %v", computation)
	for _, tt := range []struct {
		outer   outer
		answers bool
	}{{outer4, false}, {outer4, true}, {outer6, true}} {
		answers := tt.answers
		t.Run(fmt.Sprintf("%s, cookies are returned: %v", tt.outer.name, answers), func(t *testing.T) {
			n := build(t, topology{})
			left, right := pair(t, n, tt.outer.right, "")
			n.wantPing(t, 10*time.Second)
			f := n.newFlood(t, tt.outer, answers)
			idle := usedIn(t, right, 3*span)
			stop := f.begin(t)
			used := usedIn(t, right, 3*span) - idle
			sent := stop()
			t.Logf("%d requests in %v cost %v of CPU time", sent, 3*span, used)
			most := time.Duration(sent) * computation / 12
			if answers {
				most *= 2 // two requests, of which one is looked at
			}
			if used > most {
				t.Errorf("the flood costs %v in %v, want at most %v", used, 3*span, most)
			}
			ratio, more := f.throughput(t, nil, rounds, span)
			if ratio < 0.5 {
				t.Errorf("the flood leaves %.2f of the throughput", ratio)
			}
			f.wantCounted(t, right, sent+more)
			wantRekeys(t, left, right, 5*time.Second)
			wantNeverDown(t, left, right)
		})
	}
}

// TestNewPeerBesideStrangers brings a peer up while strangers who return their cookies have as many
// key exchanges computed as they may: it neither waits behind all of them, nor is it dropped.
func TestNewPeerBesideStrangers(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren("")...))
	f := n.newFlood(t, outer4, true)
	f.public = 2
	stop := f.begin(t)
	right.waitCounter("ike_half_open_limit", 100)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		begun := time.Now()
		_, err := left.try(ctx, "up", "right")
		cancel()
		ok(t, err)
		t.Logf("up after %v", time.Since(begun))
		left.do("down", "right")
	}
	sent, c := stop(), right.status().Counters
	if c["ike_dropped_queue_init"] > uint64(sent)/10 {
		t.Errorf("of %d requests %d were dropped at the queue: %v", sent, c["ike_dropped_queue_init"], c)
	}
}

// wantCounted checks what right counted of a flood, of which full queues may have dropped some.
func (f *flood) wantCounted(t *testing.T, right *gateway, sent int) {
	t.Helper()
	right.waitCounter("ike_cookie_sent", uint64(sent)*9/10)
	if f.answers != nil {
		right.waitCounter("ike_bad_key_exchange", uint64(sent)*8/10)
	} else if got := right.status().Counters["ike_bad_key_exchange"]; got > 0 {
		t.Errorf("%d requests without a cookie were looked at", got)
	}
}

// throughput returns the median of TCP's throughput with the flood in proportion to that with
// another one (nil: without any), each measured for the given time in turn, and how many requests
// were sent of f.
func (f *flood) throughput(t *testing.T, other *flood, rounds int, span time.Duration) (median float64, sent int) {
	t.Helper()
	n := f.n
	load, err := netlab.StartLoad(t.Context(), netlab.Flow{From: n.left, To: n.right, Src: leftLAN4, Dst: rightLAN4, Streams: 2})
	ok(t, err)
	defer load.Stop()
	var ratios []float64
	for i := range rounds {
		var octets [2]int64 // without the flood, and with it
		for _, with := range []int{i % 2, 1 - i%2} {
			stop := func() int { return 0 }
			switch {
			case with == 1:
				stop = f.begin(t)
			case other != nil:
				stop = other.begin(t)
			}
			octets[with] = octetsIn(load, span)
			if n := stop(); with == 1 {
				sent += n
			}
		}
		ratios = append(ratios, float64(octets[1])/float64(octets[0]))
	}
	slices.Sort(ratios)
	median = ratios[rounds/2]
	t.Logf("throughput with the flood, to that without, in %d rounds: %.3f (%.3f to %.3f)", rounds, median, ratios[rounds/4], ratios[rounds*3/4])
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
