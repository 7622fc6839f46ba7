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

// parts are the closable parts of a daemon.
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
	state   *stateOpener
	keys    *keyLog                       // nil: keys are not written down
	roams   atomic.Pointer[driver.Driver] // the driver to inform about changed addresses; nil: none yet
}

// hostChanged informs the driver and followHost of changed addresses or links of this host. It does
// not block.
func (p *parts) hostChanged() {
	if d := p.roams.Load(); d != nil {
		d.AddressesChanged()
	}
	select {
	case p.host <- struct{}{}:
	default: // noted already
	}
}

// openParts opens all parts, or none.
func openParts(cfg *config.Config, log *slog.Logger) (*parts, error) {
	p := &parts{log: log, host: make(chan struct{}, 1), state: &stateOpener{dir: cfg.Daemon.State}}
	if err := p.open(cfg); err != nil {
		p.close(true)
		p.guard.close()
		return nil, err
	}
	return p, nil
}

// open begins with the control socket, which shows whether another daemon runs.
func (p *parts) open(cfg *config.Config) (err error) {
	c := &cfg.Daemon
	if p.control, err = control.Listen(c.Control); err != nil {
		return err
	}
	if c.Metrics != "" {
		if p.metrics, err = net.Listen("tcp", c.Metrics); err != nil {
			return fmt.Errorf("metrics: %w: stop the program that has the port, or set another address and port in [daemon] metrics", err)
		}
	}
	if c.KeyLog != "" {
		if p.keys, err = openKeyLog(c.KeyLog, p.log); err != nil {
			return fmt.Errorf("key_log: %w", err)
		}
	}
	workers := workerCount(c.Workers, processors, p.log)
	// Each worker keeps a processor of Go's scheduler busy; everything else needs some as well.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+spareProcs))
	// The kernel takes as long to try the guard's rules as for sockets and device.
	probed := make(chan error, 1)
	go func() {
		var err error
		p.guard, err = newGuardPart(c, guard.Probe, p.log)
		probed <- err
	}()
	err = p.openSockets(cfg, workers)
	if noGuard := <-probed; err == nil {
		err = noGuard
	}
	if err != nil {
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

// openSockets opens the outer sockets and the TUN device.
func (p *parts) openSockets(cfg *config.Config, workers int) (err error) {
	c := &cfg.Daemon
	if p.net, err = netio.Open(netio.Config{
		Listen: c.Listen, IKEPort: c.IKEPort, NATPort: c.NATPort, Workers: workers, Mark: c.Mark.Value, IKETOS: c.DSCP << 2, RawESP: needsRawESP(cfg), Log: p.log,
		NoOffloads: c.NoOffloads, FastPath: !c.NoFastPath, OwnTables: guard.Tables(c.TUN), Owner: c.TUN,
	}); err != nil {
		return err
	}
	p.device, err = tun.Open(tun.Config{Name: c.TUN, Queues: workers, MTU: c.MTU, Disable: disabled(c), Log: p.log})
	return err
}

// disabled returns the offloads that the TUN device does without.
func disabled(c *config.Daemon) gso.Offloads {
	return gso.Offloads{Checksum: c.NoOffloads, TSO: c.NoOffloads, USO: c.NoOffloads}
}

// spareProcs is the number of scheduler processors for everything but the workers.
const spareProcs = 2

// needsRawESP reports whether any peer may be sent ESP without UDP.
func needsRawESP(cfg *config.Config) bool {
	for i := range cfg.Peers {
		if cfg.Peers[i].Encap != ike.EncapAlways {
			return true
		}
	}
	return false
}

// join makes the packet path on the opened parts.
func (p *parts) join(c *config.Daemon) error {
	plane, err := dataplane.New(dataplane.Config{
		Queues: p.device.Queues(), Offloads: p.device.Offloads(), Ports: p.net.Ports(), LinkMTU: p.net.LinkMTU, TooBig: p.net.TooBig(), Probe: true, AskIKE: netio.CanProbeIKE, MTU: c.MTU, MinMTU: c.MTUMin, SetMTU: p.device.SetMTU, Spin: c.Spin, Log: p.log,
		Inlet: p.net,
		OnIKE: func(r *netio.Received) { p.driver.Deliver(r.Path, r.Data) },
	})
	if err != nil {
		return err
	}
	p.plane = plane
	return nil
}

// close closes the open parts, the last first. With held, the routes that hold protected traffic
// back stay. The packet path must have ended.
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
	p.state.close()
	p.keys.close()
	if p.metrics != nil {
		p.metrics.Close()
	}
	if p.control != nil {
		p.control.Close()
	}
}
