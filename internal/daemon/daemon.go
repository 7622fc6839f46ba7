// Package daemon joins the control plane, the packet path, the device and the control socket into
// one running daemon, keeps them in step with the configuration, and reports their status.
package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"culvert/dataplane"
	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/internal/ipsec"
	"culvert/internal/revocation/fetch"
	"culvert/tun/protect"
)

// Options are the settings of the command line.
type Options struct {
	Config  string // file or folder
	Version string
	Stderr  io.Writer        // for the log
	Reload  <-chan os.Signal // each signal reloads the configuration; may be nil
	// Release, if not nil, is asked at an ordered end whether to release the guard, or the routes
	// that replace it, as well.
	Release func() bool
}

// The parts of a daemon behind interfaces; tests use others.
type (
	packetPath interface {
		ChangePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) error
		SetBypasses(set []ipsec.Policy)
		ChangeBypasses(set []ipsec.Policy, gone []ipsec.PolicyID)
		InstallInbound(sa ipsec.ChildSA) error
		ActivateOutbound(id ipsec.ChildID)
		TakeOut(id ipsec.ChildID) (esp.State, bool)
		sequencePlane
		PolicyStats(policy ipsec.PolicyID) (dataplane.ChildStats, bool)
		PolicyCounts(policy ipsec.PolicyID) (dataplane.PolicyCounts, bool)
		ChildStats(id ipsec.ChildID) (dataplane.ChildStats, bool)
		Sightings() []dataplane.Sighting
		Counters() map[string]uint64
	}
	keyExchange interface {
		Do(ctx context.Context, in ike.Input) error
		SetPeers(ctx context.Context, peers []ike.Peer, follow driver.Follow) error
		ChangePeers(ctx context.Context, c ike.ChangePeers, follow driver.Follow) error
		Status(ctx context.Context) ([]ike.PeerStatus, map[string]uint64, error)
		Gauges(ctx context.Context, take func(*ike.Gauges)) (map[string]uint64, error)
		StatusOf(ctx context.Context, peer string) (ike.PeerStatus, bool, error)
		StatusOfAll(ctx context.Context, name string) ([]ike.PeerStatus, map[string]uint64, error)
		History(peer string) []driver.Event
		Strangers() []driver.Stranger
	}
	router interface {
		Apply(c protect.Change) error
		Counters() map[string]uint64
	}
	device interface{ Counters() map[string]uint64 }
	// network is the outer sockets.
	network interface {
		LocalAddr(remote netip.Addr) (netip.Addr, error)
		RawESP() bool // reports whether ESP over IP protocol 50 is possible
		FastPath() netio.FastPath
		Counters() map[string]uint64
	}
)

// A Daemon is a running daemon. Its methods are safe for concurrent use.
type Daemon struct {
	log      *slog.Logger
	level    *slog.LevelVar
	opts     Options
	started  time.Time
	now      func() time.Time
	plane    packetPath
	ike      keyExchange
	routes   router
	guard    *guardPart
	device   device
	net      network
	resolver *resolver
	fetcher  *fetch.Fetcher // of what tells whether certificates were revoked
	outside  *outside
	keys     *keyLog // nil: keys are not written down
	recorder *manualRecorder
	health   health

	applying sync.Mutex    // serialises changes of the configuration and of addresses
	lastID   ipsec.ChildID // of manual SAs; guarded by applying
	// inForce is the configuration that the packet path and the engine have in full; nil: none.
	// Guarded by applying.
	inForce *config.Config
	// applied is the configuration that was last in force in full. Guarded by applying.
	applied  *config.Config
	policies policies          // guarded by applying
	flows    *protect.Set      // in the kernel. Guarded by applying.
	opened   []protect.Opening // the flows that the last change left unprotected. Guarded by applying.

	mu     sync.Mutex // guards the fields below
	cfg    *config.Config
	found  map[string]lookup // the addresses of the peers' DNS names, by peer
	manual map[ipsec.PolicyName]manualSA
}

var _ control.Backend = (*Daemon)(nil)

// Version returns the program's version.
func (d *Daemon) Version() string { return d.opts.Version }

// config returns the configuration in force, which is immutable.
func (d *Daemon) config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// newLogger returns a logger to w in the configured format. The caller may change level later.
func newLogger(w io.Writer, c *config.Daemon, level *slog.LevelVar) *slog.Logger {
	level.Set(c.Log)
	opts := &slog.HandlerOptions{Level: level}
	if c.JSONLog {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
