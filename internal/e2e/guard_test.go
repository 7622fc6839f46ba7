//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culvert/internal/netlab"
	"culvert/tun/guard"
)

// whisper sends datagrams between two hosts' inner addresses, 500 per second in each family,
// whatever their fate, until stop or the end of the test. more waits for n more attempts.
func whisper(t *testing.T, h *netlab.Host, flows ...[2]netip.Addr) (more func(n uint64), stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var tried atomic.Uint64
	var running sync.WaitGroup
	for _, f := range flows {
		var c *net.UDPConn
		ok(t, h.Do(func() (err error) {
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(f[0], 0)))
			return err
		}))
		to := netip.AddrPortFrom(f[1], 9)
		running.Go(func() {
			defer c.Close()
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				_, _ = c.WriteToUDPAddrPort([]byte("in confidence"), to)
				tried.Add(1)
				<-tick.C
			}
		})
	}
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	more = func(n uint64) {
		t.Helper()
		from := tried.Load()
		limit, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		ok(t, netlab.Until(limit, "datagrams", func() bool { return tried.Load() >= from+n }))
	}
	return more, stop
}

// inside is the flows between the sites, from left's side.
var inside = [][2]netip.Addr{{leftLAN4, rightLAN4}, {leftLAN6, rightLAN6}}

// guards returns the devices that have a guard on the gateway's host.
func (g *gateway) guards() (list []string) {
	g.t.Helper()
	ok(g.t, g.host.Do(func() (err error) { list, err = guard.Devices(); return err }))
	return list
}

// ended waits for the daemon's end.
func (g *gateway) ended(code int) {
	g.t.Helper()
	select {
	case <-g.proc.Done():
	case <-time.After(10 * time.Second):
		g.t.Fatalf("culvert at %s does not end", g.host.Name)
	}
	if c := g.proc.ExitCode(); c != code {
		g.t.Errorf("culvert at %s ended with status %d, want %d", g.host.Name, c, code)
	}
}

// restarts is the number of tries of each kind of end.
const restarts = 10

// However the daemon ends and comes back, no packet leaves unprotected.
func TestNothingLeaksWhateverTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(g *gateway)
	}{
		{"SIGTERM", func(g *gateway) { ok(g.t, g.proc.Signal(syscall.SIGTERM)); g.ended(0) }},
		{"SIGINT, but not at a terminal", func(g *gateway) { ok(g.t, g.proc.Signal(os.Interrupt)); g.ended(0) }},
		{"kill -9", func(g *gateway) { g.proc.Kill() }},
		{"a panic", panicked},
		{"a fatal error's dump", func(g *gateway) { ok(g.t, g.proc.Signal(syscall.SIGQUIT)); g.ended(2) }},
		{"the device is deleted", func(g *gateway) {
			link, err := g.host.Netlink().LinkByName("culvert0")
			ok(g.t, err, g.host.Netlink().LinkDel(link))
			g.ended(1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := build(t, topology{})
			left, right := pair(t, n, "192.0.2.2", "")
			more, _ := whisper(t, n.left, inside...)
			again := func() {
				t.Helper()
				left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...))
				left.waitUp("right")
			}
			if tt.name == "a panic" {
				left.stop()
				left.program = panicking(t)
				again()
			}
			for i := range restarts {
				tt.end(left)
				if i%2 == 0 { // otherwise it is started at once
					more(100)
				}
				n.leaks.wantNone(t, "after the end")
				if got := left.guards(); len(got) != 1 || got[0] != "culvert0" {
					t.Fatalf("the guards are %q", got)
				}
				again()
				more(20)
				n.leaks.wantNone(t, "after the start")
			}
			left.stop()
			right.stop()
		})
	}
}

// release runs culvert release for the gateway's device.
func (g *gateway) release(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	return g.host.Run(ctx, nil, binary, append([]string{"release"}, args...)...)
}

// The guard stays after an ordered end, which the log states; release removes it without a trace,
// and prints what that opens.
func TestRelease(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	if out, err := left.release("--tun", "culvert0"); err == nil || !strings.Contains(out, "--force") {
		t.Errorf("with a daemon: %v, %s", err, out)
	}
	if out, err := left.release("--config", left.config()); err == nil || !strings.Contains(out, "is running") {
		t.Errorf("with a daemon: %v, %s", err, out)
	}
	left.stop()
	lines := strings.Split(strings.TrimSpace(left.proc.Output()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "the guard stays") || !strings.Contains(last, "culvert release --tun culvert0") {
		t.Errorf("the last line is %q", last)
	}
	more, stop := whisper(t, n.left, inside...)
	more(50)
	n.leaks.wantNone(t, "after the end")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if out, err := left.try(ctx, "status"); err == nil || !strings.Contains(out, "the guard of culvert0 is up") || strings.Contains(out, "dropped so far: 0 out") {
		t.Errorf("status without a daemon: %v, %s", err, out)
	}
	out, err := left.release("--config", left.config())
	ok(t, err)
	for _, want := range []string{"10.1.0.0/16", "10.2.0.0/16", "fd01::/64", "fd02::/64"} {
		if !strings.Contains(out, want) {
			t.Errorf("release does not name %s: %s", want, out)
		}
	}
	if got := left.guards(); len(got) > 0 {
		t.Errorf("the guards are %q", got)
	}
	left.wantNothingLeft()
	more(50)
	stop()
	if got, _ := n.leaks.take(t); got == 0 {
		t.Error("after the release nothing leaves: it was not the guard that held it back")
	}
	out, err = left.release()
	if ok(t, err); !strings.Contains(out, "nothing to release") {
		t.Errorf("a second time: %s", out)
	}
	// The other side's guard still rejects plaintext.
	if s := right.status(); s.Guard.State != "on" || s.Guard.Drops.In == 0 {
		t.Errorf("right's guard: %+v", s.Guard)
	}
}

// `culvert guard` holds traffic back before there is a daemon, which takes over without a gap.
func TestGuardAlone(t *testing.T) {
	n := build(t, topology{})
	left, right := newGateway(t, n.left), newGateway(t, n.right)
	peer := peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren(boot)...)
	left.write(peer)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := n.left.Run(ctx, nil, binary, "guard", "--config", left.config())
	if ok(t, err); !strings.Contains(out, "culvert release") {
		t.Errorf("culvert guard says %q", out)
	}
	more, _ := whisper(t, n.left, inside...)
	more(100)
	n.leaks.wantNone(t, "before the daemon")
	right.start(peerText("left", identities("right", "left"), rightChildren("")...))
	left.start(peer)
	left.waitUp("right")
	if out, err := n.left.Run(ctx, nil, binary, "guard", "--config", left.config()); err == nil {
		t.Errorf("culvert guard beside a daemon: %s", out)
	}
	n.wantTraffic(t, 1<<16)
	left.stop()
	right.stop()
}

