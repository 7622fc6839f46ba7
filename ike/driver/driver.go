// Package driver runs an ike.Engine: one control goroutine owns the engine and its timer, and carries datagrams, commands,
// the dataplane's events and the results of slow computations to it, and its effects to the sockets, the dataplane and the log.
//
//	dataplane workers --Deliver--+                        +--> Transport.SendIKE
//	Transport.ReadIKE -----------+--> control goroutine --+--> Plane.InstallInbound, ...
//	Do, Status, SetPeers --------+      (ike.Engine)      +--> log, History, the commands' answers
//	AddressesChanged ------------+            |
//	Plane.Drain -----------------+            |
//	                             ^            v Compute
//	                             +-- worker goroutines
//
// Everything that others put in is bounded, and nothing that the control goroutine does waits for a computation.
package driver

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"culvert/esp"
	"culvert/ike"
)

// Engine is the part of *ike.Engine that the driver uses. The control goroutine alone calls it.
type Engine interface {
	Handle(now time.Time, in ike.Input, fx *ike.Effects)
	Deadline() time.Time
	StatusPart(from uint64, n int) (list []ike.PeerStatus, next uint64)
	StatusOf(peer string) (ike.PeerStatus, bool)
	Counters() map[string]uint64
}

// Plane is the part of the dataplane that IKE steers. The control goroutine calls it; nothing in it may wait for IKE.
type Plane interface {
	// InstallInbound makes the inbound SA live and the pair known.
	InstallInbound(sa esp.ChildSA) error
	// ActivateOutbound makes the pair's outbound SA the one that its policy, or for one with a Resource that worker, sends on, unless a pair with a larger ID is already.
	ActivateOutbound(id esp.ChildID)
	// DeactivateOutbound ends the sending on the pair; its inbound SA stays live.
	DeactivateOutbound(id esp.ChildID)
	// RemoveSA removes both SAs of the pair and frees their SPI.
	RemoveSA(id esp.ChildID)
	// SetEndpoint changes where the pair's packets go.
	SetEndpoint(id esp.ChildID, ep esp.Endpoint)
	// LastTraffic is when packets were last seen on the pair; zero: never. False: there is no such pair.
	LastTraffic(id esp.ChildID) (in, out time.Time, ok bool)
	// AcquireFailed drops the packets that the policy keeps.
	AcquireFailed(policy esp.Policy)
	// PathProbed answers an EventProbePath.
	PathProbed(r esp.PathProbe)
	// Wake has one slot: it is ready when Drain has something.
	Wake() <-chan struct{}
	// Drain takes all that the dataplane has to tell.
	Drain() []esp.Event
}

// ErrNoRoute is what an error of Transport's sends also is (errors.Is) if the system has no route
// from the local address to the remote one.
var ErrNoRoute = errors.New("no route from the local address")

// Transport is the IKE sockets.
type Transport interface {
	// SendIKE sends a message, with the non-ESP marker from the NAT port. An invalid local address lets the system choose.
	SendIKE(local, remote netip.AddrPort, natPort bool, data []byte) error
	// ProbeIKE is SendIKE of a message that IP may not fragment.
	ProbeIKE(local, remote netip.AddrPort, natPort bool, data []byte) error
	// SendIKEInFragments is SendIKE of a message in IP fragments of at most size octets each.
	SendIKEInFragments(local, remote netip.AddrPort, natPort bool, data []byte, size int) error
	// SendKeepalive sends a NAT-keepalive (RFC 3948, Section 2.3).
	SendKeepalive(local, remote netip.AddrPort) error
	// ReadIKE waits for a datagram; natPort says that it came to the NAT port, where the non-ESP marker was taken off. It ends with net.ErrClosed after the
	// transport was closed.
	ReadIKE(buf []byte) (n int, local, remote netip.AddrPort, natPort bool, err error)
}

// Config is what a Driver is made of. Engine, Plane and Transport are required.
type Config struct {
	Engine    Engine
	Plane     Plane
	Transport Transport
	Log       *slog.Logger      // nil: nothing is logged
	Now       func() time.Time  // nil: time.Now
	Resolve   func(peer string) // asked to look the peer's DNS name up again and to call ChangePeers with what it finds; must not block. May be nil
	Workers   int               // goroutines for slow computations; 0: GOMAXPROCS
}

// ErrStopped is the answer to every command once Run has ended.
var ErrStopped = errors.New("the IKE daemon is stopping")

// shutdownGrace is how long the engine has to be done with its Deletes: a little longer than it gives the peers to answer them.
const shutdownGrace = 800 * time.Millisecond

// sourcesEvery is how often, at most, a send without a route has the sources of all IKE SAs looked
// at: strangers can cause it, and the system tells of changes by itself.
const sourcesEvery = 10 * time.Second

// Driver is the control plane of a daemon. Its methods may be called from any goroutine.
type Driver struct {
	cfg      Config
	queues   [numClasses]queue
	commands chan func()
	stop     chan struct{} // closed by Shutdown
	stopOnce sync.Once
	done     chan struct{} // closed when Run has ended
	host     chan struct{} // one slot: AddressesChanged was called
	started  atomic.Bool
	counts   counts
	history  history
	loop     loop
}

