package bench

import (
	"sync/atomic"

	"culvert/internal/ipsec"
)

// An ikePlane stands for a dataplane where IKE alone is measured: it has no packets and no SAs.
type ikePlane struct {
	wake      chan struct{}
	lastSPI   atomic.Uint32
	installed atomic.Int64 // pairs that are live
}

func newIKEPlane() *ikePlane { return &ikePlane{wake: make(chan struct{})} }

// AllocSPI implements ike.SPIAllocator.
func (p *ikePlane) AllocSPI(uint32) (uint32, error) { return 255 + p.lastSPI.Add(1), nil }

// FreeSPI does nothing: SPIs are not used again.
func (*ikePlane) FreeSPI(uint32) {}

// ChangePolicies accepts all.
func (*ikePlane) ChangePolicies([]ipsec.Policy, []ipsec.PolicyID) error { return nil }

// HoldPolicy does nothing: there are no packets.
func (*ikePlane) HoldPolicy(ipsec.PolicyID, bool) {}

// StandbyPolicy likewise.
func (*ikePlane) StandbyPolicy(ipsec.PolicyID, bool) {}

// ProbePair likewise.
func (*ikePlane) ProbePair(ipsec.ChildID) {}

// CopyPackets likewise.
func (*ikePlane) CopyPackets(ipsec.PolicyID, ipsec.PolicyID, int) {}

// InstallInbound counts the pair and clears its keys.
func (p *ikePlane) InstallInbound(sa ipsec.ChildSA) error {
	sa.ClearKeys()
	p.installed.Add(1)
	return nil
}

// ActivateOutbound does nothing.
func (*ikePlane) ActivateOutbound(ipsec.ChildID) {}

// DeactivateOutbound does nothing.
func (*ikePlane) DeactivateOutbound(ipsec.ChildID) {}

// RemoveSA counts the pair out.
func (p *ikePlane) RemoveSA(ipsec.ChildID) { p.installed.Add(-1) }

// SetPath does nothing.
func (*ikePlane) SetPath(ipsec.ChildID, ipsec.Path) {}

// LastTraffic knows of no packets.
func (*ikePlane) LastTraffic(ipsec.ChildID) (ipsec.Traffic, bool) { return ipsec.Traffic{}, true }

// AcquireFailed does nothing.
func (*ikePlane) AcquireFailed(ipsec.PolicyID) {}

// PathProbed does nothing.
func (*ikePlane) PathProbed(ipsec.PathProbe) {}

// Wake is never ready.
func (p *ikePlane) Wake() <-chan struct{} { return p.wake }

// Drain has no events.
func (*ikePlane) Drain() []ipsec.Event { return nil }
