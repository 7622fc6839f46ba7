package netio

import (
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
			s, err := (&socket{v6: c.bound.Addr().Is6(), deaf: true, bound: at(c.bound.Addr(), 0)}).open(cfg)
			if err != nil {
				n.log.Info("workers send from one UDP port", "listen", c.bound.Addr().String(), "error", err)
				return
			}
			p.addSource(s)
		}
	}
}

// addSource gives the port a socket that only sends. A remote that fills its buffer is moved to a
// siding of the NAT port.
func (p *port) addSource(s *socket) {
	for _, beside := range p.socks {
		if !beside.raw && beside.bound.Addr() == s.bound.Addr() {
			s.side.socks, s.side.size = beside.side.socks, beside.side.size
		}
	}
	s.borrows = true
	p.sources = append(p.sources, s)
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
