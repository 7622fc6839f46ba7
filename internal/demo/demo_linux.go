package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"culvert/internal/control"
	"culvert/internal/netlab"
)

const topology = `
  10.1.0.1 [left] 192.0.2.1 ------------ 192.0.2.2 [right] 10.2.0.1
`

var leftLAN, rightLAN = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")

// A demo is one run.
type demo struct {
	out         io.Writer
	exe, dir    string
	left, right *netlab.Host
}

// Run runs the demonstration with this program as both gateways and writes its progress to out. It
// takes less than 30 seconds and leaves nothing behind, even if ctx ends early. Without root,
// namespaces or TUN it returns an error that names the remedy.
func Run(ctx context.Context, out io.Writer) (err error) {
	lab, err := netlab.New()
	if err != nil {
		return fmt.Errorf("culvert demo cannot run here: %w", err)
	}
	defer lab.Close()
	d := &demo{out: out}
	if d.exe, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "culvert-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	if err = d.show(ctx, lab); ctx.Err() != nil {
		d.say("\n")
		return ctx.Err() // rather than the error of the step that it ended
	}
	return err
}

func (d *demo) show(ctx context.Context, lab *netlab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return d.build(lab) }, d.start, d.ping, d.throughput, d.rekey, d.status, d.stop,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

func (d *demo) build(lab *netlab.Lab) (err error) {
	d.say("Two gateways, each in a network namespace, each with a network behind it:\n%s\n", topology)
	if d.left, err = lab.Host("left"); err != nil {
		return err
	}
	if d.right, err = lab.Host("right"); err != nil {
		return err
	}
	return errors.Join(
		lab.Link(netlab.Iface{Host: d.left, Name: "wan", Addrs: []string{"192.0.2.1/24"}}, netlab.Iface{Host: d.right, Name: "wan", Addrs: []string{"192.0.2.2/24"}}, 1500),
		d.left.LAN("lan", "10.1.0.1/24"), d.right.LAN("lan", "10.2.0.1/24"))
}

func (d *demo) start(ctx context.Context) error {
	right := gatewayText("right", "left", "", "10.2.0.0/16", "10.1.0.0/16", "traffic")
	left := gatewayText("left", "right", "remote    = \"192.0.2.2\"\n", "10.1.0.0/16", "10.2.0.0/16", "boot")
	d.say("left.toml (right.toml mirrors it and waits for left to initiate):\n\n%s\nright: culvert run --config right.toml\n", indented(left))
	if err := d.run(ctx, d.right, right); err != nil {
		return err
	}
	d.say("left:  culvert run --config left.toml\n")
	began := time.Now()
	if err := d.run(ctx, d.left, left); err != nil {
		return err
	}
	d.say("waiting for the tunnel ... ")
	if _, err := d.left.PingUntil(ctx, leftLAN, rightLAN, 100*time.Millisecond); err != nil {
		return fmt.Errorf("%w\n%s", err, d.explain(ctx))
	}
	d.say("up; the first packet passed %.0f ms after left's daemon was started\n\n", time.Since(began).Seconds()*1000)
	return nil
}

// gatewayText returns the configuration of the gateway me.
func gatewayText(me, peer, extra, local, remote, start string) string {
	return fmt.Sprintf("[[peer]]\nname      = %q\n%slocal_id  = \"%s.example.com\"\nremote_id = \"%s.example.com\"\npsk       = \"correct horse battery staple\"\n\n"+
		"  [[peer.child]]\n  name   = \"lan\"\n  local  = [%q]\n  remote = [%q]\n  start  = %q\n", peer, extra, me, peer, local, remote, start)
}

