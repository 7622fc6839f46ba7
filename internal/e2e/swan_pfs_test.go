//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// swanESP are strongSwan's settings for PFS.
var swanESP = []struct{ name, proposal string }{
	{"PFS", "aes128gcm16-x25519"},
	{"no PFS", "aes128gcm16"},
	{"ecp256 first", "aes128gcm16-ecp256-x25519"},
	{"modp2048 first", "aes128gcm16-modp2048-x25519"},
	{"modp2048 alone", "aes128gcm16-modp2048"},
}

// lifetimesEnv is the variable with the number of lifetimes over which every cell of
// TestStrongSwanPFS runs. Without it, a part of the cells runs over a few.
const lifetimesEnv = "CULVERT_LIFETIMES"

// TestStrongSwanPFS lets the lifetime of a Child SA end several times, with culvert's default
// proposals: whatever strongSwan says of PFS, whoever connects and rekeys, and wherever there are
// NATs, no packet is lost.
func TestStrongSwanPFS(t *testing.T) {
	lifetimes, whole := 3, false
	if text := os.Getenv(lifetimesEnv); text != "" {
		var err error
		lifetimes, err = strconv.Atoi(text)
		ok(t, err)
		whole = true
	}
	sides := []string{"culvert", "strongSwan"}
	for p, path := range swanPaths {
		for e, esp := range swanESP {
			for c, connects := range sides {
				for r, rekeys := range sides {
					if !whole && (e != (p+2*c)%len(swanESP) || r != (p+c)%2) { // each path with each side that connects
						continue
					}
					t.Run(fmt.Sprintf("%s, %s, %s connects, %s rekeys", path.name, esp.name, connects, rekeys), func(t *testing.T) {
						t.Parallel()
						lifetimesBesideSwan(t, path, esp.proposal, connects, rekeys, lifetimes)
						if whole {
							fmt.Fprintf(os.Stderr, "%s: failed: %v\n", t.Name(), t.Failed())
						}
					})
				}
			}
		}
	}
}

// TestStrongSwanVerified: up --verify tells a tunnel that will be rekeyed from one that will not,
// because strongSwan wants another group, and names PFS.
func TestStrongSwanVerified(t *testing.T) {
	for _, tt := range []struct {
		name, theirs, ours string
		refused            bool
	}{
		{name: "PFS", theirs: "aes128gcm16-ecp256"},
		{name: "no PFS", theirs: "aes128gcm16"},
		{name: "modp2048 alone", theirs: "aes128gcm16-modp2048"},
		{name: "another group", theirs: "aes128gcm16-ecp256", ours: "  proposals = [\"aes128gcm16-x25519\"]\n", refused: true},
		{name: "no PFS here", theirs: "aes128gcm16-ecp256", ours: "  proposals = [\"aes128gcm16\"]\n", refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			n.swan(t, func(c *netlab.SwanConfig) { c.ESP = tt.theirs })
			left := leftOf(t, n, "", tt.ours+"  start = \"never\"\n")
			left.do("up", "right")
			spi := left.peer("right").SPIi
			out, err := left.try(t.Context(), "up", "right", "--verify")
			if !tt.refused {
				if err != nil || !strings.Contains(out, "can be rekeyed") || left.child("right", "v4").Rekeys != 1 || left.peer("right").SPIi == spi {
					t.Errorf("%s, %v; %d rekeyings", out, err, left.child("right", "v4").Rekeys)
				}
				return
			}
			if err == nil {
				t.Fatalf("verified: %s", out)
			}
			for _, want := range []string{"right is up, but the Child SA of v4 cannot be rekeyed", "NO_PROPOSAL_CHOSEN", "PFS", "see pfs and proposals"} {
				if text := out + err.Error(); !strings.Contains(text, want) {
					t.Errorf("%q lacks %q", text, want)
				}
			}
		})
	}
}

// lifetimesBesideSwan is one cell of TestStrongSwanPFS.
func lifetimesBesideSwan(t *testing.T, path swanPath, esp, connects, rekeys string, lifetimes int) {
	n, leftAddr, rightAddr := path.build(t, connects)
	s := n.swan(t, func(c *netlab.SwanConfig) {
		c.RemoteAddr, c.ESP = leftAddr, esp
		if connects == "culvert" {
			c.RemoteAddr = "" // a NAT may give left any address
		}
		if rekeys == "strongSwan" {
			c.ChildRekey, c.ChildLife = "2s", "20s"
		}
	})
	child := "  start = \"never\"\n"
	if connects == "culvert" {
		child = boot + "\n"
	}
	if rekeys == "culvert" {
		child += "  lifetime = { time = \"2s\" }\n"
	}
	left := leftAt(t, n, rightAddr, "", child)
	if connects == "strongSwan" {
		ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
	}
	left.waitUp("right")
	path.wantNAT(t, left)
	n.wantNoneLostOver(t, left, lifetimes)
}

// wantNoneLostOver checks that 200 packets/s each way all arrive while the child is rekeyed.
func (n *network) wantNoneLostOver(t *testing.T, left *gateway, rekeys int) {
	t.Helper()
	n.wantPing(t, 10*time.Second)
	begun := left.child("right", "v4").Rekeys
	right, err := netlab.StartStream(n.left, leftLAN4, n.right, rightLAN4, 200, 200)
	ok(t, err)
	back, err := netlab.StartStream(n.right, rightLAN4, n.left, leftLAN4, 200, 200)
	ok(t, err)
	left.wait(time.Duration(20+5*rekeys)*time.Second, "rekeys by lifetime", "right", func(p peerStatus) bool {
		time.Sleep(200 * time.Millisecond) // a look costs a process, and many keep the machine busy
		return p.Children[0].Rekeys >= begun+rekeys && p.Children[0].State == "installed"
	})
	for name, s := range map[string]*netlab.Stream{"left to right": right, "right to left": back} {
		if lost := s.Stop(3 * time.Second); lost != 0 || s.Sent.Load() < 200 {
			t.Errorf("%s: %d of %d datagrams lost: %d", name, lost, s.Sent.Load(), s.Missing())
			n.logDrops(t)
		} else {
			t.Logf("%s: 0 of %d datagrams lost", name, s.Sent.Load())
		}
	}
	wantNeverDown(t, left)
}
