package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/tun"
	"culvert/tun/gso"
	"culvert/tun/guard"
)

// parts are what a daemon is made of that must be closed.
type parts struct {
	log     *slog.Logger
	control net.Listener
	metrics net.Listener
	device  *tun.Device
	net     *netio.Net
	routes  *tun.Router
	guard   *guardPart
	host    chan struct{} // one slot: this host's links or addresses changed
	plane   *dataplane.Plane
	driver  *driver.Driver
	roams   atomic.Pointer[driver.Driver] // who is told of changes of the host's addresses; nil: nobody yet
}

// hostChanged tells the control plane, and what finds out what is outside of full tunnels, that
// the host's addresses or links changed. It does not block.
func (p *parts) hostChanged() {
	if d := p.roams.Load(); d != nil {
		d.AddressesChanged()
	}
	select {
	case p.host <- struct{}{}:
	default: // noted already
	}
}

// openParts opens everything, or nothing.
func openParts(cfg *config.Config, log *slog.Logger) (*parts, error) {
	p := &parts{log: log, host: make(chan struct{}, 1)}
	if err := p.open(cfg); err != nil {
		p.close(true)
		return nil, err
	}
	return p, nil
}

// open begins with the control socket: it tells whether another daemon runs.
func (p *parts) open(cfg *config.Config) (err error) {
	c := &cfg.Daemon
	if p.control, err = control.Listen(c.Control); err != nil {
		return err
	}
	if c.Metrics != "" {
		if p.metrics, err = net.Listen("tcp", c.Metrics); err != nil {
			return fmt.Errorf("metrics: %w: stop what has the port, or write another address and port in [daemon] metrics", err)
		}
	}
	workers := workerCount(c.Workers, processors, p.log)
	// Workers keep a processor of Go's scheduler each; everything else needs some, too.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+spareProcs))
	if p.net, err = netio.Open(netio.Config{
		Listen: c.Listen, IKEPort: c.IKEPort, NATPort: c.NATPort, Workers: workers, Mark: c.Mark.Value, IKETOS: c.DSCP << 2, RawESP: needsRawESP(cfg), Log: p.log,
		NoOffloads: c.NoOffloads,
	}); err != nil {
		return err
	}
	if p.guard, err = newGuardPart(c, guard.Probe, p.log); err != nil {
		return err
	}
	if p.device, err = tun.Open(tun.Config{Name: c.TUN, Queues: workers, MTU: c.MTU, Disable: disabled(c), Log: p.log}); err != nil {
		return err
	}
	if p.routes, err = tun.NewRouter(tun.RouteConfig{
		Device: p.device, Mark: c.Mark, Table: c.RouteTable, Priority: c.RulePriority, Ports: []uint16{c.IKEPort, c.NATPort}, Fence: !p.guard.on(),
		OnHost: p.hostChanged, Log: p.log,
	}); err != nil {
		return err
	}
	return p.join(c)
}

// disabled is the offloads of the TUN device to do without.
func disabled(c *config.Daemon) gso.Offloads {
	return gso.Offloads{Checksum: c.NoOffloads, TSO: c.NoOffloads, USO: c.NoOffloads}
}

// spareProcs are for all that is no worker.
const spareProcs = 2

// needsRawESP says whether any peer may be sent ESP without UDP.
func needsRawESP(cfg *config.Config) bool {
	for i := range cfg.Peers {
		if cfg.Peers[i].Encap != ike.EncapAlways {
			return true
		}
	}
	return false
}

// join makes the packet path and the control plane on what was opened.
func (p *parts) join(c *config.Daemon) error {
	plane, err := dataplane.New(dataplane.Config{
		Queues: p.device.Queues(), Offloads: p.device.Offloads(), Ports: p.net.Ports(), LinkMTU: p.net.LinkMTU, TooBig: p.net.TooBig(), Probe: true, AskIKE: netio.CanProbeIKE, MTU: c.MTU, MinMTU: c.MTUMin, SetMTU: p.device.SetMTU, Spin: c.Spin, Log: p.log,
		OnIKE: func(r *netio.Received) { p.driver.Deliver(r.Local, r.Remote, r.Encap, r.Data) },
	})
	if err != nil {
		return err
	}
	p.plane = plane
	return nil
}

// close closes what is open, the last first; what it leaves holds protected traffic back if that
// is to be held. The packet path must have ended.
func (p *parts) close(held bool) {
	if p.routes != nil {
		if err := p.routes.Close(held); err != nil {
			p.log.Error("routes not removed", "error", err)
		}
	}
	if p.device != nil {
		p.device.Close()
	}
	if p.net != nil {
		p.net.Close()
	}
	if p.metrics != nil {
		p.metrics.Close()
	}
	if p.control != nil {
		p.control.Close()
	}
}
