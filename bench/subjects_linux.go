package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"culvert/internal/control"
	"culvert/internal/daemon"
	"culvert/internal/netlab"
)

// Plain is the routed link without a VPN.
type Plain struct{}

// Name returns the subject's name.
func (Plain) Name() string { return "plain link" }

// Version returns a description of the link.
func (Plain) Version(context.Context) (string, error) { return "veth, MTU 1500, no VPN", nil }

// Start routes the two networks to each other.
func (Plain) Start(_ context.Context, s Site) ([]*netlab.Process, error) {
	return nil, errors.Join(s.Left.Route(rightNet, "192.0.2.2", 0), s.Right.Route(leftNet, "192.0.2.1", 0))
}

// Culvert is a culvert binary with the settings to measure.
type Culvert struct {
	Binary string
	UDP    bool   // encap = "always"; otherwise "never": protocol 50
	Cipher string // an ESP proposal
	Floor  bool   // built with -tags floor: it encrypts nothing
	Label  string // follows the name in brackets, to distinguish several binaries
	// Networks is the number of additional remote networks of each gateway. They carry no traffic
	// and show what policies, routes and the guard cost by their number.
	Networks int
}

// Name returns the subject's name.
func (c Culvert) Name() string {
	name := "culvert, protocol 50"
	switch {
	case c.Floor:
		name = Floor
	case c.UDP:
		name = "culvert, UDP"
	}
	if c.Label != "" {
		name += " (" + c.Label + ")"
	}
	return name
}

// Version returns the binary's version. It returns an error if the binary encrypts and Floor is
// set, or the reverse.
func (c Culvert) Version(ctx context.Context) (string, error) {
	version, err := firstLine(ctx, c.Binary, "version")
	if err != nil {
		return "", err
	}
	if strings.Contains(version, daemon.FloorWarning) != c.Floor {
		return "", fmt.Errorf("%s is not the expected build: %s", c.Binary, version)
	}
	return fmt.Sprintf("%s; %s", version, c.Cipher), nil
}

// MakesMany marks culvert as a Multiplier.
func (Culvert) MakesMany() {}

// A gateway is one side of the tunnels.
type gateway struct {
	host     *netlab.Host
	me, peer string // names, to which a tunnel's number is added where there are several
	remote   string // address; empty: it only answers
}

// peerName returns the name of the peer of a tunnel, one of several.
func (g gateway) peerName(tunnel, of int) string { return numbered(g.peer, tunnel, of) }

// numbered adds a tunnel's number to a name, if there are several tunnels.
func numbered(name string, tunnel, of int) string {
	if of == 1 {
		return name
	}
	return fmt.Sprint(name, tunnel)
}

// Start starts both gateways, the responder (right) first.
func (c Culvert) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	var env []string
	if c.Floor {
		env = []string{daemon.FloorVariable + "=" + daemon.FloorConsent}
	}
	var procs []*netlab.Process
	for _, g := range []gateway{{s.Right, "right", "left", ""}, {s.Left, "left", "right", "192.0.2.2"}} {
		file := filepath.Join(s.Dir, g.me+".toml")
		if err := os.WriteFile(file, []byte(c.config(g, s)), 0o600); err != nil {
			return procs, err
		}
		p, err := g.host.Start(env, nil, c.Binary, "run", "--config", file)
		if err != nil {
			return procs, err
		}
		procs = append(procs, p)
		if g.me == "right" {
			// It answers as soon as the peers are in force.
			c := control.NewClient(filepath.Join(s.Dir, "right.sock"))
			if err := netlab.Until(ctx, "the responder", func() bool { _, err := c.Status(ctx, g.peerName(0, s.Peers)); return err == nil }); err != nil {
				return procs, err
			}
			if s.Peers > 1 {
				if err := g.host.RouteTo(leftNet, deviceName); err != nil {
					return procs, err
				}
			}
		}
	}
	return procs, nil
}

// deviceName is the name of culvert's device.
const deviceName = "culvert0"

// config returns the configuration of a gateway: a peer for each tunnel. Of several tunnels, right
// has another local network in each, and one route of the operator's in place of a routing rule for
// each of them: the kernel tries the rules in turn for each packet.
func (c Culvert) config(g gateway, s Site) string {
	encap, start := "never", "boot"
	if c.UDP {
		encap = "always"
	}
	if g.remote == "" {
		start = "traffic"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[daemon]\ncontrol = %q\ncrash_tokens = \"off\"\nlog = \"warn\"\n", filepath.Join(s.Dir, g.me+".sock"))
	for i := range s.Peers {
		far := rightNet
		if s.Peers > 1 {
			far = remoteOf(i).String() + "/32"
		}
		local, remote := leftNet, far
		if g.me == "right" {
			local, remote = far, leftNet
		}
		fmt.Fprintf(&b, "[[peer]]\nname = %q\nlocal_id = %q\nremote_id = %q\npsk = \"a benchmark's secret\"\nencap = %q\n", g.peerName(i, s.Peers), numbered(g.me, i, s.Peers), g.peerName(i, s.Peers), encap)
		if g.remote != "" {
			fmt.Fprintf(&b, "remote = %q\n", g.remote)
		}
		fmt.Fprintf(&b, "[[peer.child]]\nlocal = [%q]\nremote = [%q]\nproposals = [%q]\nstart = %q\n", local, remote, c.Cipher, start)
		if g.me == "right" && s.Peers > 1 {
			b.WriteString("routes = \"none\"\n")
		}
		if i == 0 {
			b.WriteString(moreNetworks(local, c.Networks))
		}
	}
	return b.String()
}

// perChild is the number of networks of a child: IKE counts selectors in one octet.
const perChild = 250

// moreNetworks returns the settings of children that stay down, with n remote networks in all.
func moreNetworks(local string, n int) string {
	var b strings.Builder
	for i := range n {
		if i%perChild == 0 {
			fmt.Fprintf(&b, "[[peer.child]]\nlocal = [%q]\nstart = \"never\"\nremote = [", local)
		}
		fmt.Fprintf(&b, "\"100.%d.%d.%d/30\", ", 64+i>>14, i>>6&255, i&63<<2)
		if i%perChild == perChild-1 || i == n-1 {
			b.WriteString("]\n")
		}
	}
	return b.String()
}

// firstLine returns the first line of a program's output.
func firstLine(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	// OpenVPN 2.6 and others print their version and end with an error.
	var status *exec.ExitError
	if err != nil && (line == "" || !errors.As(err, &status)) {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(line), nil
}
