package ike

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/timer"
	"culvert/ike/wire"
)

// Engine is the IKEv2 state machine of one daemon. It is not safe for concurrent use.
type Engine struct {
	cfg         Config
	handling    handling
	timers      timer.Heap
	jobs        jobs
	sas         saTable
	peers       peerTable
	plan        peerPlan
	policies    policyTable
	pairs       *child.Table
	unprotected unprotectedLimits
	counts      map[string]uint64
	stopping    bool
	stopped     timer.Timer
	sweep       sweep
}

// handling holds what belongs to the current Handle call.
type handling struct {
	now time.Time
	fx  *Effects
	has map[netip.Addr]bool // results of HasAddr: many IKE SAs share an address
}

// New returns an engine without peers (see SetPeers).
func New(cfg Config, now time.Time) *Engine {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Retry = cfg.Retry.WithDefaults()
	if cfg.IKEPort == 0 {
		cfg.IKEPort = defaultIKEPort
	}
	if cfg.NATPort == 0 {
		cfg.NATPort = defaultNATPort
	}
	e := &Engine{
		cfg:      cfg,
		handling: handling{now: now, fx: &Effects{}},
		jobs:     jobs{waiting: map[uint64]func(any){}},
		sas:      saTable{bySPI: map[wire.SPI]*ikeSA{}, inits: map[initKey]*ikeSA{}, byAddr: addrTable{}},
		peers:    newPeerTable(),
		policies: newPolicyTable(),
		counts:   map[string]uint64{},
	}
	e.pairs = child.NewTable(pairHost{e})
	e.unprotected.cookies.rand = cfg.Rand
	e.stopped.Fire = e.endShutdown
	e.sweep.retry.Fire = e.beginSweep
	return e
}

// The ports of IKE (RFC 7296, Section 2).
const (
	defaultIKEPort = 500
	defaultNATPort = 4500
)

func (l EngineLimits) withDefaults() EngineLimits {
	for _, f := range []struct {
		value *int
		def   int
	}{{&l.CookieThreshold, 64}, {&l.MaxHalfOpen, 4096}, {&l.MaxIKESAs, 250000}, {&l.MaxChildren, DefaultMaxChildren}} {
		if *f.value <= 0 {
			*f.value = f.def
		}
	}
	return l
}

// Handle applies in at time now and appends to fx, in order, what must be done. It reads no clock,
// opens no socket, starts no goroutine and does not block.
func (e *Engine) Handle(now time.Time, in Input, fx *Effects) {
	e.handling = handling{now: now, fx: fx}
	e.apply(in)
	e.reconcileDirty()
}

func (e *Engine) apply(in Input) {
	switch in := in.(type) {
	case Datagram:
		e.datagram(in)
	case Wake:
		e.timers.FireDue(e.handling.now)
		e.sweepOn()
	case Computed:
		e.jobs.finish(in)
	case Connect:
		e.connect(in)
	case Disconnect:
		e.disconnect(in)
	case Rekey:
		e.rekey(in)
	case Acquire:
		e.acquire(in)
	case Expire:
		e.expire(in)
	case Traffic:
		e.traffic(in)
	case PeerMoved:
		e.peerMoved(in)
	case AddressesChanged:
		e.addressesChanged()
	case Hint:
		e.hint(in)
	case UnknownSPI:
		e.unknownESP(in)
	case ProbePath:
		e.probePath(in)
	case SourceGone:
		e.sourceGone(in)
	case PlanPeers:
		e.planPeers(in)
	case SetPeers:
		e.setPeers(in.Peers)
	case ChangePeers:
		e.changePeers(in)
	case Shutdown:
		e.shutdown()
	}
}

// Deadline returns when Handle must next be called with Wake; zero means never.
func (e *Engine) Deadline() time.Time {
	if len(e.peers.dirty) > 0 || e.sweep.running {
		return e.handling.now
	}
	return e.timers.Next()
}

// Counters returns a copy of the engine's counters of datagrams and events. The names are fixed
// words of this package, so the map is bounded.
func (e *Engine) Counters() map[string]uint64 { return maps.Clone(e.counts) }

func (e *Engine) count(name string) { e.counts[name]++ }

func (e *Engine) emit(f Effect) { e.handling.fx.List = append(e.handling.fx.List, f) }

// after sets a timer to fire after d.
func (e *Engine) after(t *timer.Timer, d time.Duration) { e.timers.Set(t, e.handling.now.Add(d)) }

// recovered reports a panic in the handling of a datagram. It is a bug of ours, and must not end
// every tunnel.
func (e *Engine) recovered(why any) {
	e.count("ike_panic")
	e.emit(Notice{Level: Error, Event: "panic", Text: identity.Printable(fmt.Sprintf("internal error while handling a datagram: %v", why))})
}

// jobs holds the slow computations under way.
type jobs struct {
	last    uint64
	waiting map[uint64]func(any)
}

// compute runs run elsewhere. A later Handle calls then with its value, if ever; then must check
// that what it works for still exists.
func (e *Engine) compute(run func() any, then func(any)) {
	e.jobs.last++
	e.jobs.waiting[e.jobs.last] = then
	e.emit(Compute{ID: e.jobs.last, Run: run})
}

func (j *jobs) finish(in Computed) {
	then := j.waiting[in.ID]
	if then == nil {
		return
	}
	delete(j.waiting, in.ID)
	then(in.Value)
}
