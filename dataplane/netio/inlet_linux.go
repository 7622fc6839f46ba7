package netio

import (
	"sync"

	"golang.org/x/sys/unix"

	"culvert/dataplane/netio/clsact"
)

// An inlet takes packets of IP protocol 50 past the IP stack: a program at the devices, before it,
// copies those of live SAs into the ring of the worker that the SPI names.
//
//	device --> program --> ring 0 --> port 0        an SA of ours
//	              |    --> ring 1 --> port 1
//	              +------> IP stack --> raw socket  everything else
//
// It is made when the first SA of protocol 50 comes, so that a daemon without one has none, and
// nothing waits for it. A ring is made when its worker's first SA comes. All of it ends with the
// descriptors, also of a process that is killed: the program is attached by tcx, or on older
// kernels by a filter of tc (package clsact), of which a stub remains. Where the system has no such
// programs (Linux 5.12) or does not allow them, the socket has all packets.
//
// Packets are taken while this host has no policy for ESP that they would pass by (hostpolicy),
// which is followed.
//
// No packet overtakes another of its SA: an SPI is known before its peer learns of it, what the
// ring has no room for is lost, and when packets begin or end to be taken, the workers deliver what
// came before first (ringDue, ringLeads).
type inlet struct {
	net   *Net
	own   []string // tables of nftables
	owner string
	noTCX bool
	bells []*bell
	work  chan struct{} // one slot: an SA came whose worker has no ring
	stop  chan struct{}
	done  chan struct{}
	space int // the network namespace of the sockets

	// run's
	maps   *inletMaps // nil: not made
	at     inletDevices
	policy inletPolicy

	mu      sync.Mutex
	live    map[uint32]bool // SPIs; false: expected
	without map[int]bool    // workers for which no ring could be made
	table   spiTable        // nil: no packets are taken
	devices map[int]string  // where the program is attached, by index
	by      string          // how it is attached
	skipped string          // why not at one more
	in, out error           // why packets are not received, or sent, past the IP stack
	begun   bool            // there was an SA
	told    inletWords
	lost    uint64
}

// openInlet prepares the inlet, and removes what a killed process has left. Without an inlet
// n.inlet is nil.
func (n *Net) openInlet(cfg *Config) {
	if _, err := clsact.Release(func(owner string) bool { return owner == cfg.Owner }); err != nil {
		n.log.Warn("filters of tc that an ended daemon has left stay; they do nothing", "error", err)
	}
	if !cfg.FastPath || !n.rawESP {
		return
	}
	i := &inlet{
		net: n, own: cfg.OwnTables, owner: cfg.Owner, noTCX: cfg.NoTCX, live: make(map[uint32]bool), without: make(map[int]bool),
		work: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	n.inlet = i
	if i.in = canExchange(); i.in == nil {
		i.in = i.openBells()
	}
	if i.in == nil {
		i.space, i.in = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	go i.run()
}

// openBells gives each worker a bell, or none.
func (i *inlet) openBells() error {
	for _, p := range i.net.ports {
		b, err := newBell()
		if err != nil {
			i.closeBells()
			return err
		}
		i.bells = append(i.bells, b)
		p.bell = b
	}
	return nil
}

func (i *inlet) closeBells() {
	for k, b := range i.bells {
		i.net.ports[k].bell = nil
		b.close()
	}
	i.bells = nil
}

// Live tells that packets of an inbound SA of IP protocol 50 with the SPI may come. Any goroutine
// may call it.
func (n *Net) Live(spi uint32) {
	i := n.inlet
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.live[spi] = true
	if i.table != nil && n.portOf(spi).ring.Load() != nil {
		i.table.know(spi)
		return
	}
	select {
	case i.work <- struct{}{}:
	default:
	}
}

// Expect tells that an inbound SA with the SPI may come, and that its packets may come before it.
// Where its worker has a ring, they come there as the later ones do. Any goroutine may call it.
func (n *Net) Expect(spi uint32) {
	i := n.inlet
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.live[spi] {
		return
	}
	i.live[spi] = false
	if i.table != nil && n.portOf(spi).ring.Load() != nil {
		i.table.know(spi)
	}
}

// Gone tells that an inbound SA has ended, or will not come. Any goroutine may call it.
func (n *Net) Gone(spi uint32) {
	i := n.inlet
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.live, spi)
	if i.table != nil {
		i.table.forget(spi)
	}
}

// portOf returns the port of the worker that an SPI names.
func (n *Net) portOf(spi uint32) *port { return n.ports[WorkerOf(spi, len(n.ports))] }

// run makes the inlet when the first SA comes, and then follows SAs, devices and policy.
func (i *inlet) run() {
	defer close(i.done)
	defer i.at.close()
	select {
	case <-i.work:
	case <-i.stop:
		return
	}
	err := i.in
	if err == nil {
		err = enter(i.space)
	}
	if err != nil {
		i.refuse(err, err)
		return
	}
	i.watch()
}

// takesAt reports whether packets may be sent past the IP stack by a device: only where others are
// taken, since connection tracking would see but one direction.
func (i *inlet) takesAt(device int) bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.table != nil && i.out == nil && i.devices[device] != ""
}

// serve gives a ring to each worker that an SA has come for, and has the SA's packets taken.
func (i *inlet) serve() {
	if i.maps == nil {
		return
	}
	for worker := i.needy(); worker >= 0; worker = i.needy() {
		r, err := i.maps.addRing(worker)
		i.mu.Lock()
		if err != nil {
			i.without[worker] = true
			i.net.log.Warn("no ring for a worker: its ESP comes by the raw socket", "worker", worker, "error", err)
		} else {
			i.net.ports[worker].ring.Store(r)
			i.know()
		}
		i.mu.Unlock()
	}
}

// know has the packets of all SAs taken whose worker has a ring, unless none are. i.mu is held.
func (i *inlet) know() {
	if i.table == nil {
		return
	}
	for spi := range i.live {
		if i.net.portOf(spi).ring.Load() != nil {
			i.table.know(spi)
		}
	}
}

// needy returns a worker with an SA and without a ring, or -1.
func (i *inlet) needy() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	for spi, live := range i.live {
		if worker := WorkerOf(spi, len(i.net.ports)); live && i.net.ports[worker].ring.Load() == nil && !i.without[worker] {
			return worker
		}
	}
	return -1
}
