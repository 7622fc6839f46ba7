//go:build !linux

package guard

import (
	"errors"

	"culvert/tun/protect"
)

// errNoGuard is why there is none: the packet filter of other systems takes no set of rules by a
// program's own hand beside those of its administrator (pf has one ruleset; an anchor works only if
// that names it).
var errNoGuard = errors.New("guard: only Linux has nftables")

// Guard is not for this system.
type Guard struct{}

// Probe fails.
func Probe(Config) error { return errNoGuard }

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

// Standing finds no guard.
func Standing(string) (Stats, bool, error) { return Stats{}, false, nil }

// Devices finds no guard.
func Devices() ([]string, error) { return nil, nil }

// Release has nothing to take away.
func Release(string) (Opened, error) { return Opened{}, nil }
