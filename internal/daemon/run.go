package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/suite"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/host"
	"culvert/internal/ipsec"
	"culvert/internal/revocation/fetch"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/protect"
)

// Run is the daemon. It starts all parts, works until ctx ends or a part fails, deletes its SAs
// (and waits up to 0.6 seconds for the answers), and removes its routes, device and sockets. The
// guard stays, or without one the routes that make protected networks unreachable, unless
// opts.Release returns true. An error at the start leaves nothing new behind.
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
	d := &Daemon{log: log, level: level, opts: opts, started: time.Now(), now: time.Now, plane: p.plane, routes: p.routes, guard: p.guard, device: p.device, net: p.net, keys: p.keys, recorder: newManualRecorder(p.state, p.plane, log),
		cfg: cfg, flows: protect.NewSet(), outside: newOutside(log), found: map[string]lookup{}, policies: newPolicies(), manual: map[ipsec.PolicyName]manualSA{}}
	warnForwarding(cfg, log)
	err = d.run(ctx, cfg, p)
	release := err == nil && opts.Release != nil && opts.Release()
	p.close(!release)
	return errors.Join(err, p.leave(cfg.Daemon.TUN, release))
}

// warnForwarding logs that hosts behind this one cannot use the tunnels if the configuration has
// local networks and the system does not forward.
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

// run works until the end.
func (d *Daemon) run(ctx context.Context, cfg *config.Config, p *parts) error {
	names := systemResolver(netio.Dialer(cfg.Daemon.Mark.Value).DialContext)
	d.resolver = newResolver(systemLookup(names), d.resolved)
	d.fetcher = fetch.New(fetch.Network(names))
	p.driver = driver.New(driver.Config{
		Engine: p.newEngine(&cfg.Daemon), Plane: p.keys.watch(p.plane), IKEKeys: p.keys.ike(), Transport: transport{p.net, p.plane}, Unreachable: p.net.Unreachable(),
		Log: d.log, Resolve: d.resolveAgain,
	})
	d.ike = p.driver
	p.roams.Store(p.driver)

	ended := make(chan error, 4) // a part that ends early; one slot for each
	planeCtx, stopPlane := context.WithCancel(context.Background())
	defer stopPlane()
	planeDone := background(func() { ended <- p.plane.Run(planeCtx) })
	driverDone := background(func() { ended <- p.driver.Run(context.Background()) })
	recorderDone := background(func() { d.recorder.run(planeCtx) })
	api := control.NewServer(d, d.log)
	scrape := metricsServer(d.sample, d.log)

	err := d.begin(ctx, cfg)
	hostCtx, stopHost := context.WithCancel(context.Background())
	hostDone := background(func() { d.followHost(hostCtx, p.host) })
	expiryDone := background(func() { d.watchExpiry(hostCtx) })
	staplesDone := background(func() { d.watchStaples(hostCtx) })
	healthDone := background(func() { d.watchHealth(hostCtx) })
	// Not before the start: closing a socket of nftables waits for the guard's clean-up.
	leftDone := background(func() { warnLeft(&cfg.Daemon, d.log) })
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
		err = nil // stopped before the start was complete
	}
	d.log.Info("stopping", "event", "daemon-stop")
	stopHost()
	<-hostDone
	<-expiryDone
	<-staplesDone
	<-healthDone
	<-leftDone
	d.resolver.close()
	p.driver.Shutdown(context.Background()) // it has a time limit of its own
	<-driverDone
	closing, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	api.Close(closing)
	scrape.Close()
	stopPlane()
	<-planeDone
	<-recorderDone
	d.recorder.finish()
	return err
}

// background runs f in a goroutine, and returns a channel that is closed when it has returned.
func background(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// newEngine returns the engine on the parts that are open.
func (p *parts) newEngine(c *config.Daemon) *ike.Engine {
	return ike.New(ike.Config{
		Rand: rand.Reader, KE: suite.SystemGroups{}, SPIs: p.plane, IKEPort: c.IKEPort, NATPort: c.NATPort,
		Resources:   len(p.net.Ports()),
		LocalAddr:   func(remote netip.Addr) netip.Addr { a, _ := p.net.LocalAddr(remote); return a },
		HasAddr:     p.net.HasAddr,
		CrashTokens: p.crashTokens(c), TellKeys: p.keys != nil,
	}, time.Now())
}

// closeGrace bounds the time for answers to clients at the end.
const closeGrace = time.Second

// begin applies the first configuration.
func (d *Daemon) begin(ctx context.Context, cfg *config.Config) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	if err := d.apply(ctx, cfg); err != nil {
		return err
	}
	d.log.Info("culvert is running", "event", "daemon-start", "version", d.opts.Version, "peers", len(cfg.Peers), "children", cfg.Children(), "control", cfg.Daemon.Control)
	return nil
}

// errEnded is the error of a part that ended early and without an error.
var errEnded = errors.New("internal error: a part of the daemon has ended")

// wait reloads on request until ctx ends, for which it returns nil, or a part ends, which is an
// error.
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
			// The log has its outcome.
			_, _ = d.Reload(ctx, control.ReloadHow{})
		}
	}
}
