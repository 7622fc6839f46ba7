package netio

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// maxWorkers is more than the cores of any machine.
const maxWorkers = 4096

// listen opens the UDP sockets of one listen address.
func (n *Net) listen(a netip.Addr, cfg *Config) error {
	ike, err := openIKE(at(a, n.ikePort), false, cfg)
	if err != nil {
		if absent(a, err) {
			logAbsent(n.log, "UDP", a, err)
			return nil
		}
		return bindError("the IKE port", at(a, n.ikePort), "ike_port", err)
	}
	n.ikePort = ike.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	n.conns = append(n.conns, &ikeConn{UDPConn: ike, bound: at(a, n.ikePort)})
	return n.listenNAT(a, cfg)
}

// listenNAT opens the sockets of the NAT port: each worker's and the control plane's, with steering
// among them, and last the one for fragments, which only sends.
func (n *Net) listenNAT(a netip.Addr, cfg *Config) error {
	// SO_REUSEPORT would let a second daemon of the same user in, and each would get half of the
	// packets.
	if n.natPort != 0 {
		probe, err := openIKE(at(a, n.natPort), false, cfg)
		if err != nil {
			return bindError("the NAT port", at(a, n.natPort), "nat_port", err)
		}
		probe.Close()
	}
	var first *socket
	for _, p := range n.ports {
		s, err := (&socket{v6: a.Is6(), bound: at(a, n.natPort)}).open(cfg)
		if err != nil {
			return bindError("the NAT port", at(a, n.natPort), "nat_port", err)
		}
		p.addSocket(s)
		n.natPort = s.bound.Port()
		if first == nil {
			first = s
		}
	}
	c, err := openIKE(at(a, n.natPort), true, cfg)
	if err != nil {
		return bindError("the NAT port", at(a, n.natPort), "nat_port", err)
	}
	n.nat = append(n.nat, &ikeConn{UDPConn: c, bound: at(a, n.natPort), nat: true})
	if err := steerUDP(first.fd, cfg.Workers); err != nil {
		return err
	}
	frag, err := (&socket{v6: a.Is6(), frag: true, bound: at(a, n.natPort)}).open(cfg)
	if err != nil {
		return bindError("the NAT port", at(a, n.natPort), "nat_port", err)
	}
	n.frag = append(n.frag, frag)
	n.openSidings(cfg)
	return nil
}

// openSidings opens the sidings of the sockets that were just added to the ports.
func (n *Net) openSidings(cfg *Config) {
	for _, p := range n.ports {
		p.socks[len(p.socks)-1].openSidings(cfg)
	}
}

// openRaw opens the raw sockets of IP protocol 50: for each listen address each worker's, of which
// one receives, and one for fragments, which only sends. The addresses are spread over the workers.
func (n *Net) openRaw(cfg *Config) error {
	for i, c := range n.conns {
		if err := n.listenRaw(c.bound.Addr(), i%cfg.Workers, cfg); err != nil {
			return err
		}
	}
	return nil
}

func (n *Net) listenRaw(a netip.Addr, receiver int, cfg *Config) error {
	for i := range cfg.Workers + 1 {
		s, err := (&socket{v6: a.Is6(), raw: true, frag: i == cfg.Workers, deaf: i != receiver, bound: at(a, 0)}).open(cfg)
		switch {
		case err == nil:
		case absent(a, err):
			logAbsent(n.log, "ESP", a, err)
			return nil
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			return fmt.Errorf("netio: a raw socket for IP protocol 50: %w: run as root or with CAP_NET_RAW and CAP_NET_ADMIN", err)
		default:
			return fmt.Errorf("netio: a raw socket for IP protocol 50 on %s: %w", a, err)
		}
		if s.frag {
			n.frag = append(n.frag, s)
		} else {
			n.ports[i].addSocket(s)
		}
	}
	n.rawESP = true
	n.openSidings(cfg)
	return nil
}

// read reads the control messages of a datagram. Fields of r without one stay as they are.
func (r *received) read(oob []byte) {
	var aligned message
	r.parse(aligned.ctl[:copy(aligned.ctl[:], oob)])
}

// sourceControl returns the control message for the source address, or none.
func sourceControl(src, remote netip.Addr) []byte {
	switch {
	case !src.IsValid() || src.IsUnspecified() || src.Is4() != remote.Is4():
		return nil
	case src.Is4():
		return (&ipv4.ControlMessage{Src: src.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: src.AsSlice(), IfIndex: int(zoneID(remote))}).Marshal()
}
