package bench

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"culvert/internal/netlab"

	"github.com/vishvananda/netlink"
)

// WireGuardGo is wireguard-go: Binary, or where that is empty, the one on the PATH.
type WireGuardGo struct{ Binary string }

// Name returns the subject's name.
func (WireGuardGo) Name() string { return Rival }

// wireGuardMTU is the inner MTU that fits an outer MTU of 1500 over IPv4, less 20 (IPv4), 8 (UDP)
// and 32 octets (type, receiver, counter, tag). The usual 1420 leaves room for IPv6 and would
// fragment datagrams with 1400 octets of payload.
const wireGuardMTU = 1500 - 20 - 8 - 32

// Version returns the version of the module that the binary was built from.
func (w WireGuardGo) Version(context.Context) (string, error) {
	path, err := installed(w.Binary, "wireguard-go")
	if err != nil {
		return "", err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return "", err
	}
	version := info.Main.Version
	for _, m := range info.Deps {
		if m.Path == "golang.zx2c4.com/wireguard" {
			version = m.Version
		}
	}
	return fmt.Sprintf("%s (%s); ChaCha20-Poly1305; MTU %d", version, info.GoVersion, wireGuardMTU), nil
}

// Start starts both ends and configures them over their UAPI sockets.
func (w WireGuardGo) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	binary, err := installed(w.Binary, "wireguard-go")
	if err != nil {
		return nil, err
	}
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	var procs []*netlab.Process
	for i, g := range []struct {
		host              *netlab.Host
		dev, remote, nets string
	}{
		{s.Right, "wgbenchr", "192.0.2.1:51820", leftNet},
		{s.Left, "wgbenchl", "192.0.2.2:51820", rightNet},
	} {
		p, err := g.host.Start(nil, nil, binary, "-f", g.dev)
		if err != nil {
			return procs, err
		}
		procs = append(procs, p)
		conf := fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\nendpoint=%s\nallowed_ip=%s\n\n",
			hex.EncodeToString(keys[i].Bytes()), hex.EncodeToString(keys[1-i].PublicKey().Bytes()), g.remote, g.nets)
		if err := uapi(ctx, "/var/run/wireguard/"+g.dev+".sock", conf); err != nil {
			return procs, err
		}
		if err := routeTo(g.host, g.dev, g.nets, wireGuardMTU); err != nil {
			return procs, err
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

// routeTo sets a device's MTU, brings it up and routes a network to it.
func routeTo(h *netlab.Host, dev, prefix string, mtu int) error {
	link, err := h.Netlink().LinkByName(dev)
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(prefix)
	if err != nil {
		return err
	}
	return errors.Join(h.Netlink().LinkSetMTU(link, mtu), h.Netlink().LinkSetUp(link),
		h.Netlink().RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}))
}
