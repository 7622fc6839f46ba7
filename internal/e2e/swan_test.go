//go:build linux

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// swan starts strongSwan at right, as responder or initiator for the two LANs.
func (n *network) swan(t *testing.T, change func(*netlab.SwanConfig)) *netlab.Swan {
	t.Helper()
	return startSwan(t, n.right, change)
}

func startSwan(t *testing.T, h *netlab.Host, change func(*netlab.SwanConfig)) *netlab.Swan {
	t.Helper()
	cfg := netlab.SwanConfig{
		LocalID: "right.example.com", RemoteID: "left.example.com", PSK: psk,
		Children: map[string][2]string{"v4": {"10.2.0.0/24", "10.1.0.0/24"}},
	}
	if change != nil {
		change(&cfg)
	}
	dir := t.TempDir()
	if cfg.Root == "" {
		netlab.Require(t, netlab.SwanAvailable())
	} else {
		var err error
		dir, err = os.MkdirTemp(filepath.Join(cfg.Root, "tmp"), "swan-")
		ok(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	s, err := h.Swan(dir, cfg)
	ok(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of strongSwan:\n%s", indent(s.Log()))
		}
	})
	return s
}

func ctl(t *testing.T, s *netlab.Swan, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := s.Ctl(ctx, args...)
	ok(t, err)
	return out
}

const swanChildKeys = "  [[peer.child]]\n  name = \"v4\"\n  local = [\"10.1.0.0/24\"]\n  remote = [\"10.2.0.0/24\"]\n"

// leftOf starts culvert at left as the peer of strongSwan.
func leftOf(t *testing.T, n *network, keys, childKeys string) *gateway {
	t.Helper()
	return leftAt(t, n, "192.0.2.2", keys, childKeys)
}

func TestStrongSwan(t *testing.T) {
	for _, tt := range []struct {
		name      string
		top       topology
		initiates string
		ike, esp  string
	}{
		{name: "culvert initiates", initiates: "culvert"},
		{name: "strongSwan initiates", initiates: "strongSwan"},
		{name: "culvert initiates through a NAT", initiates: "culvert", top: topology{nat: true}},
		{name: "AES-256-GCM, ECP-384", initiates: "culvert", ike: "aes256gcm16-prfsha384-ecp384", esp: "aes256gcm16-ecp256"},
		{name: "ChaCha20-Poly1305, X25519", initiates: "strongSwan", ike: "chacha20poly1305-prfsha256-x25519", esp: "chacha20poly1305"},
		{name: "AES-CBC and SHA2, MODP-2048", initiates: "culvert", ike: "aes256-sha512-modp2048", esp: "aes192gcm16"},
		{name: "AES-128-CBC and SHA2-256, MODP-3072", initiates: "strongSwan", ike: "aes128-sha256-modp3072", esp: "aes128gcm16-modp2048"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, tt.top)
			s := n.swan(t, func(c *netlab.SwanConfig) {
				c.IKE, c.ESP = tt.ike, tt.esp
				if tt.initiates == "strongSwan" {
					c.RemoteAddr = "192.0.2.1"
				}
			})
			keys, child := "", ""
			if tt.ike != "" {
				keys, child = "ike_proposals = [\""+tt.ike+"\"]\n", "  proposals = [\""+tt.esp+"\"]\n"
			}
			if tt.initiates == "strongSwan" {
				left := leftOf(t, n, keys, child+"  start = \"never\"")
				ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
				left.waitUp("right")
				checkSwan(t, n, left)
				return
			}
			left := leftOf(t, n, keys, child+boot)
			left.waitUp("right")
			checkSwan(t, n, left)
			left.do("rekey", "right/v4") // with the group, where the proposal has one
			n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
		})
	}
}

// checkSwan checks traffic both ways, in UDP: strongSwan's userspace ESP takes nothing else, and
// says by NAT detection that there is a NAT.
func checkSwan(t *testing.T, n *network, left *gateway) {
	t.Helper()
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	if c := left.child("right", "v4"); c.Encap != "udp" || c.EncapWhy != "there is a NAT" {
		t.Errorf("encap %q because %q, want udp because there is a NAT", c.Encap, c.EncapWhy)
	}
}

