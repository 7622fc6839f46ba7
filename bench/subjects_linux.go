package bench

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// Plain is the bare link, routed: what there is without any VPN.
type Plain struct{}

// Name is the subject's name.
func (Plain) Name() string { return "plain link" }

// Start routes the two networks to each other.
func (Plain) Start(_ context.Context, s Site) ([]*netlab.Process, error) {
	return nil, errors.Join(s.Left.Route("10.2.0.0/16", "192.0.2.2", 0), s.Right.Route("10.1.0.0/16", "192.0.2.1", 0))
}

// Culvert is this project, from a binary.
type Culvert struct {
	Binary string
	UDP    bool   // encap = "always"; otherwise protocol 50
	Cipher string // an ESP proposal
}

// Name is the subject's name.
func (c Culvert) Name() string {
	if c.UDP {
		return "culvert, UDP"
	}
	return "culvert, protocol 50"
}

// Start starts both gateways, the right one first: the left one finds it listening.
func (c Culvert) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	encap := "auto"
	if c.UDP {
		encap = "always"
	}
	var procs []*netlab.Process
	for _, g := range []struct {
		host                      *netlab.Host
		me, peer, remote, lan, to string
		start                     string
	}{
		{s.Right, "right", "left", "", "10.2.0.0/16", "10.1.0.0/16", "traffic"},
		{s.Left, "left", "right", "remote = \"192.0.2.2\"\n", "10.1.0.0/16", "10.2.0.0/16", "boot"},
	} {
		file := filepath.Join(s.Dir, g.me+".toml")
		text := fmt.Sprintf("[daemon]\ncontrol = %q\nlog = \"warn\"\n[[peer]]\nname = %q\n%slocal_id = %q\nremote_id = %q\npsk = \"a benchmark's secret\"\nencap = %q\n"+
			"[[peer.child]]\nlocal = [%q]\nremote = [%q]\nproposals = [%q]\nstart = %q\n",
			filepath.Join(s.Dir, g.me+".sock"), g.peer, g.remote, g.me, g.peer, encap, g.lan, g.to, c.Cipher, g.start)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p, err := g.host.Start(nil, nil, c.Binary, "run", "--config", file)
		if err != nil {
			return nil, err
		}
		procs = append(procs, p)
		if g.me == "right" {
			if err := netlab.Until(ctx, "culvert's control socket", func() bool { _, err := os.Stat(filepath.Join(s.Dir, "right.sock")); return err == nil }); err != nil {
				return nil, withOutput(err, procs)
			}
		}
	}
	return procs, nil
}

// WireGuardGo is wireguard-go, from a binary built from its Go module.
type WireGuardGo struct{ Binary string }

// Name is the subject's name.
func (WireGuardGo) Name() string { return "wireguard-go" }

// Start starts both ends and configures them over their UAPI sockets.
func (w WireGuardGo) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		keys[i] = k
	}
	var procs []*netlab.Process
	for i, g := range []struct {
		host              *netlab.Host
		dev, remote, nets string
	}{
		{s.Left, "wgbenchl", "192.0.2.2:51820", "10.2.0.0/16"},
		{s.Right, "wgbenchr", "192.0.2.1:51820", "10.1.0.0/16"},
	} {
		p, err := g.host.Start(nil, nil, w.Binary, "-f", g.dev)
		if err != nil {
			return nil, err
		}
		procs = append(procs, p)
		conf := fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\nendpoint=%s\nallowed_ip=%s\n\n",
			hex.EncodeToString(keys[i].Bytes()), hex.EncodeToString(keys[1-i].PublicKey().Bytes()), g.remote, g.nets)
		if err := uapi(ctx, "/var/run/wireguard/"+g.dev+".sock", conf); err != nil {
			return nil, withOutput(err, procs)
		}
		if err := routeTo(g.host, g.dev, g.nets); err != nil {
			return nil, err
		}
	}
	return procs, nil
}

func uapi(ctx context.Context, socket, conf string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var c net.Conn
	err := netlab.Until(ctx, socket, func() (ok bool) {
		var err error
		c, err = net.Dial("unix", socket)
		return err == nil
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte(conf)); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "errno=0" {
		return fmt.Errorf("wireguard-go refused its configuration: %q (%v)", line, err)
	}
	return nil
}

// routeTo sets a device up with wireguard-go's usual MTU and routes a network to it.
func routeTo(h *netlab.Host, dev, prefix string) error {
	link, err := h.Netlink().LinkByName(dev)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	return errors.Join(h.Netlink().LinkSetMTU(link, 1420), h.Netlink().LinkSetUp(link),
		h.Netlink().RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}))
}
