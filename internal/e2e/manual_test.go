//go:build linux

package e2e

import (
	"context"
	enc "encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// sequences watches protocol 50 on a device: which sequence numbers and IVs each SPI had.
type sequences struct {
	mu       sync.Mutex
	last     map[uint32]uint32
	packets  map[uint32]int
	repeated []string
	ivs      map[uint32]map[uint64]bool
	frames   [][]byte // of SPI 0x1001
}

// watchSequences begins to watch a host's device.
func watchSequences(t *testing.T, h *netlab.Host, dev string) *sequences {
	t.Helper()
	s := &sequences{last: map[uint32]uint32{}, packets: map[uint32]int{}, ivs: map[uint32]map[uint64]bool{}}
	_, err := h.Sniff(dev, s.see)
	ok(t, err)
	return s
}

func (s *sequences) see(frame []byte) {
	const esp = 14 + 20 // behind Ethernet and IPv4 without options
	if len(frame) < esp+16 || frame[12] != 8 || frame[14] != 0x45 || frame[14+9] != 50 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	spi, seq, iv := enc.BigEndian.Uint32(frame[esp:]), enc.BigEndian.Uint32(frame[esp+4:]), enc.BigEndian.Uint64(frame[esp+8:])
	if s.ivs[spi] == nil {
		s.ivs[spi] = map[uint64]bool{}
	}
	if seq <= s.last[spi] || s.ivs[spi][iv] {
		s.repeated = append(s.repeated, fmt.Sprintf("SPI %#x: number %d after %d, IV %x", spi, seq, s.last[spi], iv))
	}
	s.last[spi] = max(s.last[spi], seq)
	s.ivs[spi][iv] = true
	s.packets[spi]++
	if spi == 0x1001 {
		s.frames = append(s.frames, append([]byte(nil), frame...))
	}
}

// wantNoneRepeated fails if there were too few packets of the SPIs, or a sequence number or IV came
// twice. It returns the frames of SPI 0x1001.
func (s *sequences) wantNoneRepeated(t *testing.T, spis ...uint32) [][]byte {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.repeated) > 0 {
		t.Errorf("of %v packets these repeat something: %v", s.packets, s.repeated)
	}
	for _, spi := range spis {
		if s.packets[spi] < 10 {
			t.Errorf("%d packets of SPI %#x were seen, want 10", s.packets[spi], spi)
		}
	}
	return slices.Clone(s.frames)
}

const (
	manualKey1 = "0x000102030405060708090a0b0c0d0e0f10111213"
	manualKey2 = "0x202122232425262728292a2b2c2d2e2f30313233"
)

// manualText returns a manual child of IPv4 with a replay window; an empty key leaves its direction
// out.
func manualText(local, remote, spiOut, keyOut, spiIn, keyIn string) string {
	keys := "cipher = \"aes128gcm16\""
	if keyOut != "" {
		keys += fmt.Sprintf(", spi_out = %q, key_out = %q", spiOut, keyOut)
	}
	if keyIn != "" {
		keys += fmt.Sprintf(", spi_in = %q, key_in = %q", spiIn, keyIn)
	}
	return childText("v4", local, remote, "  replay_window = 64\n  manual = { "+keys+" }")
}

// TestManualKeysOverRestarts restarts both sides of manual SAs, in order and by kill -9. Neither
// sends a sequence number or an IV twice, each takes what the other sends, and a packet of before
// is refused.
func TestManualKeysOverRestarts(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	seen := watchSequences(t, n.right, "wan")
	left.start(peerText("right", "remote = \"192.0.2.2\"\n", manualText("10.1.0.0/16", "10.2.0.0/16", "0x1001", manualKey1, "0x2001", manualKey2)))
	right.start(peerText("left", "remote = \"192.0.2.1\"\n", manualText("10.2.0.0/16", "10.1.0.0/16", "0x2001", manualKey2, "0x1001", manualKey1)))
	n.wantPing(t, 5*time.Second)
	for _, restart := range []struct {
		name string
		do   func()
	}{
		{"left is stopped", func() { left.stop(); left.run() }},
		{"left is killed", func() { left.proc.Kill(); left.run() }},
		{"right is killed", func() { right.proc.Kill(); right.run() }},
		{"both are stopped", func() { left.stop(); right.stop(); right.run(); left.run() }},
	} {
		restart.do()
		n.wantPing(t, 5*time.Second)
		if c := right.child("left", "v4"); c.Drops["replay"] != 0 || c.PacketsIn == 0 || c.PacketsIn > 100 {
			t.Errorf("%s: right has taken %d packets, and others for replays: %v", restart.name, c.PacketsIn, c.Drops)
		}
	}
	frames := seen.wantNoneRepeated(t, 0x1001, 0x2001)
	before := right.child("left", "v4")
	for _, f := range frames {
		ok(t, n.left.Inject("wan", net.HardwareAddr(f[6:12]), net.HardwareAddr(f[:6]), f[14:]))
	}
	right.wait(5*time.Second, "the packets of before to be refused", "left", func(p peerStatus) bool {
		return p.Children[0].Drops["replay"] == uint64(len(frames))
	})
	if after := right.child("left", "v4"); after.PacketsIn != before.PacketsIn {
		t.Errorf("%d packets of before were taken", after.PacketsIn-before.PacketsIn)
	}
}

// TestOneWayManualKeys has an SA of one direction alone, to the right and to the left, under a
// stream that goes on while either side is killed and started again.
func TestOneWayManualKeys(t *testing.T) {
	for _, tt := range []struct{ name, leftOut, leftIn string }{
		{name: "to the right", leftOut: manualKey1},
		{name: "to the left", leftIn: manualKey1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := build(t, topology{})
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			seen := watchSequences(t, n.left, "wan")
			left.start(peerText("right", "remote = \"192.0.2.2\"\n", manualText("10.1.0.0/16", "10.2.0.0/16", "0x1001", tt.leftOut, "0x1001", tt.leftIn)))
			right.start(peerText("left", "remote = \"192.0.2.1\"\n", manualText("10.2.0.0/16", "10.1.0.0/16", "0x1001", tt.leftIn, "0x1001", tt.leftOut)))
			from, to := n.left, n.right
			src, dst := leftLAN4, rightLAN4
			if tt.leftIn != "" {
				from, to, src, dst = to, from, dst, src
			}
			stream, err := netlab.StartStream(from, src, to, dst, 500, 100)
			ok(t, err)
			arrive := func(when string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				until := stream.Received.Load() + 50
				ok(t, netlab.Until(ctx, "datagrams to arrive "+when, func() bool { return stream.Received.Load() >= until }))
			}
			arrive("at the start")
			for _, g := range []*gateway{left, right, left} {
				g.proc.Kill()
				g.run()
				arrive("after " + g.host.Name + " was killed")
			}
			left.stop()
			left.run()
			arrive("after left was stopped")
			stream.Stop(0)
			if stream.Doubled.Load() > 0 {
				t.Errorf("%d datagrams came twice", stream.Doubled.Load())
			}
			seen.wantNoneRepeated(t, 0x1001)
		})
	}
}
