//go:build linux

package e2e

import (
	"errors"
	"os"
	"testing"

	"culvert/internal/interop"
	"culvert/internal/netlab"
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
		return s.startSwan(t, func(*netlab.SwanConfig) {})
	case interop.StrongSwan6:
		return s.startSwan(t, func(c *netlab.SwanConfig) { c.Root, c.RawESP = peersRoot(t), true })
	case interop.Kernel:
		return s.startSwan(t, func(c *netlab.SwanConfig) { c.Root, c.KernelESP = peersRoot(t), true })
	case interop.Libreswan:
		return s.startPluto(t)
	}
	t.Fatalf("nothing is known of how %s is started", s.cell.Peer)
	return nil
}

// peersRootEnv is the variable with the folder of the system whose peers run. `make interop` sets
// it.
const peersRootEnv = "CULVERT_INTEROP_ROOT"

func peersRoot(t *testing.T) string {
	t.Helper()
	root := os.Getenv(peersRootEnv)
	if root == "" {
		netlab.Require(t, errors.New(peersRootEnv+" is not set: run it by make interop"))
	}
	return root
}
