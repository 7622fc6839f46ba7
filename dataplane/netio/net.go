package netio

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Net is all of the daemon's sockets. Open makes it.
type Net struct {
	*ikeSide
	*icmpSide
	links            links
	ports            []*port
	frag             []*socket // for Outgoing.Fragment, of all ports
	ikePort, natPort uint16
	mark             uint32
	rawESP           bool
	log              *slog.Logger
	once             sync.Once
}

// Open opens every socket. The error says what is in the way and what mends it; nothing stays open then.
func Open(cfg Config) (*Net, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &firewall{mark: cfg.Mark, log: cfg.Log}
	n := &Net{ikeSide: newIKESide(f), icmpSide: newICMPSide(), ikePort: cfg.IKEPort, natPort: cfg.NATPort, mark: cfg.Mark, log: cfg.Log}
	if err := n.links.open(); err != nil {
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
	n.openRaws(&cfg)
	n.ikeSide.start()
	n.icmpSide.start(n.natPort, cfg.Log)
	return n, nil
}

// Ports is one for each worker. They end with Close, which must wait until no worker uses them any more.
func (n *Net) Ports() []Port {
	out := make([]Port, len(n.ports))
	for i, p := range n.ports {
		out[i] = p
	}
	return out
}

// IKEPort and NATPort are the ports in use, also if the system chose them.
func (n *Net) IKEPort() uint16 { return n.ikePort }

// NATPort is the port of UDP encapsulation.
func (n *Net) NATPort() uint16 { return n.natPort }

// RawESP says whether IP protocol 50 can be spoken.
func (n *Net) RawESP() bool { return n.rawESP }

// HasAddr reports whether an address is this host's, and usable, and one at which the sockets
// receive. It may be called from any goroutine.
func (n *Net) HasAddr(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && n.receivesAt(a) && bindable(a)
}

// receivesAt reports whether a socket receives what comes to an address, if the host has it.
func (n *Net) receivesAt(a netip.Addr) bool {
	return slices.ContainsFunc(n.conns, func(c *ikeConn) bool {
		bound := c.bound.Addr()
		return bound == a.WithZone("") || bound.IsUnspecified() && bound.Is4() == a.Is4()
	})
}

// answered returns an address to send from to which the peer can answer: the one that the system
// chooses, or, where no socket receives at that, the first listen address of its family.
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

// Counters are the sockets' counters by the names that status and metrics show.
func (n *Net) Counters() map[string]uint64 {
	m := make(map[string]uint64)
	for _, p := range n.ports {
		p.count.addTo(m)
	}
	m["net_truncated"] += n.truncated.Load()
	m["net_send_errors"] += n.sendErrors.Load()
	m["net_send_refused"] = n.firewall.refused.Load()
	m["net_keepalives_in"] += n.keepalives.Load()
	m["ike_datagrams"] = n.received.Load()
	m["net_icmp_too_big"] = n.tooBigs.Load()
	m["net_ike_kernel_drops"] = n.kernelDrops.Load()
	return m
}

// Close closes every socket; a waiting ReadIKE returns net.ErrClosed. It may be called more than once.
func (n *Net) Close() error {
	n.once.Do(func() {
		n.ikeSide.close()
		n.icmpSide.close()
		n.links.close()
		for _, p := range n.ports {
			closeAll(p.socks)
		}
		closeAll(n.frag)
	})
	return nil
}

// at is a listen address with a port.
func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
