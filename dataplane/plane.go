// Package dataplane is the packet path. Outbound, it classifies packets from the TUN, seals them
// and sends them; inbound, it does the reverse for packets from the peers.
//
//	          control plane: InstallInbound, ActivateOutbound, ...
//	          daemon:        SetPolicies, PolicyStats, Counters
//	                 |              |
//	          Plane: SPD (policies), SAD (inbound SPIs), pairs, events
//	                 |              |
//	worker 0:  TUN queue 0  <-->  classify, seal / open, check  <-->  port 0
//	worker 1:  TUN queue 1  <-->            ...                 <-->  port 1
//
// A worker is one OS thread that owns a queue and a port. It carries each packet from its read to
// its write itself, in both directions. Workers read shared state through atomic pointers: they
// take no lock, allocate nothing and log nothing for a packet that an SA carries.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// Config holds the parts and the settings of a Plane.
type Config struct {
	// Queues and Ports are the workers' while Run runs, one of each for each worker. Their owner
	// closes them after Run has returned. Run itself closes a queue without a descriptor (FD() ==
	// -1) as it ends, since nothing else ends its blocking Read.
	Queues []tun.Queue
	Ports  []netio.Port
	// Offloads are the super-packets that the queues accept: inbound segments are gathered into
	// packets of these kinds. None: segments are written one by one.
	Offloads gso.Offloads

	// LinkMTU returns the MTU of the first hop between two outer addresses; 0 is unknown. Nil:
	// 1500. It may be slow: no worker calls it.
	LinkMTU func(local, remote netip.Addr) int
	// TooBig delivers ICMP errors about packets too big for their path. Nil: none.
	TooBig <-chan netio.TooBig
	// Inlet is told of the inbound SAs of IP protocol 50. Nil: nobody is.
	Inlet Inlet
	// Probe enables probes, which confirm and search path MTUs, and answers to those of peers.
	Probe bool
	// AskIKE has IKE find the path MTUs of peers that answer no probes (ipsec.EventProbePath).
	AskIKE bool
	// MinMTU is the least path MTU that ICMP or a probe can set over IPv4; 0: 576.
	MinMTU int
	// OnIKE receives the IKE datagrams that came to the ports. Any worker calls it; it must not
	// block, and must copy what it keeps. Nil: they are dropped.
	OnIKE func(r *netio.Received)
	// MTU bounds the MTU of the TUN and of every SA; 0: only paths and ciphers do. SetMTU sets the
	// TUN's; one goroutine of Run calls it with the largest inner MTU of the SAs.
	MTU    int
	SetMTU func(int) error
	// Spin is how long an idle worker polls before it sleeps; 0: not at all.
	Spin time.Duration
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: none
}

// An Inlet takes ESP past the IP stack. Its methods return soon; any goroutine may call them.
type Inlet interface {
	// Expect tells that the SPI may become an SA's, and that packets may come before they do.
	Expect(spi uint32)
	// Live tells of an inbound SA of IP protocol 50.
	Live(spi uint32)
	// Gone tells that no SA has the SPI any more.
	Gone(spi uint32)
}

// noInlet is told of SPIs that nobody wants to know.
type noInlet struct{}

func (noInlet) Expect(uint32) {}
func (noInlet) Live(uint32)   {}
func (noInlet) Gone(uint32)   {}

// Plane is the dataplane. Its methods may be called by any goroutine, before, during and after Run.
type Plane struct {
	cfg                       Config
	sad                       *sad
	spd                       atomic.Pointer[selector.Table[target]]
	events                    *events
	acquires                  acquireQueue
	doubts                    notices // pairs with a send too large for the device
	stirred                   notices // pairs with traffic after a pause
	refused                   notices // pairs whose packets a firewall of this host refused
	unknown                   unknownSPIs
	earlies                   earlyQueue
	dummies                   chan receivedDummy
	workers                   []*worker
	tally                     tally         // counts of events outside the workers
	kick                      chan struct{} // one slot: the control goroutine has something to look at
	tunMTU                    int           // last set or tried; the control goroutine's
	fragmentsOut, fragmentsIn fragmentTable
	partials                  partials
	sightings                 sightings
	portPolicies              atomic.Int32 // number of policies that tell ports apart
	started                   atomic.Bool

	mu        sync.Mutex
	pairs     map[ipsec.ChildID]*pair
	slots     map[ipsec.PolicyID]*slot
	lastOrder uint64
	bypasses  map[ipsec.PolicyID]selector.Entry[target] // as in the table
	mtus      map[int]int                               // number of SAs by inner MTU
	paths     paths
	looked    int64                       // when silences were last looked for; UnixNano
	copyings  map[ipsec.PolicyID]*copying // by the policy on whose SAs copies are sent
	sources   []*source                   // of all paths
	sourceAt  int                         // the next one that is looked at
	showAt    int                         // the next one whose path is shown
	sourceID  uint64                      // the last of a request
}

// errRun is the error of a second call of Run.
var errRun = errors.New("dataplane: already run")

// New returns a Plane with an empty SPD, which drops everything. It opens only the descriptors that
// wake its workers; they are closed when Run ends.
func New(cfg Config) (*Plane, error) {
	if len(cfg.Queues) == 0 || len(cfg.Queues) != len(cfg.Ports) {
		return nil, fmt.Errorf("dataplane: %d TUN queues and %d ports: each worker needs one of each", len(cfg.Queues), len(cfg.Ports))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Inlet == nil {
		cfg.Inlet = noInlet{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{
		cfg:      cfg,
		sad:      newSAD(),
		events:   newEvents(),
		kick:     make(chan struct{}, 1),
		pairs:    make(map[ipsec.ChildID]*pair),
		slots:    make(map[ipsec.PolicyID]*slot),
		bypasses: make(map[ipsec.PolicyID]selector.Entry[target]),
		mtus:     make(map[int]int),
		dummies:  make(chan receivedDummy, maxDummies),
		copyings: make(map[ipsec.PolicyID]*copying),
		paths:    newPaths(),
	}
	p.unknown.seed = maphash.MakeSeed()
	p.earlies.spis = make(map[uint32][]earlyPacket)
	p.acquires.busy, p.acquires.post = make(map[*slot]struct{}), p.events.post
	p.spd.Store(selector.NewTable[target](nil))
	for i := range cfg.Queues {
		p.workers = append(p.workers, newWorker(p, i))
	}
	giveRxOrders(p.workers)
	giveReadOrders(p.workers)
	return p, nil
}

// Run carries packets until ctx ends, or until a queue or port fails, and returns that error. All
// goroutines that it started have ended when it returns. It can be called once.
func (p *Plane) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errRun
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failures := make(chan error, len(p.workers)) // one each at most
	var wg sync.WaitGroup
	for _, w := range p.workers {
		if err := w.setUp(); err != nil {
			failures <- err
			cancel()
			break
		}
		wg.Go(func() {
			if err := w.run(); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	wg.Go(func() { p.control(ctx) })
	<-ctx.Done()
	for _, w := range p.workers {
		w.stop()
	}
	wg.Wait()
	for _, w := range p.workers {
		w.tearDown()
	}
	p.clearAllKeys()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}
