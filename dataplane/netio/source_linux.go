package netio

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"culvert/internal/ipsec"
)

// A tunnel in UDP is one 5-tuple, by which the kernel and network cards choose the core that
// receives it. Therefore each of several workers has a further socket at each listen address, with
// a source port of its own that the system chose. It only sends: what the peer has to say comes to
// the NAT port.
//
//	worker 0:  4500, 40123  -->
//	worker 1:  4500, 51234  -->  4500 of the peer
//	                        <--  to 4500

// openSources opens the further sockets of the workers, which can do without.
func (n *Net) openSources(cfg *Config) {
	if cfg.Workers == 1 {
		return
	}
	for _, c := range n.nat {
		for _, p := range n.ports {
			s, err := openSource(c.bound.Addr(), cfg)
			if err != nil {
				n.log.Info("workers send from one UDP port", "listen", c.bound.Addr().String(), "error", err)
				return
			}
			p.sources = append(p.sources, s)
		}
	}
}

// openSource opens a socket that only sends, at a port that nobody else has, and its sidings at the
// same one: another port would let what is sent by a siding overtake what waits in the socket.
func openSource(a netip.Addr, cfg *Config) (*socket, error) {
	s, err := (&socket{v6: a.Is6(), deaf: true, bound: at(a, 0)}).open(cfg)
	if err != nil {
		return nil, err
	}
	if err := sharePort(s.fd, true); err != nil {
		unix.Close(s.fd)
		return nil, err
	}
	s.openSidings(cfg)
	for _, d := range append(s.side.socks, s) {
		if err := sharePort(d.fd, false); err != nil {
			closeAll([]*socket{s})
			return nil, err
		}
	}
	return s, nil
}

// Source implements Sourcer.
func (p *port) Source(path ipsec.Path) (ipsec.Path, bool) {
	if path.Via() != ipsec.NAT {
		return path, false
	}
	var found *socket
	for _, s := range p.sources {
		if s.v6 == path.Is6() && s.serves(path.Local().Addr(), found) {
			found = s
		}
	}
	if found == nil {
		return path, false
	}
	return path.WithLocalPort(found.bound.Port()), true
}

// sourceOf returns the socket that a path from a source port names, or nil. The port is another
// worker's if the SA is, and its packets then leave by the NAT port.
func (p *port) sourceOf(out *Outgoing) *socket {
	from := out.Path.Local().Port()
	for _, s := range p.sources {
		if s.bound.Port() == from && s.v6 == out.Path.Is6() && out.Path.Via() == ipsec.NAT && !out.Fragment {
			return s
		}
	}
	return nil
}

// sourcePorts returns the source ports of all workers.
func (n *Net) sourcePorts() (list []uint16) {
	for _, p := range n.ports {
		for _, s := range p.sources {
			list = append(list, s.bound.Port())
		}
	}
	return list
}

// closeAll closes the sockets of the port.
func (p *port) closeAll() {
	closeAll(p.sources)
	closeAll(p.socks)
}
