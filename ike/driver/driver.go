// Package driver runs an ike.Engine. One control goroutine owns the engine and its timer. It feeds
// datagrams, commands, events of the dataplane and results of slow computations to the engine, and
// carries out its effects on the sockets, the dataplane and the log.
//
//	dataplane workers --Deliver--+                        +--> Transport.SendIKE
//	Transport.ReadIKE -----------+--> control goroutine --+--> Plane.InstallInbound, ...
//	Do, Status, SetPeers --------+      (ike.Engine)      +--> log, History, the commands' answers
//	AddressesChanged ------------+            |
//	Plane.Drain -----------------+            |
//	                             ^            v Compute
//	                             +-- worker goroutines
//
// Every input queue is bounded, and the control goroutine never waits for a computation.
package driver

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"culvert/ike"
	"culvert/internal/ipsec"
)

// Engine is the part of *ike.Engine that the driver uses. Only the control goroutine calls it.
type Engine interface {
	Handle(now time.Time, in ike.Input, fx *ike.Effects)
	Deadline() time.Time
	StatusPart(from ike.Mark, n int) (list []ike.PeerStatus, next ike.Mark)
	GaugesPart(from ike.Mark, n int, out *ike.Gauges) (next ike.Mark)
	StatusOf(peer string) (ike.PeerStatus, bool)
	StatusOfPart(name string, from ike.Mark, n int) (list []ike.PeerStatus, next ike.Mark)
	Counters() map[string]uint64
}

// Plane is the part of the dataplane that IKE controls. The control goroutine calls it; no method
// may wait for IKE.
type Plane interface {
	// ChangePolicies adds or changes the policies of set in the SPD, and removes those of gone.
	ChangePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) error
	// HoldPolicy begins, or with held false ends, to drop the packets of a policy.
	HoldPolicy(id ipsec.PolicyID, held bool)
	// StandbyPolicy has a policy yield to others with the same networks, or with standby false has
	// it matched before those that do.
	StandbyPolicy(id ipsec.PolicyID, standby bool)
	// ProbePair sends a packet on the pair which the peer answers, if it knows how.
	ProbePair(id ipsec.ChildID)
	// CopyPackets has up to n packets of a policy sent on an SA of another one as well.
	CopyPackets(of, on ipsec.PolicyID, n int)
	// InstallInbound makes the inbound SA live and registers the pair.
	InstallInbound(sa ipsec.ChildSA) error
	// FreeSPI gives back an SPI that was never installed.
	FreeSPI(spi uint32)
	// ActivateOutbound makes the policy send on the pair's outbound SA, or for a pair with a
	// Resource the one worker, unless it already sends on a pair with a larger ID.
	ActivateOutbound(id ipsec.ChildID)
	// DeactivateOutbound ends sending on the pair; its inbound SA stays live.
	DeactivateOutbound(id ipsec.ChildID)
	// RemoveSA removes both SAs of the pair and frees their SPI.
	RemoveSA(id ipsec.ChildID)
	// SetPath changes the path of the pair's packets.
	SetPath(id ipsec.ChildID, p ipsec.Path)
	// LastTraffic returns the times of the last packets of the pair, zero for none; ok is false if
	// there is no such pair.
	LastTraffic(id ipsec.ChildID) (t ipsec.Traffic, ok bool)
	// AcquireFailed drops the packets that the policy has queued.
	AcquireFailed(policy ipsec.PolicyID)
	// PathProbed answers an EventProbePath.
	PathProbed(r ipsec.PathProbe)
	// Wake returns a channel with one slot, ready when Drain has events.
	Wake() <-chan struct{}
	// Drain removes and returns all events.
	Drain() []ipsec.Event
}

// Errors of the Transport's sends match ErrNoRoute (errors.Is) if the system has no route from the
// local address to the remote one. With an ipsec.SendError in them (errors.As) the engine is told
// that this host refuses to send.
var ErrNoRoute = errors.New("no route from the local address")

// Transport is the IKE sockets.
type Transport interface {
	// SendIKE sends a message on a path, from the NAT port with the non-ESP marker. With an invalid
	// local address the system chooses one.
	SendIKE(p ipsec.Path, data []byte) error
	// ProbeIKE is SendIKE of a message that IP must not fragment.
	ProbeIKE(p ipsec.Path, data []byte) error
	// SendIKEInFragments is SendIKE of a message in IP fragments of at most size octets each.
	SendIKEInFragments(p ipsec.Path, data []byte, size int) error
	// SendKeepalive sends a NAT-keepalive (RFC 3948, Section 2.3).
	SendKeepalive(p ipsec.Path) error
	// ReadIKE waits for a message, and returns its length without a non-ESP marker, and its path.
	// After the transport was closed it returns net.ErrClosed.
	ReadIKE(buf []byte) (n int, from ipsec.Path, err error)
}

