package netio

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// newRingPair is newPair whose b takes packets past the IP stack.
func newRingPair(t testing.TB, workers int) *pair {
	t.Helper()
	return newRingPairBy(t, workers, false)
}

// newRingPairBy is newRingPair with a choice of the hook.
func newRingPairBy(t testing.TB, workers int, noTCX bool) *pair {
	t.Helper()
	p := newPair(t, workers)
	needPrograms(t)
	p.netB.Close()
	p.netB = openIn(t, p.b, ringConfig(workers, noTCX))
	return p
}

func ringConfig(workers int, noTCX bool) Config {
	return Config{IKEPort: 500, NATPort: 4500, Workers: workers, Mark: testMark, RawESP: true, FastPath: true, Owner: "test0", NoTCX: noTCX}
}

// byEachHook runs f with the program attached by tcx, where the kernel has it, and by clsact.
func byEachHook(t *testing.T, f func(t *testing.T, noTCX bool)) {
	t.Helper()
	for _, noTCX := range []bool{false, true} {
		t.Run(fmt.Sprintf("noTCX=%t", noTCX), func(t *testing.T) { f(t, noTCX) })
	}
}

// live makes SPIs live at b and waits until their packets are taken.
func (p *pair) live(t testing.TB, spis ...uint32) {
	t.Helper()
	for _, spi := range spis {
		p.netB.Live(spi)
	}
	taken := func() bool {
		for _, spi := range spis {
			if p.netB.portOf(spi).ring.Load() == nil {
				return false
			}
		}
		return strings.HasPrefix(p.netB.FastPath().In, "on: ")
	}
	for deadline := time.Now().Add(10 * time.Second); !taken(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the fast path is %q", p.netB.FastPath())
		}
	}
}

// TestInlet: packets of live SPIs come by the ring of the worker that the SPI names, whole, with
// the same addresses and TOS as by the socket; all others come by the socket.
func TestInlet(t *testing.T) { byEachHook(t, takenPackets) }

func takenPackets(t *testing.T, noTCX bool) {
	const workers = 3
	p := newRingPairBy(t, workers, noTCX)
	if got := p.netB.FastPath(); got != (FastPath{"idle", "idle"}) {
		t.Errorf("the fast path is %q before the first SA", got)
	}
	spis := []uint32{1000, 1<<steerShift + 1001, 2<<steerShift + 1002, 0xfffffff1}
	p.live(t, spis...)
	ring := uint64(0)
	for v6 := range addrA {
		for _, size := range []int{8, 64, 1400, 1460} {
			for _, spi := range append(spis, 5000, 1000+knownSlots) {
				known := spi != 5000 && spi != 1000+knownSlots
				out := Outgoing{Data: espPacket(spi, size), Path: espPath(false, at(addrA2[v6], 0), at(addrB2[v6], 0)), TOS: 0xb9}
				if err := sendOne(p.netA.Ports()[0], &out); err != nil {
					t.Fatal(err)
				}
				to := p.receiver(spi, v6, known) // like UDP
				in := recv(t, p.netB.Ports()[to], nil)
				want := espPath(false, at(addrB2[v6], 0), at(addrA2[v6], 0))
				if in.Kind != ESP || !bytes.Equal(in.Data, out.Data) || in.Path != want || in.TOS != 0xb9 {
					t.Errorf("SPI %d, %d octets: got %d octets, %v, TOS %#x", spi, size, len(in.Data), in.Path, in.TOS)
				}
				if known {
					ring++
				}
				if got := p.netB.Counters()["net_ring"]; got != ring {
					t.Fatalf("SPI %d, %d octets, v6=%t: %d packets came by a ring, want %d", spi, size, v6, got, ring)
				}
			}
		}
	}
	for _, port := range p.netB.Ports() {
		mustBeDry(t, port, nil)
	}
}

// TestInletLeavesTheRest: fragments, packets to another listen address and those of an SA that has
// gone come by the socket, and so does everything where the fast path is off.
func TestInletLeavesTheRest(t *testing.T) {
	p := newRingPair(t, 1)
	p.live(t, 1000, 1001)
	p.netB.Gone(1001)
	for v6 := range addrA {
		path := espPath(false, netip.AddrPort{}, at(addrB[v6], 0))
		for name, out := range map[string]Outgoing{
			"a fragment":   {Data: espPacket(1000, 4000), Path: path, Fragment: true},
			"an SA's past": {Data: espPacket(1001, 100), Path: path},
		} {
			if err := sendOne(p.netA.Ports()[0], &out); err != nil {
				t.Fatal(err)
			}
			if in := recv(t, p.netB.Ports()[0], nil); !bytes.Equal(in.Data, out.Data) || p.netB.Counters()["net_ring"] != 0 {
				t.Errorf("v6=%t, %s: %d octets, %d by the ring", v6, name, len(in.Data), p.netB.Counters()["net_ring"])
			}
		}
	}
	if p.netA.Live(1); p.netA.FastPath() != (FastPath{"off", "off"}) {
		t.Errorf("without the option the fast path is %q", p.netA.FastPath())
	}
}

// BenchmarkReceiveRaw is the time of both hosts for a packet of IP protocol 50 that is sent by a
// socket and received over a veth: by the raw socket, and by the ring, in turns.
func BenchmarkReceiveRaw(b *testing.B) {
	p := newRingPair(b, 2)
	p.live(b, 1000)
	tx, rx := p.netA.Ports()[0], p.netB.Ports()[0]
	for _, size := range []int{64, 1400} {
		for _, by := range []struct {
			name string
			spi  uint32
		}{{"socket", 1002}, {"ring", 1000}} {
			outs := make([]Outgoing, 2*maxBurst)
			for i := range outs {
				outs[i] = Outgoing{Data: espPacket(by.spi, size), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
			}
			b.Run(fmt.Sprintf("%s/%d", by.name, size), func(b *testing.B) {
				var in Received
				for n := 0; n < b.N; {
					tx.Send(outs)
					for !poll(rx, 0) {
					}
					for rx.Recv(nil, &in) == nil {
						n++
					}
				}
			})
		}
	}
}
