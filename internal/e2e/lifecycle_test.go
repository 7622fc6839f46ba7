//go:build linux

package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// runFails checks that `culvert run` fails at once with the words in its message and exit status 1,
// and leaves nothing behind.
func runFails(t *testing.T, g *gateway, words ...string) {
	t.Helper()
	p, err := g.host.Start(nil, nil, binary, "run", "--config", g.config())
	ok(t, err)
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		p.Kill()
		t.Fatalf("culvert run goes on:\n%s", p.Output())
	}
	if p.ExitCode() != 1 {
		t.Errorf("exit status %d, want 1", p.ExitCode())
	}
	for _, w := range words {
		if !strings.Contains(p.Output(), w) {
			t.Errorf("the message does not name %q:\n%s", w, p.Output())
		}
	}
	if strings.Contains(p.Output(), "goroutine") {
		t.Errorf("a panic or a stack:\n%s", p.Output())
	}
}

func onePeer() string {
	return peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren("")...)
}

func TestStartErrors(t *testing.T) {
	n := build(t, topology{})
	g := newGateway(t, n.left)

	t.Run("port in use", func(t *testing.T) {
		var c net.PacketConn
		ok(t, n.left.Do(func() (err error) { c, err = net.ListenPacket("udp", ":4500"); return err }))
		defer c.Close()
		g.write(onePeer())
		runFails(t, g, "4500")
		g.wantNothingLeft()
	})
	t.Run("device name taken", func(t *testing.T) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "culvert0"
		taken := &netlink.Veth{LinkAttrs: attrs, PeerName: "culvertx"}
		ok(t, n.left.Netlink().LinkAdd(taken))
		defer n.left.Netlink().LinkDel(taken)
		g.write(onePeer())
		runFails(t, g, "culvert0")
	})
	t.Run("bad file", func(t *testing.T) {
		ok(t, os.WriteFile(g.config(), []byte("[[peer]]\nname = \"right\"\nremotee = \"192.0.2.2\"\npsk = \"x\"\n"), 0o600))
		runFails(t, g, "culvert.toml:3", "remotee", "remote")
		g.wantNothingLeft()
	})
	t.Run("secrets for everybody", func(t *testing.T) {
		g.write(onePeer())
		ok(t, os.Chmod(g.config(), 0o644))
		runFails(t, g, "chmod")
		ok(t, os.Chmod(g.config(), 0o600))
	})
	t.Run("second daemon", func(t *testing.T) {
		g.start(onePeer())
		runFails(t, g, "control.sock")
		g.stop()
	})
	t.Run("no rights", func(t *testing.T) {
		dir, err := os.MkdirTemp("/tmp", "culvert-norights-")
		ok(t, err)
		defer os.RemoveAll(dir)
		g := &gateway{t: t, host: n.left, dir: dir}
		g.write(onePeer())
		ok(t, os.Chmod(dir, 0o777), os.Chown(g.config(), 65534, 65534))
		bin := filepath.Join(dir, "culvert")
		b, err := os.ReadFile(binary)
		ok(t, err, os.WriteFile(bin, b, 0o755))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		out, err := n.left.Run(ctx, nil, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", bin, "run", "--config", g.config())
		if err == nil || !strings.Contains(strings.ToLower(out), "root") && !strings.Contains(out, "CAP_NET_ADMIN") {
			t.Errorf("without rights: %v\n%s", err, out)
		}
	})
}

func TestSIGTERMWithALivePeer(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	left.stop()
	right.wait(5*time.Second, "right to have no SA", "left", func(p peerStatus) bool { return p.State == "down" && p.Children[0].State != "installed" })
	right.stop()
}

func TestSIGTERMWithADeadPeer(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	right.proc.Kill()
	left.stopsAtOnce()
}

func TestUpAndDown(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren("  start = \"never\"")...))
	left.do("up", "right/v4")
	if left.child("right", "v4").State != "installed" || left.child("right", "v6").State == "installed" {
		t.Errorf("after up right/v4: %+v", left.peer("right"))
	}
	left.do("up", "right")
	left.waitUp("right")
	n.wantTraffic(t, 1<<16)
	left.do("down", "right/v6")
	if left.child("right", "v4").State != "installed" || left.child("right", "v6").State == "installed" {
		t.Errorf("after down right/v6: %+v", left.peer("right"))
	}
	left.do("down", "right")
	right.wait(5*time.Second, "right to see the end", "left", func(p peerStatus) bool { return p.State == "down" })
	right.t.Log(right.do("status"))
}

func TestReload(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	spi := left.peer("right").SPIi
	base := peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...)
	left.write(base, peerText("third", "remote = \"192.0.2.3\"\n"+identities("left", "third"), childText("lan", "10.1.0.0/16", "10.3.0.0/16", "")))
	if out := left.do("reload"); !strings.Contains(out, "third") {
		t.Errorf("culvert reload does not say what it does: %q", out)
	}
	if p := left.peer("right"); p.SPIi != spi || p.State != "established" {
		t.Errorf("an unchanged peer was touched by reload: %+v", p)
	}
	if s := left.child("third", "lan").State; s != "waiting" {
		t.Errorf("the new peer's child is %q, want waiting", s)
	}
	ok(t, os.WriteFile(left.config(), []byte("[[peer]]\nbroken"), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if out, err := left.try(ctx, "reload"); err == nil {
		t.Errorf("reload of a broken file succeeds: %s", out)
	}
	left.write() // as if a file were missing
	if out, err := left.try(ctx, "reload"); err == nil || !strings.Contains(out, "removes 2 of 2 peers") {
		t.Errorf("reload of a file without peers: %v, %s", err, out)
	}
	n.wantTraffic(t, 1<<16)
	left.write(base)
	if out := left.do("reload", "--dry-run"); !strings.Contains(out, "peers: 1 removed, 1 kept as they are; nothing was changed") || len(left.status().Peers) != 2 {
		t.Errorf("a dry run: %s", out)
	}
	ok(t, left.proc.Signal(syscall.SIGHUP))
	ok(t, netlab.Until(ctx, "SIGHUP to take the third peer away", func() bool { return len(left.status().Peers) == 1 }))
	n.wantTraffic(t, 1<<16)
	right.stop()
}

func TestManualKeys(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	const k1, k2 = "0x000102030405060708090a0b0c0d0e0f10111213", "0x202122232425262728292a2b2c2d2e2f30313233"
	manual := func(out, in, kout, kin string) string {
		return "  manual = { spi_out = \"" + out + "\", key_out = \"" + kout + "\", spi_in = \"" + in + "\", key_in = \"" + kin + "\", cipher = \"aes128gcm16\" }"
	}
	left.start(peerText("right", "remote = \"192.0.2.2\"\n", childText("v4", "10.1.0.0/16", "10.2.0.0/16", manual("0x1001", "0x2001", k1, k2))))
	right.start(peerText("left", "remote = \"192.0.2.1\"\n", childText("v4", "10.2.0.0/16", "10.1.0.0/16", manual("0x2001", "0x1001", k2, k1))))
	n.wantTrafficOf(t, 1<<20, leftLAN4, rightLAN4)
	if n.leaks.esp.Load() == 0 {
		t.Error("no protocol 50 packet was seen")
	}
}
