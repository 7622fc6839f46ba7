package ike

import (
	"io"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// This file is what policies and pairs need of the peer and of the engine around them: it
// implements Owner and Host.

// Carrier returns the IKE SA for new Child SAs, or nil.
func (p *party) Carrier() child.Carrier {
	if s := p.main(); s != nil {
		return &s.children
	}
	return nil
}

// Touch marks the peer to be reconciled before Handle returns.
func (p *party) Touch() { p.e.touch(p) }

// Closed reports whether nothing is started for the peer any more.
func (p *party) Closed() bool { return p.removed || p.forgotten || p.e.stopping }

// Pausing reports whether the peer is not connected, and is not to be tried yet.
func (p *party) Pausing() bool { return p.main() == nil && p.e.handling.now.Before(p.try.At) }

// Awaited reports whether a command waits for the policy.
func (p *party) Awaited(pol *child.Policy) bool { return p.waiters.waitFor(pol) }

// GaveUp answers the commands that wait for the policy.
func (p *party) GaveUp(pol *child.Policy, err error) { p.waiters.failed(pol, err) }

// Networks returns the selectors of the policy's entry in the SPD.
func (p *party) Networks(pol *child.Policy) (local, remote []selector.Selector) {
	entry := entryOf(pol)
	return entry.Local, entry.Remote
}

// WhenDead returns what the configuration wants of children when the peer does not answer.
func (p *party) WhenDead() child.Intent {
	switch p.cfg.DPDAction {
	case DPDTrap:
		return child.IntentTraffic
	case DPDClear:
		return child.IntentDown
	}
	return child.IntentUp
}

// Backoff returns the configured pauses between tries.
func (p *party) Backoff() timer.Backoff { return p.cfg.Reconnect }

// Report emits a notice.
func (p *party) Report(r child.Report) {
	n := Notice{Level: Info, Peer: p.cfg.Name, Party: p.name, Child: r.Policy.Settings.Name, Event: r.Event, Text: identity.Printable(r.Text)}
	if r.Text == "" {
		n.tells(r.Trouble)
	}
	if r.Warn {
		n.Level = Warn
	}
	if r.Pair != nil {
		n.SPIIn = r.Pair.SA.SPIIn
		if s := saOf(r.Pair); s != nil {
			n.IKESPI = s.ours()
		}
	}
	p.tell(n)
}

// A pairHost is the engine as pairs see it: the effects on the dataplane, time and randomness.
type pairHost struct{ e *Engine }

func (h pairHost) Now() time.Time      { return h.e.handling.now }
func (h pairHost) Timers() *timer.Heap { return &h.e.timers }
func (h pairHost) Rand() io.Reader     { return h.e.cfg.Rand }
func (h pairHost) Workers() int        { return h.e.cfg.Resources }

func (h pairHost) Done(ref uint64, err error) { h.e.emit(Done{Ref: ref, Err: err}) }

func (h pairHost) InstallInbound(sa ipsec.ChildSA)     { h.e.emit(InstallInbound{SA: sa}) }
func (h pairHost) DeactivateOutbound(id ipsec.ChildID) { h.e.emit(DeactivateOutbound{ID: id}) }
func (h pairHost) RemoveSA(id ipsec.ChildID)           { h.e.emit(RemoveSA{ID: id}) }
func (h pairHost) NeedTraffic(id ipsec.ChildID)        { h.e.emit(NeedTraffic{ID: id}) }

func (h pairHost) ActivateOutbound(id ipsec.ChildID) {
	h.e.emit(ActivateOutbound{ID: id})
	if p := h.e.pairs.Carried(id); p != nil && ownerOf(p.Policy()).prioritized() {
		h.e.touch(ownerOf(p.Policy())) // the policy may become the active one
	}
}

func (h pairHost) AcquireFailed(policy ipsec.PolicyID) { h.e.emit(AcquireFailed{Policy: policy}) }
