//go:build !linux

package guard

import (
	"errors"

	"culvert/tun/protect"
)

// errNoGuard is the error on other systems. Their packet filter has no place for a program's own
// rules beside the administrator's: pf has one ruleset, and an anchor works only if the ruleset
// names it.
var errNoGuard = errors.New("guard: available on Linux only (nftables)")

// A Guard is not available on this system.
type Guard struct{}

// A trial is what Probe leaves for Open.
type trial struct{}

// Probe fails.
func Probe(cfg Config) (Config, error) { return cfg, errNoGuard }

// Close does nothing.
func (Config) Close() {}

// Open fails.
func Open(Config, protect.Change) (*Guard, error) { return nil, errNoGuard }

// Apply does nothing.
func (*Guard) Apply(protect.Change) error { return nil }

// Stats returns nothing.
func (*Guard) Stats() Stats { return Stats{} }

// Attribute does nothing.
func (*Guard) Attribute(*protect.Owners) error { return nil }

// Counted returns nothing.
func (*Guard) Counted() (Stats, map[protect.ID]Drops) { return Stats{}, nil }

// Close does nothing.
func (*Guard) Close() error { return nil }

// Standing reports that there is no guard.
func Standing(string) (Stats, bool, error) { return Stats{}, false, nil }

// Devices returns nothing.
func Devices() ([]string, error) { return nil, nil }

// Release does nothing.
func Release(string) (Opened, error) { return Opened{}, nil }
