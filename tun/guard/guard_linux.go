package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// A Guard maintains the table of one device, and restores it when another program changes it. Its
// methods may be called from any goroutine.
type Guard struct {
	cfg   Config
	watch *watcher

	mu      sync.Mutex
	socket  *socket // nil after Close
	image   *image
	table   string // its name; "" while there is none
	counted counts // as last read; the counters of a new table start from here
	broken  bool   // the table differs from the image
	layout  uint64 // of the table at the last check; 0: not known
}

// A trial is what Probe leaves for Open.
type trial struct {
	// socket stays open until Open takes it: the kernel ends a transaction's clean-up before it
	// closes a socket of nftables, and lets no other transaction begin meanwhile.
	socket atomic.Pointer[socket]
}

// Probe returns cfg for Open, with the optional features that the kernel has, or an error with a
// remedy if the kernel cannot run a guard. It installs all rules and deletes them in the same
// transaction.
func Probe(cfg Config) (Config, error) {
	s, err := openSocket()
	if err != nil {
		return cfg, fmt.Errorf("guard: %w", err)
	}
	if err := s.detectFeatures(&cfg); err != nil {
		s.close()
		return cfg, fmt.Errorf("guard: %w", err)
	}
	cfg.trial = new(trial)
	cfg.trial.socket.Store(s)
	return cfg, nil
}

// Close closes what Probe left open, if Open has not taken it.
func (cfg Config) Close() {
	if cfg.trial == nil {
		return
	}
	if s := cfg.trial.socket.Swap(nil); s != nil {
		s.close()
	}
}

// prepare returns a socket for a guard, and cfg with the features of the kernel.
func prepare(cfg Config) (*socket, Config, error) {
	if cfg.trial != nil {
		if s := cfg.trial.socket.Swap(nil); s != nil {
			return s, cfg, nil
		}
	}
	s, err := openSocket()
	if err == nil && cfg.trial == nil {
		_ = s.detectFeatures(&cfg) // the guard's own transaction has the error
	}
	return s, cfg, err
}

// try installs all rules and deletes them in one transaction.
func (s *socket) try(cfg *Config) error {
	b := newBatch(tableNames(cfg.Device)[0] + "/probe")
	m := newImage(cfg)
	if cfg.byPolicy {
		m.attributed = sampleAttribution()
	}
	m.whole(b, counts{})
	b.deleteTable()
	return s.commit(b)
}

// detectFeatures sets in cfg which optional features the kernel has. It may lack CONFIG_NFT_SOCKET
// and maps to counters. The error is that of a guard with neither.
func (s *socket) detectFeatures(cfg *Config) (err error) {
	for _, can := range []struct{ sockets, byPolicy bool }{{true, true}, {false, true}, {true, false}, {false, false}} {
		cfg.sockets, cfg.byPolicy = can.sockets, can.byPolicy
		if err = s.try(cfg); err == nil {
			break
		}
	}
	return err
}

// Open installs the table in place of any that an earlier daemon left, without a gap between the
// two, and continues its counters. It works in the network namespace of the calling thread. A cfg
// from Probe saves a transaction.
func Open(cfg Config, whole protect.Change) (*Guard, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, cfg, err := prepare(cfg)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g := &Guard{cfg: cfg, socket: s}
	g.image = newImage(&g.cfg)
	g.image.apply(newBatch(""), whole)
	if err = g.replace(); err == nil {
		err = g.startWatch()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("guard: %w", err)
	}
	return g, nil
}

// Apply follows a change of the policies. All of it is in force when Apply returns, or none after
// an error. The next call, or the check of every minute, tries again.
func (g *Guard) Apply(c protect.Change) error {
	if len(c.Groups) == 0 {
		return nil
	}
	return g.change(func(b *batch) { g.image.apply(b, c) })
}

// change commits the changes that f makes to the image.
func (g *Guard) change(f func(b *batch)) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.socket == nil {
		return os.ErrClosed
	}
	b := newBatch(g.table)
	f(b)
	switch {
	case b.empty() && !g.broken:
		return nil
	case !g.broken:
		if err = g.socket.commit(b); err == nil {
			g.layout = 0
			return nil
		}
		g.cfg.Log.Debug("guard: a change failed, installing the whole table", "error", err)
	}
	// Another program may have removed a part of it, and the watcher has not been notified yet.
	if err = g.replace(); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// replace installs the whole table from the image, then deletes the previous one. g.mu is held, or
// g is not shared yet.
func (g *Guard) replace() error {
	g.broken = true
	names := tableNames(g.cfg.Device)
	found, err := g.socket.tables()
	if err != nil {
		return err
	}
	fresh, old := names[1], names[0]
	if !slices.Contains(found, old) {
		fresh, old = old, fresh
	}
	g.readCounters()
	b := newBatch(fresh)
	g.image.whole(b, g.counted)
	if err := g.socket.commit(b); err != nil {
		return err
	}
	g.table, g.broken, g.layout = fresh, false, 0
	if !slices.Contains(found, old) {
		return nil
	}
	awaitPackets()
	b = newBatch(old)
	b.deleteTable()
	if err := g.socket.commit(b); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// awaitPackets waits until every packet in the stack has seen the latest hooks.
func awaitPackets() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL: synchronize_rcu
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(50 * time.Millisecond)
	}
}

// tables returns the names of all tables of family inet.
func (s *socket) tables() (names []string, err error) {
	b := newBatch("")
	b.begin(subsystem|unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP, "the tables")
	err = s.retry(b, func() { names = nil }, func(typ uint16, data []byte) {
		if name, _ := parseNotice(typ, data); name != "" {
			names = append(names, name)
		}
	})
	return names, err
}

// retry repeats a dump until no change interrupts it, ten times at most. before is called before
// each attempt.
func (s *socket) retry(b *batch, before func(), f func(typ uint16, data []byte)) (err error) {
	for range 10 {
		before()
		if err = s.dump(b, f); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

// Close stops the watcher. The table stays in force.
func (g *Guard) Close() error {
	g.mu.Lock()
	if g.socket == nil {
		g.mu.Unlock()
		return nil
	}
	g.readCounters()
	g.socket.close()
	g.socket = nil
	g.mu.Unlock()
	g.watch.close()
	return nil
}