// TestStrongSwanInitiatesThroughNAT has strongSwan behind the NAT and culvert outside.
func TestStrongSwanInitiatesThroughNAT(t *testing.T) {
	n := build(t, topology{nat: true})
	s := startSwan(t, n.left, func(c *netlab.SwanConfig) {
		c.LocalID, c.RemoteID, c.RemoteAddr = "left.example.com", "right.example.com", "192.0.2.2"
		c.Children = map[string][2]string{"v4": {"10.1.0.0/24", "10.2.0.0/24"}}
	})
	right := newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), childText("v4", "10.2.0.0/24", "10.1.0.0/24", "")))
	ctl(t, s, "--initiate", "--child", "v4", "--timeout", "15")
	right.waitUp("left")
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	pace, wantNoneLost := n.streams(t)
	for range 3 {
		pace()
		rekeys := right.child("left", "v4").Rekeys
		ctl(t, s, "--rekey", "--child", "v4")
		right.wait(10*time.Second, "strongSwan's rekey of the child", "left", func(p peerStatus) bool { return p.Children[0].Rekeys > rekeys })
		right.do("rekey", "left/v4")
		right.do("rekey", "left")
	}
	wantNoneLost()
	if p := right.peer("left"); p.NAT != "remote" && p.NAT != "both" { // strongSwan's userspace ESP always claims a NAT on its own side, too
		t.Errorf("right says NAT %q", p.NAT)
	}
}

func TestStrongSwanLosesItsSAsOnSIGTERM(t *testing.T) {
	n := build(t, topology{})
	s := n.swan(t, nil)
	left := leftOf(t, n, "", boot)
	left.waitUp("right")
	if out := ctl(t, s, "--list-sas"); !strings.Contains(out, "ESTABLISHED") {
		t.Fatalf("strongSwan has no SA:\n%s", out)
	}
	left.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ok(t, netlab.Until(ctx, "strongSwan to have no SA", func() bool {
		out, err := s.Ctl(ctx, "--list-sas")
		return err == nil && !strings.Contains(out, "culvert")
	}))
}

func TestStrongSwanRekeysUnderTraffic(t *testing.T) {
	for _, top := range []topology{{}, {nat: true}} {
		name := "direct"
		if top.nat {
			name = "NAT"
		}
		t.Run(name, func(t *testing.T) {
			n := build(t, top)
			s := n.swan(t, nil)
			left := leftOf(t, n, "", boot)
			left.waitUp("right")
			n.wantTrafficOf(t, 1<<18, leftLAN4, rightLAN4)
			pace, wantNoneLost := n.streams(t)
			for i := range 20 {
				pace()
				rekeys := left.child("right", "v4").Rekeys
				ctl(t, s, "--rekey", "--child", "v4")
				left.wait(10*time.Second, "strongSwan's rekey of the child", "right", func(p peerStatus) bool { return p.Children[0].Rekeys > rekeys && p.Children[0].State == "installed" })
				if i%6 == 5 {
					spi := left.peer("right").SPIi
					ctl(t, s, "--rekey", "--ike", "culvert")
					left.wait(10*time.Second, "strongSwan's rekey of the IKE SA", "right", func(p peerStatus) bool { return p.SPIi != spi && p.State == "established" })
				}
				if i%5 == 4 {
					left.do("rekey", "right/v4")
					left.do("rekey", "right")
				}
			}
			wantNoneLost()
		})
	}
}

func TestStrongSwanFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		keys   string
		child  string
		change func(*netlab.SwanConfig)
		want   []string // words of the reason in culvert's status
	}{
		{name: "wrong PSK", change: func(c *netlab.SwanConfig) { c.PSK = "another" }, want: []string{"AUTHENTICATION_FAILED"}},
		{name: "no common IKE proposal", change: func(c *netlab.SwanConfig) { c.IKE = "aes128-sha256-modp4096" },
			keys: "ike_proposals = [\"aes256gcm16-prfsha384-x25519\"]\n", want: []string{"NO_PROPOSAL_CHOSEN"}},
		{name: "no common ESP proposal", change: func(c *netlab.SwanConfig) { c.ESP = "chacha20poly1305" },
			child: "  proposals = [\"aes256gcm16\"]\n", want: []string{"NO_PROPOSAL_CHOSEN"}},
		{name: "selectors that do not meet", change: func(c *netlab.SwanConfig) {
			c.Children = map[string][2]string{"v4": {"10.2.7.0/24", "10.1.7.0/24"}}
		}, want: []string{"TS_UNACCEPTABLE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			n.swan(t, tt.change)
			left := leftOf(t, n, tt.keys, tt.child+boot)
			left.wait(15*time.Second, "a reason", "right", func(p peerStatus) bool {
				text := p.Reason + " " + p.Children[0].Reason
				for _, w := range tt.want {
					if !strings.Contains(text, w) {
						return false
					}
				}
				return p.Children[0].State != "installed"
			})
		})
	}
}

func TestStrongSwanDies(t *testing.T) {
	n := build(t, topology{})
	s := n.swan(t, nil)
	left := leftOf(t, n, "dpd = \"1s\"\n", boot)
	left.waitUp("right")
	n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
	spi := left.peer("right").SPIi
	s.Kill()
	s = n.swan(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	_, err := n.left.PingUntil(ctx, leftLAN4, rightLAN4, time.Second)
	ok(t, err)
	if now := left.peer("right").SPIi; now == spi {
		t.Errorf("IKE SA %s is still shown after the peer was killed", spi)
	}
	_ = s
}
