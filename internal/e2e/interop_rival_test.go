//go:build linux

package e2e

import (
	"testing"

	"culvert/internal/interop"
)

// A rival is another implementation that runs at right.
type rival interface {
	version() string
	// initiate connects a child, by its name.
	initiate(child string)
	// terminate ends the IKE SA.
	terminate()
	// connected reports whether there is an IKE SA.
	connected() bool
}

// start starts the peer of the cell.
func (s *setting) start(t *testing.T) rival {
	t.Helper()
	switch s.cell.Peer {
	case interop.StrongSwan:
		return s.startSwan(t)
	}
	t.Fatalf("nothing is known of how %s is started", s.cell.Peer)
	return nil
}