// indented returns text with four blanks before each line that is not empty.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// run starts a gateway and waits until its daemon answers, so that it can receive the other one's
// first message.
func (d *demo) run(ctx context.Context, h *netlab.Host, text string) error {
	file := filepath.Join(d.dir, h.Name+".toml")
	text = fmt.Sprintf("[daemon]\ncontrol = %q\nstate = %q\nlog = \"warn\"\n\n%s", d.socket(h), filepath.Join(d.dir, h.Name+".state"), text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	p, err := h.Start(nil, d.out, d.exe, "run", "--config", file)
	if err != nil {
		return err
	}
	client := control.NewClient(d.socket(h))
	answers := func() bool {
		_, err := client.Status(ctx, "")
		return err == nil || ended(p)
	}
	if err := netlab.Until(ctx, "the daemon at "+h.Name, answers); err != nil || ended(p) {
		return errors.Join(fmt.Errorf("the daemon at %s did not start", h.Name), err)
	}
	return nil
}

func (d *demo) socket(h *netlab.Host) string { return filepath.Join(d.dir, h.Name+".sock") }

func (d *demo) culvert(ctx context.Context, h *netlab.Host, args ...string) (string, error) {
	return h.Run(ctx, []string{"COLUMNS=100"}, d.exe, append(args, "--control", d.socket(h))...)
}

func ended(p *netlab.Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// explain returns the status of both sides, for a tunnel that did not come up.
func (d *demo) explain(context.Context) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var b strings.Builder
	for _, h := range []*netlab.Host{d.left, d.right} {
		out, _ := d.culvert(ctx, h, "status", "-v")
		fmt.Fprintf(&b, "status at %s:\n%s\n", h.Name, out)
	}
	return b.String()
}

func (d *demo) ping(ctx context.Context) error {
	d.say("ping %s -> %s:", leftLAN, rightLAN)
	for range 5 {
		rtt, err := d.left.Ping(ctx, leftLAN, rightLAN, 56)
		if err != nil {
			return err
		}
		d.say("  %.2f ms", rtt.Seconds()*1000)
	}
	d.say("\n\n")
	return nil
}

func (d *demo) throughput(ctx context.Context) error {
	const octets = 512 << 20
	for _, way := range []struct {
		from, to *netlab.Host
		src, dst netip.Addr
	}{{d.left, d.right, leftLAN, rightLAN}, {d.right, d.left, rightLAN, leftLAN}} {
		d.say("TCP, %d MB with a checksum, %s -> %s ... ", octets>>20, way.from.Name, way.to.Name)
		took, err := netlab.Transfer(ctx, way.from, way.src, way.to, way.dst, octets)
		if err != nil {
			return err
		}
		d.say("%.2f Gbit/s\n", float64(octets)*8/took.Seconds()/1e9)
	}
	d.say("(sender, receiver and both gateways share this machine's cores)\n\n")
	return nil
}

func (d *demo) rekey(ctx context.Context) error {
	d.say("a stream of 1,000 packets/s, with rekeys during it:")
	s, err := netlab.StartStream(d.left, leftLAN, d.right, rightLAN, 1000, 500)
	if err != nil {
		return err
	}
	for i := range 6 {
		h, peer := d.left, "right"
		if i%2 == 1 {
			h, peer = d.right, "left"
		}
		what, arg := "child", peer+"/lan"
		if i >= 4 {
			what, arg = "IKE", peer
		}
		if out, err := d.culvert(ctx, h, "rekey", arg); err != nil {
			s.Stop(0)
			return fmt.Errorf("rekey by %s: %w: %s", h.Name, err, out)
		}
		d.say("  %s by %s", what, h.Name)
		if err := netlab.Until(ctx, "traffic", func() bool { return s.Sent.Load() >= uint64(i+1)*300 }); err != nil {
			return err
		}
	}
	lost := s.Stop(2 * time.Second)
	d.say("\nsent %d packets, lost %d\n\n", s.Sent.Load(), lost)
	if lost > 0 {
		return fmt.Errorf("%d packets were lost during rekeys", lost)
	}
	return nil
}

func (d *demo) status(ctx context.Context) error {
	out, err := d.culvert(ctx, d.left, "status", "-v")
	d.say("culvert status -v, at left:\n%s\n", out)
	return err
}

func (d *demo) stop(ctx context.Context) error {
	if out, err := d.culvert(ctx, d.left, "down", "right"); err != nil {
		return fmt.Errorf("culvert down: %w: %s", err, out)
	}
	d.say("tunnel closed; daemons, devices and namespaces are removed now\n")
	return nil
}
