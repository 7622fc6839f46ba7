//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// TestReloadUnderTraffic changes settings of a tunnel under traffic, one by a reload after the
// other, on both sides. No packet is lost, and the IKE SA and the Child SAs stay.
func TestReloadUnderTraffic(t *testing.T) {
	for _, o := range []outer{outer4, outer6} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			reloadUnderTraffic(t, o)
		})
	}
}

func reloadUnderTraffic(t *testing.T, o outer) {
	t.Helper()
	const rate, newPSK = 200, "the secret that comes after the other one"
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	side := func(g *gateway, secrets, keys, childKeys string, more bool) {
		other, remote, children, local := "right", "remote = \""+o.right+"\"\n", leftChildren(boot+childKeys), "left"
		if g == right {
			other, remote, children, local = "left", "", rightChildren(childKeys), "right"
		}
		if more {
			nets := [2]string{"10.77.0.0/16", "10.78.0.0/16"}
			if g == right {
				nets[0], nets[1] = nets[1], nets[0]
			}
			children = append(children, childText("more", nets[0], nets[1], "  proposals = [\"aes256gcm16\"]"))
		}
		id := strings.Replace(identities(local, other), fmt.Sprintf("%q", psk), secrets, 1)
		g.write(peerText(other, remote+id+keys, children...))
	}
	old, both, fresh := fmt.Sprintf("%q", psk), fmt.Sprintf("[%q, %q]", newPSK, psk), fmt.Sprintf("[%q]", newPSK)
	side(right, old, "", "", false)
	side(left, old, "", "", false)
	right.run()
	left.run()
	left.waitUp("right")
	right.waitUp("left")
	ike, v4, v6 := left.peer("right").SPIi, left.child("right", "v4").SPIOut, left.child("right", "v6").SPIOut
	var streams []*netlab.Stream
	for _, w := range []struct {
		from, to *netlab.Host
		ends     [2]string
	}{{n.left, n.right, [2]string{"10.1.0.1", "10.2.0.1"}}, {n.right, n.left, [2]string{"10.2.0.1", "10.1.0.1"}}, {n.left, n.right, [2]string{"fd01::1", "fd02::1"}}} {
		s, err := netlab.StartStream(w.from, addr(w.ends[0]), w.to, addr(w.ends[1]), rate, 200)
		ok(t, err)
		streams = append(streams, s)
	}
	sent := func(more uint64) {
		t.Helper()
		for _, s := range streams {
			until := s.Sent.Load() + more
			ok(t, netlab.Until(t.Context(), "packets", func() bool { return s.Sent.Load() >= until }))
		}
	}
	for _, step := range []struct {
		name, secrets, keys, childKeys string
		more                           bool
	}{
		{"dpd", old, "dpd = \"7s\"\n", "", false},
		{"lifetimes", old, "dpd = \"7s\"\nike_lifetime = \"3h\"\n", "\n  lifetime = { time = \"50m\", bytes = \"7GB\", packets = 0 }", false},
		{"a child more", old, "", "", true},
		{"a child less", old, "", "", false},
		{"a second secret", both, "", "", false},
		{"the new secret alone", fresh, "", "", false},
		{"the largest packets", fresh, "mtu = 1300\n", "", false},
	} {
		sent(40)
		for _, g := range []*gateway{right, left} {
			side(g, step.secrets, step.keys, step.childKeys, step.more)
			g.do("reload")
			sent(20)
		}
		if p := left.peer("right"); p.SPIi != ike || left.child("right", "v4").SPIOut != v4 || left.child("right", "v6").SPIOut != v6 {
			t.Errorf("%s: the SAs are others: %+v", step.name, p)
		}
	}
	sent(40)
	for i, s := range streams {
		if lost := s.Stop(5 * time.Second); lost != 0 || s.Doubled.Load() != 0 || s.Sent.Load() < 400 {
			t.Errorf("stream %d: %d lost of %d, %d doubled", i, lost, s.Sent.Load(), s.Doubled.Load())
		}
	}
	left.do("down", "right")
	left.do("up", "right") // with the new secret
	n.wantTraffic(t, 1<<16)
	left.stop()
	right.stop()
}
