//go:build linux

package e2e

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

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
	case interop.OpenIKED:
		return s.startIked(t)
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

// kernelOnFailure has a failed test show the SAs of the peer's kernel, and what it dropped.
func (s *setting) kernelOnFailure(t *testing.T) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		drops, _ := s.n.right.Run(ctx, nil, "cat", "/proc/net/xfrm_stat")
		sas, _ := s.n.right.Run(ctx, nil, "/usr/sbin/ip", "-s", "xfrm", "state")
		t.Logf("what the peer's kernel dropped:\n%s\nits SAs:\n%s", indent(drops), indent(sas))
	})
}
