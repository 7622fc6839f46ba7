package netio

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// A Net is all sockets of the daemon, made by Open.
type Net struct {
	*ikeSide
	*icmpSide
	links            links
	hops             *hopCache // nil: protocol 50 is sent through the IP stack
	direct           error     // why
	ports            []*port
	frag             []*socket // for Outgoing.Fragment, of all ports
	ikePort, natPort uint16
	mark             uint32
	rawESP           bool
	inlet            *inlet // nil: none
	log              *slog.Logger
	once             sync.Once
}

// Open opens every socket, or none. The error names the obstacle and its remedy.
func Open(cfg Config) (*Net, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &firewall{mark: cfg.Mark, log: cfg.Log}
	n := &Net{ikeSide: newIKESide(f), icmpSide: newICMPSide(), ikePort: cfg.IKEPort, natPort: cfg.NATPort, mark: cfg.Mark, log: cfg.Log}
	if err := n.links.open(cfg.Mark); err != nil {
		return nil, err
	}
	for range cfg.Workers {
		n.ports = append(n.ports, newPort(f, &cfg))
	}
	for _, a := range cfg.Listen {
		if err := n.listen(a, &cfg); err != nil {
			n.Close()
			return nil, err
		}
	}
	if len(n.conns) == 0 {
		n.Close()
		return nil, fmt.Errorf("netio: none of the listen addresses %v can be used on this host", cfg.Listen)
	}
	if cfg.RawESP {
		if err := n.openRaw(&cfg); err != nil {
			n.Close()
			return nil, err
		}
	}
	for _, p := range n.ports {
		p.frag = n.frag
	}
	n.openSources(&cfg)
	n.openRaws(&cfg)
	n.openInlet(&cfg)
	n.openDirect(&cfg)
	n.ikeSide.start()
	n.icmpSide.start(ports{n.ikePort, n.natPort}, n.sourcePorts(), cfg.Log)
	return n, nil
}

// Ports returns one port for each worker. Close ends them, and must wait until no worker uses them.
func (n *Net) Ports() []Port {
	out := make([]Port, len(n.ports))
	for i, p := range n.ports {
		out[i] = p
	}
	return out
}

// IKEPort returns the IKE port, also if the system chose it.
func (n *Net) IKEPort() uint16 { return n.ikePort }

// NATPort returns the port of UDP encapsulation, also if the system chose it.
func (n *Net) NATPort() uint16 { return n.natPort }

// RawESP reports whether there are sockets for IP protocol 50.
func (n *Net) RawESP() bool { return n.rawESP }

// HasAddr reports whether an address is usable, belongs to this host, and is one at which the
// sockets receive. It is safe for concurrent use.
func (n *Net) HasAddr(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && n.receivesAt(a) && bindable(a)
}

// receivesAt reports whether a socket receives at an address, if the host has it.
func (n *Net) receivesAt(a netip.Addr) bool {
	return slices.ContainsFunc(n.conns, func(c *ikeConn) bool {
		bound := c.bound.Addr()
		return bound == a.WithZone("") || bound.IsUnspecified() && bound.Is4() == a.Is4()
	})
}

// answered returns a source address to which the peer can answer: the system's choice, or, if no
// socket receives there, the first listen address of its family.
func (n *Net) answered(chosen netip.Addr) netip.Addr {
	if n.receivesAt(chosen) {
		return chosen
	}
	for _, c := range n.conns {
		if bound := c.bound.Addr(); bound.Is4() == chosen.Is4() {
			return bound
		}
	}
	return chosen
}

// bindable reports whether the system lets a socket have the address.
func bindable(a netip.Addr) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at(a, 0)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// Counters returns the sockets' counters by their names in status and metrics.
func (n *Net) Counters() map[string]uint64 {
	m := make(map[string]uint64)
	for _, p := range n.ports {
		p.count.addTo(m)
	}
	if n.inlet != nil {
		m["net_ring_full"] = n.inlet.full()
	}
	m["net_truncated"] += n.truncated.Load()
	m["net_send_errors"] += n.sendErrors.Load()
	m["net_send_refused"] = n.firewall.refused.Load()
	m["net_keepalives_in"] += n.keepalives.Load()
	m["ike_datagrams"] = n.received.Load()
	m["net_icmp_too_big"] = n.tooBigs.Load()
	m["net_icmp_unreachable"] = n.unreachables.Load()
	m["net_ike_kernel_drops"] = n.kernelDrops.Load()
	return m
}

// Close closes every socket; a waiting ReadIKE returns net.ErrClosed. Further calls do nothing.
func (n *Net) Close() error {
	n.once.Do(func() {
		if n.inlet != nil {
			n.inlet.close()
		}
		n.ikeSide.close()
		n.icmpSide.close()
		n.links.close()
		n.hops.close()
		for _, p := range n.ports {
			p.closeAll()
		}
		closeAll(n.frag)
	})
	return nil
}

// at returns a listen address with a port.
func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
