package ike

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/pacing"
	"culvert/ike/suite"
	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
)

// Config holds the parameters of an Engine. They do not change, except the peers (SetPeers).
type Config struct {
	Rand   io.Reader    // all randomness except that of key exchanges
	KE     suite.Groups // the key exchange methods; tests use fake ones
	SPIs   SPIAllocator // inbound ESP SPIs, chosen by the dataplane so that their low bits are a slot
	Limits EngineLimits // zero fields take their defaults
	// Resources is the number of the dataplane's workers. If there are several, a peer with
	// PerResource is asked for a Child SA for each (RFC 9611).
	Resources int
	Retry     window.RetransmitPlan // zero fields take their defaults
	// CrashTokens let peers know at once that this engine has lost its IKE SAs (RFC 6290).
	CrashTokens CrashTokens
	// TellKeys has the engine tell the keys of its IKE SAs (IKEKeys). It is for people who decrypt
	// captures.
	TellKeys bool

	IKEPort, NATPort uint16 // our UDP ports; default 500 and 4500
	// LocalAddr returns the address that the system would send from to remote, or the zero Addr.
	// NAT detection needs it for a peer without Local: if LocalAddr is nil, such a peer takes us to
	// be behind a NAT. It is called in Handle and must be quick.
	LocalAddr func(remote netip.Addr) netip.Addr
	// HasAddr reports whether an address belongs to this host and its sockets receive there. If it
	// is nil, every address does. It is called in Handle and must be quick.
	HasAddr func(local netip.Addr) bool
}

// SPIAllocator allocates inbound ESP SPIs. What comes with those of one lane stays in its order.
// FreeSPI frees one that no RemoveSA effect will name.
type SPIAllocator interface {
	AllocSPI(lane uint32) (uint32, error)
	FreeSPI(spi uint32)
}

// EngineLimits bound the engine's state against hostile peers.
type EngineLimits struct {
	CookieThreshold int // half-open SAs above which cookies are demanded (RFC 7296, Section 2.6); default 64
	MaxHalfOpen     int // half-open SAs above which new ones are dropped; default 4096, a sixteenth for one address
	MaxIKESAs       int // all IKE SAs, including rekeyed ones; default 250000
	MaxChildren     int // Child SAs of one IKE SA; default DefaultMaxChildren
}

// Limits that the configuration has to know.
const (
	DefaultMaxChildren = 256   // EngineLimits.MaxChildren
	DefaultMaxParties  = 16384 // Peer.MaxParties
)

// Engine is the IKEv2 state machine of one daemon. It is not safe for concurrent use.
type Engine struct {
	cfg         Config
	handling    handling
	timers      timer.Heap
	jobs        jobs
	sas         saTable
	peers       peerTable
	pace        *pacing.Pacer
	unanswered  unansweredTable
	plan        peerPlan
	policies    policyTable
	holds       holdTable
	standby     standbyTable
	pairs       *child.Table
	unprotected unprotectedLimits
	counts      map[string]uint64
	configured  bool // there was a SetPeers
	stopping    bool
	stopped     timer.Timer
	sweep       sweep
	able        abilities // what is announced at most
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
		cfg:        cfg,
		handling:   handling{now: now, fx: &Effects{}},
		jobs:       jobs{waiting: map[uint64]func(any){}, ofSA: map[*ikeSA]saJob{}},
		sas:        saTable{bySPI: map[wire.SPI]*ikeSA{}, byAddr: addrTable{}},
		peers:      newPeerTable(),
		pace:       pacing.New(),
		unanswered: unansweredTable{},
		policies:   newPolicyTable(),
		holds:      holdTable{},
		standby:    newStandbyTable(),
		counts:     map[string]uint64{},
		able:       ableUDP | ablePorts,
	}
	e.pairs = child.NewTable(pairHost{e})
	e.sas.halfOpen = newHalfOpens(e, now)
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
	l.MaxHalfOpen = min(l.MaxHalfOpen, mostHalfOpen)
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
	case Unheard:
		e.unheard(in)
	case PortBlocked:
		e.portBlocked(in)
	case Probed:
		e.probed(in)
	case UnknownSPI:
		e.unknownESP(in)
	case ProbePath:
		e.probePath(in)
	case Unreachable:
		e.unreachable(in)
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
	if len(e.peers.dirty) > 0 || e.sweep.state != sweepOver {
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

// freshSPI returns a random SPI that is not zero and not in use.
func (e *Engine) freshSPI() (wire.SPI, error) {
	for {
		b, err := e.random(8)
		if err != nil {
			return 0, err
		}
		spi := wire.SPI(binary.BigEndian.Uint64(b))
		if !e.inUse(spi) && spi != 0 {
			return spi, nil
		}
	}
}

// inUse reports whether an SPI is ours, of an IKE SA or of a half-open one.
func (e *Engine) inUse(spi wire.SPI) bool {
	return e.sas.bySPI[spi] != nil || e.sas.halfOpen.bySPI[spi] != nil
}

// random returns n random octets from the configured source.
func (e *Engine) random(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(e.cfg.Rand, b)
	return b, err
}

// nonceLen is the length of our nonces in octets: at least half the key size of every PRF (RFC
// 7296, Section 2.10).
const nonceLen = 32

func (e *Engine) nonce() ([]byte, error) { return e.random(nonceLen) }

// touch marks the party to be reconciled before Handle returns.
func (e *Engine) touch(p *party) {
	if p != nil && !p.dirty {
		p.dirty = true
		e.peers.dirty = append(e.peers.dirty, p)
	}
}

// maxReconciles bounds the peers that one Handle reconciles; Deadline asks for the next Handle at
// once. So neither a large configuration nor a peer that keeps touching itself delays other inputs.
const maxReconciles = 256

// reconcileDirty reconciles the touched peers.
func (e *Engine) reconcileDirty() {
	for n := 0; len(e.peers.dirty) > 0 && n < maxReconciles; n++ {
		p := e.peers.dirty[0]
		e.peers.dirty = e.peers.dirty[1:]
		p.dirty = false
		p.reconcile()
		p.chooseAll()
	}
	if len(e.peers.dirty) == 0 {
		e.peers.dirty = nil
	}
	e.checkStopped()
}