// The leaks of a routed policy: another's NAT, a socket bound to the device, plaintext from outside
// (P9 to P11).
func TestGuardWhereRoutesDoNotHelp(t *testing.T) {
	n := build(t, topology{})
	left, right := pair(t, n, "192.0.2.2", "")
	for _, f := range inside {
		var c net.Conn
		ok(t, n.left.Do(func() (err error) {
			d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(f[0], 0)), Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { _ = unix.BindToDevice(int(fd), "wan") })
			}}
			c, err = d.Dial("udp", netip.AddrPortFrom(f[1], 9).String())
			return err
		}))
		defer c.Close()
		_, _ = c.Write([]byte("around the tunnel"))
	}
	n.leaks.wantNone(t, "bound to the device")
	if s := left.status(); s.Guard.State != "on" || s.Guard.Drops.Out != 2 {
		t.Errorf("left's guard: %+v", s.Guard)
	}
	byChild := uint64(0)
	for _, c := range left.status().Peers[0].Children {
		byChild += c.GuardDrops.Out
	}
	if byChild != 2 {
		t.Errorf("left's guard has counted %d for its children, want 2", byChild)
	}
	// Left's firewall is cleared, tunnel and all: the guard is back within a second, and meanwhile
	// no packet needed it.
	more, _ := whisper(t, n.left, inside...)
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := n.left.Run(ctx, nil, "nft", "flush", "ruleset")
		ok(t, err, netlab.Until(ctx, "the guard to be put back", func() bool { return left.status().Guard.Repairs == uint64(i+1) }))
		cancel()
	}
	more(100)
	n.leaks.wantNone(t, "under nft flush ruleset")
	n.wantTraffic(t, 1<<16)
	left.stop()
	right.stop()
}

// A daemon at a terminal holds nothing back after Ctrl-C ends it.
func TestInterruptAtATerminal(t *testing.T) {
	n := build(t, topology{})
	left := newGateway(t, n.left)
	left.write(onePeer())
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	netlab.Require(t, err)
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	ok(t, err, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	netlab.Require(t, err)
	defer terminal.Close()
	cmd := exec.Command(binary, "run", "--config", left.config())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	go func() { // otherwise the terminal's buffer fills up
		buf := make([]byte, 4096)
		for {
			if _, err := master.Read(buf); err != nil {
				return
			}
		}
	}()
	ok(t, n.left.Do(func() error {
		if err := cmd.Start(); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := netlab.Until(ctx, "the guard", func() bool { list, _ := guard.Devices(); return len(list) == 1 })
		if _, e := master.Write([]byte{3}); err == nil { // Ctrl-C
			err = e
		}
		if e := cmd.Wait(); err == nil {
			err = e
		}
		return err
	}))
	if got := left.guards(); len(got) > 0 {
		t.Errorf("the guards are %q", got)
	}
	left.wantNothingLeft()
}

// Without a guard, the unreachable routes stay after an ordered end and after SIGKILL, until
// release removes them.
func TestEndsWithoutAGuard(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(g *gateway)
	}{
		{"SIGTERM", func(g *gateway) { ok(g.t, g.proc.Signal(syscall.SIGTERM)); g.ended(0) }},
		{"kill -9", func(g *gateway) { g.proc.Kill() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := build(t, topology{})
			left := newGateway(t, n.left)
			left.daemon = "guard = \"off\""
			left.start(peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right"), leftChildren("")...))
			if s := left.status(); s.Guard.State != "off" {
				t.Errorf("the guard is %+v", s.Guard)
			}
			tt.end(left)
			const says = "the routes that make protected networks unreachable stay"
			if out := left.proc.Output(); tt.name == "SIGTERM" && !strings.Contains(out, says) {
				t.Errorf("the log does not say what stays:\n%s", indent(out))
			}
			more, stop := whisper(t, n.left, inside...)
			more(50)
			n.leaks.wantNone(t, "after the end")
			out, err := left.release("--tun", "culvert0")
			if ok(t, err); !strings.Contains(out, "10.2.0.0/16") {
				t.Errorf("release does not name what it opens: %s", out)
			}
			_ = os.Remove(filepath.Join(left.dir, "control.sock")) // which kill -9 leaves
			left.wantNothingLeft()
			more(50)
			stop()
			if got, _ := n.leaks.take(t); got == 0 {
				t.Error("after the release nothing leaves: it was not the routes that held it back")
			}
		})
	}
}