// counts are the driver's own counters.
type counts struct {
	panics, sendErrors, readErrors, computePanics, installErrors atomic.Uint64
}

// loop is what belongs to the control goroutine alone.
type loop struct {
	fx       ike.Effects
	pending  []ike.Input // inputs that effects gave rise to
	timer    *time.Timer
	armed    time.Time // what timer is set to; zero: not set
	wakeFrom time.Time // no Wake before this, whatever the engine's deadline
	pool     pool
	waiters  map[uint64]chan error
	lastRef  uint64
	stopping bool
	stopped  bool // the engine says so, or the grace is over
	grace    <-chan time.Time
	turns    uint
	panicLog throttle
	sendLog  throttle
	sources  throttle // of looks at all sources because of a send without a route
}

// New makes a driver; Run brings it to life.
func New(cfg Config) *Driver {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	d := &Driver{
		cfg:      cfg,
		commands: make(chan func()),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		host:     make(chan struct{}, 1),
		history:  newHistory(),
		loop:     loop{pool: newPool(), waiters: map[uint64]chan error{}, panicLog: throttle{every: time.Second}, sendLog: throttle{every: 10 * time.Second}, sources: throttle{every: sourcesEvery}},
	}
	for c := range d.queues {
		d.queues[c].datagrams = make(chan datagram, queueLen)
	}
	return d
}

// Run is the control goroutine. When ctx ends, or Shutdown is called, the engine deletes its SAs, which takes less than a second, and then Run
// returns nil; the transport and the plane must work until then. It may be called once. The goroutine that it starts to
// read from Transport.ReadIKE ends when the transport is closed, which is the caller's to do.
func (d *Driver) Run(ctx context.Context) error {
	if d.started.Swap(true) {
		return errors.New("driver: Run was called twice")
	}
	go d.read()
	var workers sync.WaitGroup
	for range d.cfg.Workers {
		workers.Go(func() { d.loop.pool.work(d.done) })
	}
	defer workers.Wait()
	defer close(d.done)

	d.loop.timer = time.NewTimer(time.Hour)
	defer d.loop.timer.Stop()
	for {
		d.wakeIfDue()
		if d.loop.stopped {
			return nil
		}
		d.step(ctx)
	}
}

// fairTurn: the messages of established SAs are served before those of new peers, save in every eighth turn, so that neither a flood of
// IKE_SA_INIT stops rekeys nor a flood of junk stops new peers.
const fairTurn = 8

// step waits for one thing to happen and handles it.
func (d *Driver) step(ctx context.Context) {
	l := &d.loop
	established, auth, init := d.queues[classEstablished].datagrams, d.queues[classAuth].datagrams, d.queues[classInit].datagrams
	l.turns++
	if l.pool.newcomersFull() || len(established) > 0 && l.turns%fairTurn != 0 {
		auth, init = nil, nil
	}
	stop, ended := d.stop, ctx.Done()
	if l.stopping {
		stop, ended = nil, nil
	}
	jobs, job := l.pool.next()
	select {
	case dg := <-established:
		d.datagram(dg)
	case dg := <-auth:
		d.datagram(dg)
	case dg := <-init:
		d.datagram(dg)
	case r := <-l.pool.results:
		d.computed(r)
	case jobs <- job:
		l.pool.taken()
	case command := <-d.commands:
		command()
	case <-d.cfg.Plane.Wake():
		d.drain()
	case <-d.host:
		d.handle(ike.AddressesChanged{}, classEstablished)
	case <-l.timer.C:
		l.armed = time.Time{}
	case <-ended:
		d.beginShutdown()
	case <-stop:
		d.beginShutdown()
	case <-l.grace:
		d.cfg.Log.Warn("peers did not answer before the daemon's end", "event", "shutdown-timeout")
		l.stopped = true
	}
}

// beginShutdown asks the engine to delete everything and sets how long that may take.
func (d *Driver) beginShutdown() {
	d.loop.stopping = true
	d.loop.grace = time.After(shutdownGrace)
	d.handle(ike.Shutdown{}, classEstablished)
}

// minWake keeps an engine whose deadline does not move, which would be a bug, from taking a whole core.
const minWake = time.Millisecond

// wakeIfDue feeds Wake if the engine's deadline has come, and sets the timer to the next one.
func (d *Driver) wakeIfDue() {
	l := &d.loop
	if at, now := d.wakeAt(), d.cfg.Now(); !at.IsZero() && !at.After(now) {
		l.wakeFrom = now.Add(minWake)
		d.handle(ike.Wake{}, classEstablished)
	}
	at := d.wakeAt()
	if at.Equal(l.armed) {
		return
	}
	l.armed = at
	if at.IsZero() {
		l.timer.Stop()
		return
	}
	l.timer.Reset(at.Sub(d.cfg.Now())) // the Wake may have taken its time
}

// wakeAt is when Wake is due; zero: never.
func (d *Driver) wakeAt() time.Time {
	at := d.cfg.Engine.Deadline()
	if !at.IsZero() && at.Before(d.loop.wakeFrom) {
		return d.loop.wakeFrom
	}
	return at
}
