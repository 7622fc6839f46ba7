package ike

import (
	"testing"
	"time"

	"culvert/ike/child"
)

// What policies are told about the party that owns them.
func TestOwner(t *testing.T) {
	for action, want := range map[DPDAction]child.Intent{DPDRestart: child.IntentUp, DPDTrap: child.IntentTraffic, DPDClear: child.IntentDown} {
		if got := (&party{profile: &profile{cfg: Peer{DPDAction: action}}}).WhenDead(); got != want {
			t.Errorf("dpd_action %d: %d, want %d", action, got, want)
		}
	}
	p := newPair(t, 1, nil)
	o := p.left.e.peers.order[0].party
	if o.Carrier() != nil || o.Closed() || o.Pausing() {
		p.fatalf("before the first try: carrier %v, closed %v, pausing %v", o.Carrier(), o.Closed(), o.Pausing())
	}
	o.try.At = p.now.Add(time.Second)
	if !o.Pausing() {
		p.fatalf("it does not pause before the next try")
	}
	o.try.At = time.Time{}
	p.up()
	o.try.At = p.now.Add(time.Second)
	if s := o.main(); o.Carrier() != &s.children || o.Pausing() {
		p.fatalf("while connected: carrier %v, pausing %v", o.Carrier(), o.Pausing())
	}
	o.removed = true
	if !o.Closed() {
		p.fatalf("something may be started for a removed peer")
	}
}

// A notice about a pair names both SAs by our SPIs, and one about a policy neither.
func TestReportNamesTheSAs(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	o, pair := p.left.e.peers.order[0].party, p.left.e.pairs.Pair(1)
	if n := p.wantNotice(p.left, "child-up"); n.Level != Info || n.Child != "lan" || n.SPIIn != pair.SA.SPIIn || n.IKESPI != o.main().ours() {
		p.fatalf("the notice is %+v", n)
	}
	var fx Effects
	p.left.e.handling = handling{now: p.now, fx: &fx}
	o.Report(child.Report{Policy: pair.Policy(), Warn: true, Event: "test", Text: "a\nb"})
	want := Notice{Level: Warn, Peer: "right", Child: "lan", Event: "test", Text: `a\nb`}
	if len(fx.List) != 1 || fx.List[0] != Effect(want) {
		p.fatalf("the effects are %+v", fx.List)
	}
}
