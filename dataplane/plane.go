// Package dataplane is the packet path: it classifies what comes from the TUN, seals it, sends it, and does the reverse for what comes from the peers.
//
//	          Plane: SPD (policies), SAD (inbound SPIs), pairs, events         control plane: InstallInbound, ActivateOutbound, ...
//	                 |              |                                           daemon: SetPolicies, PolicyStats, Counters
//	worker 0:  TUN queue 0  <-->  classify, seal / open, check  <-->  port 0
//	worker 1:  TUN queue 1  <-->            ...                 <-->  port 1
//
// A worker is one OS thread that owns a queue and a port and carries each packet from its read to its write itself, in both directions. What
// the workers share they read through atomic pointers: they take no lock, allocate nothing and log nothing for a packet that an SA carries.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/selector"
	"culvert/tun"
	"culvert/tun/gso"
)

// Config is what a Plane is made of.
type Config struct {
	// Queues and Ports belong to the workers from Run on, one of each for one worker. Their owner closes them after Run has returned; a queue without a
	// descriptor (FD() == -1), whose Read blocks, is closed by Run as it ends, since nothing else ends such a Read.
	Queues []tun.Queue
	Ports  []netio.Port
	// Offloads are what the queues take whole: inbound segments are gathered into super-packets of these kinds. None: they are written one by one.
	Offloads gso.Offloads

	// LinkMTU is the MTU of the first hop between two outer addresses; 0 is unknown. Nil: 1500. It may
	// take its time: no worker calls it.
	LinkMTU func(local, remote netip.Addr) int
	// TooBig is where ICMP errors come from that say that a packet was too big for its path. Nil: none.
	TooBig <-chan netio.TooBig
	// Probe has path MTUs confirmed and searched by probes, and those of peers answered.
	Probe bool
	// AskIKE has the path MTUs of peers that answer no probes found out by IKE (esp.EventProbePath).
	AskIKE bool
	// MinMTU is the least path MTU over IPv4 that ICMP or a probe can show; 0: 576.
	MinMTU int
	// OnIKE gets the IKE datagrams that came to the ports. It is called by any worker, must copy what it keeps, and must not block. Nil: dropped.
	OnIKE func(r *netio.Received)
	// MTU is the largest MTU of the TUN and of every SA; 0: what paths and ciphers leave. SetMTU is
	// called by one goroutine of Run with what the SAs have.
	MTU    int
	SetMTU func(int) error
	// Spin is for how long a worker that has nothing to do looks on before it sleeps; 0: not at all.
	Spin time.Duration
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: none
}

// Plane is the dataplane. Its methods may be called by any goroutine, before, during and after Run.
type Plane struct {
	cfg                       Config
	sad                       *sad
	spd                       atomic.Pointer[selector.Table[target]]
	events                    *events
	acquires                  acquireQueue
	doubts                    notices // a send was too large for the device
	stirred                   notices // there is traffic after a while without
	dummies                   chan receivedDummy
	workers                   []*worker
	tally                     tally         // of what no worker counts
	kick                      chan struct{} // one slot: the control goroutine has something to look at
	tunMTU                    int           // as last set or tried; the control goroutine's
	fragmentsOut, fragmentsIn fragmentTable
	portPolicies              atomic.Int32 // how many policies tell ports apart
	started                   atomic.Bool

	mu        sync.Mutex
	pairs     map[esp.ChildID]*pair
	slots     map[esp.Policy]*slot
	lastOrder uint64
	bypasses  map[esp.Policy]selector.Entry[target] // as they stand in the table
	mtus      map[int]int                           // how many SAs have which inner MTU
	ceilings  map[string]int
	paths     paths
}

// errRun is what a second Run gets.
var errRun = errors.New("dataplane: already run")

// New makes a Plane with an empty SPD: it drops everything. It opens nothing but what it needs to wake its workers; that is closed when Run ends.
func New(cfg Config) (*Plane, error) {
	if len(cfg.Queues) == 0 || len(cfg.Queues) != len(cfg.Ports) {
		return nil, fmt.Errorf("dataplane: %d TUN queues and %d ports: each worker needs one of each", len(cfg.Queues), len(cfg.Ports))
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{
		cfg:      cfg,
		sad:      newSAD(),
		events:   newEvents(),
		kick:     make(chan struct{}, 1),
		pairs:    make(map[esp.ChildID]*pair),
		slots:    make(map[esp.Policy]*slot),
		bypasses: make(map[esp.Policy]selector.Entry[target]),
		mtus:     make(map[int]int),
		dummies:  make(chan receivedDummy, maxDummies),
		paths:    newPaths(),
	}
	p.acquires.busy, p.acquires.post = make(map[*slot]struct{}), p.events.post
	p.spd.Store(selector.NewTable[target](nil))
	for i := range cfg.Queues {
		p.workers = append(p.workers, newWorker(p, i))
	}
	giveRxOrders(p.workers)
	return p, nil
}

// Run carries packets until ctx ends, or a queue or port does, which is the error it returns. It returns after every goroutine that it started has ended.
// It can be called once.
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
