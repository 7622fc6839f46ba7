package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/suite"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/host"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/guard"
	"culvert/tun/protect"
)

// Run is the daemon: it starts everything, works until ctx ends or a part of it fails, deletes its
// SAs (whose answers it awaits for 0.6 seconds), and removes what it made: routes, device,
// sockets. The guard stays, or where there is none what makes protected networks unreachable,
// unless opts.Release says otherwise. What goes wrong at the start is an error, and leaves nothing
// new behind.
func Run(ctx context.Context, opts Options) error {
	if err := checkFloor(esp.Floor, os.Getenv(FloorVariable), opts.Stderr); err != nil {
		return err
	}
	cfg, err := config.Load(opts.Config)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := newLogger(opts.Stderr, &cfg.Daemon, level)
	for _, w := range cfg.Warnings {
		log.Warn(w.Error(), "event", "config-warning")
	}
	for _, w := range cfg.Advise(host.Read("/")) {
		log.Warn(w.Error(), "event", "host-warning")
	}
	p, err := openParts(cfg, log)
	if err != nil {
		return err
	}
	d := &Daemon{log: log, level: level, opts: opts, started: time.Now(), now: time.Now, plane: p.plane, routes: p.routes, guard: p.guard, device: p.device, net: p.net,
		cfg: cfg, flows: protect.NewSet(), outside: newOutside(log), found: map[string]lookup{}, manual: map[esp.Policy]manualSA{}}
	warnForwarding(cfg, log)
	warnLeft(&cfg.Daemon, log)
	err = d.run(ctx, cfg, p)
	release := err == nil && opts.Release != nil && opts.Release()
	p.close(!release)
	return errors.Join(err, p.leave(cfg.Daemon.TUN, release))
}

// warnForwarding says that hosts behind this one cannot use the tunnels, where the configuration speaks of networks and the system does not forward.
func warnForwarding(cfg *config.Config, log *slog.Logger) {
	v4, v6 := tun.Forwarding()
	var need4, need6 bool
	each(cfg, func(_ *config.Peer, _ string, local, _ []selector.Selector) {
		for _, s := range local {
			need4 = need4 || !s.Is6() && s.Start != s.End
			need6 = need6 || s.Is6() && s.Start != s.End
		}
	})
	for _, f := range []struct {
		lacks         bool
		family, linux string
	}{{need4 && !v4, "IPv4", "net.ipv4.ip_forward=1"}, {need6 && !v6, "IPv6", "net.ipv6.conf.all.forwarding=1"}} {
		if f.lacks {
			log.Info("this host does not forward "+f.family+": other hosts of the local networks cannot use the tunnels (Linux: sysctl -w "+f.linux+")", "event", "no-forwarding")
		}
	}
}

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
func disabled(c *config.Daemon) tun.Offloads {
	return tun.Offloads{Checksum: c.NoOffloads, TSO: c.NoOffloads, USO: c.NoOffloads}
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

// run works until the end.
func (d *Daemon) run(ctx context.Context, cfg *config.Config, p *parts) error {
	d.resolver = newResolver(systemLookup(netio.Dialer(cfg.Daemon.Mark.Value).DialContext), d.resolved)
	engine := ike.New(ike.Config{
		Rand: rand.Reader, KE: suite.NewKE, SPIs: p.plane, IKEPort: cfg.Daemon.IKEPort, NATPort: cfg.Daemon.NATPort,
		Resources: len(p.net.Ports()),
		LocalAddr: func(remote netip.Addr) netip.Addr { a, _ := p.net.LocalAddr(remote); return a },
		HasAddr:   p.net.HasAddr,
	}, time.Now())
	p.driver = driver.New(driver.Config{Engine: engine, Plane: p.plane, Transport: transport{p.net, p.plane}, Log: d.log, Resolve: d.resolveAgain})
	d.ike = p.driver
	p.roams.Store(p.driver)

	ended := make(chan error, 4) // a part that ends before its time; one slot for each
	planeCtx, stopPlane := context.WithCancel(context.Background())
	defer stopPlane()
	planeDone, driverDone := make(chan struct{}), make(chan struct{})
	go func() { defer close(planeDone); ended <- p.plane.Run(planeCtx) }()
	go func() { defer close(driverDone); ended <- p.driver.Run(context.Background()) }()
	api := control.NewServer(d, d.log)
	scrape := metricsServer(d.Status, d.log)

	err := d.begin(ctx, cfg)
	hostCtx, stopHost := context.WithCancel(context.Background())
	hostDone := make(chan struct{})
	go func() { defer close(hostDone); d.followHost(hostCtx, p.host) }()
	if err == nil {
		go func() { ended <- api.Serve(p.control) }()
		if p.metrics != nil {
			go func() {
				if err := scrape.Serve(p.metrics); !errors.Is(err, http.ErrServerClosed) {
					ended <- err
				}
			}()
		}
		err = d.wait(ctx, ended)
	} else if ctx.Err() != nil {
		err = nil // told to end before it had begun
	}
	d.log.Info("ending", "event", "daemon-stop")
	stopHost()
	<-hostDone
	d.resolver.close()
	p.driver.Shutdown(context.Background()) // bounded by itself
	<-driverDone
	closing, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	api.Close(closing)
	scrape.Close()
	stopPlane()
	<-planeDone
	return err
}

// closeGrace is how long answers may take that are on their way to clients at the end.
const closeGrace = time.Second

// begin takes the first configuration into force.
func (d *Daemon) begin(ctx context.Context, cfg *config.Config) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	if err := d.apply(ctx, cfg); err != nil {
		return err
	}
	d.log.Info("culvert is running", "event", "daemon-start", "version", d.opts.Version, "peers", len(cfg.Peers), "children", cfg.Children(), "control", cfg.Daemon.Control)
	return nil
}

// errEnded is a part of the daemon that ended without an error and without being told to.
var errEnded = errors.New("internal error: a part of the daemon has ended")

// wait reloads when it is told to, until ctx ends, which is no error, or a part does, which is one.
func (d *Daemon) wait(ctx context.Context, ended <-chan error) error {
	reload := d.opts.Reload
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if err == nil {
				err = errEnded
			}
			return err
		case _, ok := <-reload:
			if !ok {
				reload = nil
				continue
			}
			// Its outcome is in the log.
			_, _ = d.Reload(ctx)
		}
	}
}
