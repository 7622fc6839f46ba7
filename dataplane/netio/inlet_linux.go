package netio

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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
// descriptors, also of a process that is killed. Where the system has no such programs (Linux 6.6)
// or does not allow them, the socket has all packets.
//
// No packet overtakes another of its SA: an SPI is known before its peer learns of it, and what
// the ring has no room for is lost. A new ring is held until the sockets have been read, in which
// there may be packets of the SAs that it was made for.
type inlet struct {
	net   *Net
	bells []*bell
	work  chan struct{} // one slot: an SA came whose worker has no ring
	stop  chan struct{}
	done  chan struct{}
	space int          // the network namespace of the sockets
	maps  *inletMaps   // run's; nil: not made
	at    inletDevices // run's

	mu      sync.Mutex
	live    map[uint32]bool // SPIs
	without map[int]bool    // workers for which no ring could be made
	table   spiTable        // nil: not attached
	devices []string        // where it is attached
	indices map[int]bool    // of these
	reason  error           // why it is not
	lost    uint64
}

// openInlet prepares the inlet. Without one n.inlet is nil.
func (n *Net) openInlet(cfg *Config) {
	if !cfg.FastPath || !n.rawESP {
		return
	}
	i := &inlet{net: n, work: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), live: make(map[uint32]bool), without: make(map[int]bool)}
	n.inlet = i
	for _, p := range n.ports {
		b, err := newBell()
		if err != nil {
			i.reason = err
			i.closeBells()
			break
		}
		i.bells = append(i.bells, b)
		p.bell = b
	}
	if i.reason == nil {
		i.space, i.reason = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	go i.run()
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
func (n *Net) portOf(spi uint32) *port { return n.ports[int(spi%uint32(len(n.ports)))] }

// run makes the inlet when the first SA comes, and then follows SAs and devices.
func (i *inlet) run() {
	defer close(i.done)
	select {
	case <-i.work:
	case <-i.stop:
		return
	}
	err := i.reason
	if err == nil {
		err = i.attach()
	}
	i.tell(err)
	if err == nil {
		i.serve()
		i.watch()
	}
}

// attach makes the maps and attaches the program.
func (i *inlet) attach() (err error) {
	if err = enter(i.space); err != nil {
		return err
	}
	if err = firewallNamesESP(); err != nil {
		return err
	}
	if i.maps, err = newInletMaps(i.bells); err != nil {
		return err
	}
	if err = i.follow(); err != nil && len(i.at.links) == 0 {
		return err
	}
	i.mu.Lock()
	i.table = i.maps.table
	i.mu.Unlock()
	i.net.hops.dropAll()
	return nil
}

// takesAt reports whether packets are taken at a device: only there may others pass by the IP stack
// on their way out, whose connection tracking would see but one direction.
func (i *inlet) takesAt(device int) bool {
	if i == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.table != nil && i.indices[device]
}

// serve gives a ring to each worker that an SA has come for, and has the SA's packets taken.
func (i *inlet) serve() {
	var made []*ring
	for {
		worker := i.needy()
		if worker < 0 {
			break
		}
		r, err := i.maps.addRing(worker)
		i.mu.Lock()
		if err != nil {
			i.without[worker] = true
			i.net.log.Warn("no ring for a worker: its ESP comes by the raw socket", "worker", worker, "error", err)
		} else {
			made = append(made, r)
			i.net.ports[worker].ring.Store(r)
			for spi := range i.live {
				if i.net.portOf(spi) == i.net.ports[worker] {
					i.table.know(spi)
				}
			}
		}
		i.mu.Unlock()
	}
	if len(made) > 0 {
		i.settle()
	}
	for _, r := range made {
		r.held.Store(false)
	}
}

// needy returns a worker with an SA and without a ring, or -1.
func (i *inlet) needy() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	for spi := range i.live {
		if worker := int(spi % uint32(len(i.net.ports))); i.net.ports[worker].ring.Load() == nil && !i.without[worker] {
			return worker
		}
	}
	return -1
}

// Bounds of settle.
const (
	settleMost = 20 * time.Millisecond
	settleLook = 100 * time.Microsecond
	settleLast = time.Millisecond // for what a worker has just read
)

// settle returns when the workers have what came to the raw sockets before.
func (i *inlet) settle() {
	queued := func(p *port) bool {
		return slices.ContainsFunc(p.heard, func(s *socket) bool {
			n, err := unix.IoctlGetInt(s.fd, unix.SIOCINQ)
			return s.raw && err == nil && n > 0
		})
	}
	for end := time.Now().Add(settleMost); slices.ContainsFunc(i.net.ports, queued) && time.Now().Before(end); {
		time.Sleep(settleLook)
	}
	time.Sleep(settleLast)
}