// Config is the configuration of a Driver. Engine, Plane and Transport are required.
type Config struct {
	Engine    Engine
	Plane     Plane
	Transport Transport
	Log       *slog.Logger     // nil: no log
	Now       func() time.Time // nil: time.Now
	// Resolve, if not nil, is asked to look the peer's DNS name up again and to call ChangePeers
	// with the addresses. It must not block.
	Resolve func(peer string)
	// IKEKeys, if not nil, is shown the keys that the engine tells. They are cleared afterwards.
	IKEKeys func(*ike.IKEKeys)
	// Unreachable, if not nil, has ICMP errors, which anybody can forge.
	Unreachable <-chan ipsec.Unreachable
	Workers     int // goroutines for slow computations of established SAs; 0: GOMAXPROCS
}

// ErrStopped is the answer to every command after the end of Run.
var ErrStopped = errors.New("the IKE daemon is stopping")

// shutdownGrace bounds the engine's time for its Deletes: a little longer than the time that it
// gives the peers to answer them.
const shutdownGrace = 800 * time.Millisecond

// sourcesEvery is the least interval at which sends without a route make the engine check the
// source addresses of all IKE SAs: strangers can cause such sends, and the system reports changes
// by itself.
const sourcesEvery = 10 * time.Second

// A Driver is the control plane of a daemon. Its methods are safe for concurrent use.
type Driver struct {
	cfg       Config
	queues    [numClasses]queue
	commands  chan func()
	stop      chan struct{} // closed by Shutdown
	stopOnce  sync.Once
	done      chan struct{} // closed when Run has ended
	host      chan struct{} // one slot: AddressesChanged was called
	started   atomic.Bool
	counts    counts
	history   history
	strangers strangers
	loop      loop
}

// counts are the driver's own counters.
type counts struct {
	panics, sendErrors, readErrors, computePanics, installErrors atomic.Uint64
}

// loop is the state of the control goroutine.
type loop struct {
	fx          ike.Effects
	pending     []ike.Input // inputs that follow from effects
	timer       *time.Timer
	armed       time.Time // the timer's time; zero: not set
	wakeFrom    time.Time // no Wake before this, whatever the engine's deadline
	pool        pool
	online      online
	waiters     map[uint64]chan error
	lastRef     uint64
	stopping    bool
	stopped     bool // the engine has stopped, or the grace is over
	grace       <-chan time.Time
	turns       uint
	panicLog    throttle
	sendLog     throttle
	strangerLog throttle
	sources     throttle // checks of all source addresses after a send without a route
}

// New returns a driver that does nothing before Run.
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
		loop:     loop{pool: newPool(), online: newOnline(), waiters: map[uint64]chan error{}, panicLog: throttle{every: time.Second}, sendLog: throttle{every: 10 * time.Second}, strangerLog: throttle{every: strangerPause, burst: strangerLines}, sources: throttle{every: sourcesEvery}},
	}
	for c := range d.queues {
		d.queues[c].datagrams = make(chan datagram, queueLen)
	}
	return d
}

// Run is the control goroutine. After ctx ends, or a call of Shutdown, the engine deletes its SAs
// in less than a second, and Run returns nil; the transport and the plane must work until then. Run
// may be called once. The goroutine that it starts for Transport.ReadIKE ends when the caller
// closes the transport.
func (d *Driver) Run(ctx context.Context) error {
	if d.started.Swap(true) {
		return errors.New("driver: Run was called twice")
	}
	go d.read()
	var workers sync.WaitGroup
	d.loop.pool.start(d.cfg.Workers, d.done, workers.Go)
	defer workers.Wait()
	defer close(d.done)
	defer d.loop.online.stop()

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

// step waits for one event and handles it.
func (d *Driver) step(ctx context.Context) {
	l := &d.loop
	established, auth, init := d.turn()
	stop, ended := d.stop, ctx.Done()
	if l.stopping {
		stop, ended = nil, nil
	}
	jobs, job := l.pool.established.next()
	proofs, proof := l.pool.proved.next()
	strangers, stranger := l.pool.newcomers.next()
	quicks, quick := l.pool.newcomers.nextQuick()
	select {
	case dg := <-established:
		d.datagram(dg)
	case dg := <-auth:
		d.datagram(dg)
	case dg := <-init:
		d.datagram(dg)
	case r := <-l.pool.results:
		d.computed(r)
	case r := <-l.online.results:
		l.online.ended()
		d.computed(r)
	case jobs <- job:
		l.pool.established.taken()
	case proofs <- proof:
		l.pool.proved.taken()
	case strangers <- stranger:
		l.pool.newcomers.taken()
	case quicks <- quick:
		l.pool.newcomers.takenQuick()
	case command := <-d.commands:
		command()
	case <-d.cfg.Plane.Wake():
		d.drain()
	case u := <-d.cfg.Unreachable:
		d.handle(ike.Unreachable{Unreachable: u}, classEstablished)
	case <-d.host:
		d.handle(ike.AddressesChanged{}, classEstablished)
	case <-l.timer.C:
		l.armed = time.Time{}
	case <-ended:
		d.beginShutdown()
	case <-stop:
		d.beginShutdown()
	case <-l.grace:
		d.cfg.Log.Warn("the peers did not answer the Deletes in time", "event", "shutdown-timeout")
		l.stopped = true
	}
}

// beginShutdown has the engine delete everything, and starts the grace.
func (d *Driver) beginShutdown() {
	d.loop.stopping = true
	d.loop.grace = time.After(shutdownGrace)
	d.handle(ike.Shutdown{}, classEstablished)
}
