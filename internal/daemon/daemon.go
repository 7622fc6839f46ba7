// Package daemon joins the control plane, the packet path, the device and the control socket into one running daemon, keeps them in step with the
// configuration, and tells how they are.
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
	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/internal/config"
	"culvert/internal/control"
	"culvert/tun/protect"
)

// Options are what the command line says.
type Options struct {
	Config  string // file or folder
	Version string
	Stderr  io.Writer        // for the log
	Reload  <-chan os.Signal // each one has the configuration read again; may be nil
	// Release, if not nil, is asked at an ordered end whether what holds protected traffic back
	// goes as well.
	Release func() bool
}

// The parts of a daemon, as far as this file and its neighbours use them; tests put others in their place.
type (
	packetPath interface {
		SetPolicies(ps []dataplane.PolicyConfig) error
		ChangePolicies(set []dataplane.PolicyConfig, gone []esp.Policy) error
		SetCeilings(ceilings map[string]int)
		SetBypasses(set []dataplane.PolicyConfig)
		ChangeBypasses(set []dataplane.PolicyConfig, gone []esp.Policy)
		InstallInbound(sa esp.ChildSA) error
		ActivateOutbound(id esp.ChildID)
		RemoveSA(id esp.ChildID)
		PolicyStats(policy esp.Policy) (dataplane.ChildStats, bool)
		ChildStats(id esp.ChildID) (dataplane.ChildStats, bool)
		Counters() map[string]uint64
	}
	keyExchange interface {
		Do(ctx context.Context, in ike.Input) error
		SetPeers(ctx context.Context, peers []ike.Peer) error
		ChangePeers(ctx context.Context, c ike.ChangePeers) error
		Status(ctx context.Context) ([]ike.PeerStatus, map[string]uint64, error)
		StatusOf(ctx context.Context, peer string) (ike.PeerStatus, bool, error)
		History(peer string) []driver.Event
	}
	router interface {
		Apply(c protect.Change) error
		Counters() map[string]uint64
	}
	device interface{ Counters() map[string]uint64 }
	// network is the outer sockets.
	network interface {
		LocalAddr(remote netip.Addr) (netip.Addr, error)
		RawESP() bool // whether IP protocol 50 can be spoken
		Counters() map[string]uint64
	}
)

// Daemon is a running daemon. Its methods may be called by any goroutine.
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
	outside  *outside

	applying sync.Mutex  // held while a configuration or addresses are applied, so that they are in turn
	lastID   esp.ChildID // of manual SAs; guarded by applying
	// inForce is what the packet path and the engine were told; nil: not all of it. Guarded by applying.
	inForce *config.Config
	flows   *protect.Set      // that the kernel was told of. Guarded by applying.
	opened  []protect.Opening // what the last change left without protection. Guarded by applying.

	mu     sync.Mutex // guards what follows
	cfg    *config.Config
	found  map[string]lookup // what the DNS names of peers stand for, by peer
	manual map[esp.Policy]manualSA
}

var _ control.Backend = (*Daemon)(nil)

// Version is the program's.
func (d *Daemon) Version() string { return d.opts.Version }

// config is the configuration in force. It does not change; another takes its place.
func (d *Daemon) config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// newLogger logs to w as the configuration says. The level can be changed.
func newLogger(w io.Writer, c *config.Daemon, level *slog.LevelVar) *slog.Logger {
	level.Set(c.Log)
	opts := &slog.HandlerOptions{Level: level}
	if c.JSONLog {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
