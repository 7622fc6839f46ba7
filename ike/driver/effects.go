package driver

import (
	"errors"
	"fmt"
	"time"

	"culvert/ike"
	"culvert/internal/ipsec"
)

// handle feeds an input to the engine, and then the inputs that follow from its effects, and
// carries out all effects in order. The computations of the input get its class.
func (d *Driver) handle(in ike.Input, c class) {
	d.handleOne(in, c)
	l := &d.loop
	for len(l.pending) > 0 {
		in := l.pending[0]
		l.pending = l.pending[1:]
		d.handleOne(in, classEstablished)
	}
	l.pending = nil
}

func (d *Driver) handleOne(in ike.Input, c class) {
	d.guarded(in)
	d.carryOut(c)
}

// carryOut carries out the effects of an input.
func (d *Driver) carryOut(c class) {
	fx := &d.loop.fx
	for _, f := range fx.List {
		d.apply(f, c)
	}
	clear(fx.List) // keep no reference; install has cleared the keys
	fx.List = fx.List[:0]
}

// guarded has the engine handle an input. A panic, which is a bug of ours, ends the handling of
// that input and not the tunnels. It is counted and logged, and the effects so far are carried out,
// because the engine's state already includes them. guarded reports whether there was none.
func (d *Driver) guarded(in ike.Input) (ok bool) {
	now := d.cfg.Now()
	defer func() {
		why := recover()
		if ok = why == nil; ok {
			return
		}
		d.panicked(fmt.Sprintf("the engine panicked on %T", in), why)
		if _, ok := in.(ike.Wake); ok {
			d.loop.wakeFrom = now.Add(panicPause)
		}
	}()
	d.cfg.Engine.Handle(now, in, &d.loop.fx)
	return true
}

// panicPause is the pause after a Wake that panicked. No other input delays Wake: a stranger who
// can make one panic would stop the clock of every tunnel.
const panicPause = 100 * time.Millisecond

// apply carries out one effect. After a panic of the dataplane or the transport, as after one of
// the engine, the other effects are still carried out.
func (d *Driver) apply(f ike.Effect, c class) {
	defer func() {
		if why := recover(); why != nil {
			d.panicked(fmt.Sprintf("carrying out %T panicked", f), why)
		}
	}()
	switch f := f.(type) {
	case ike.Send:
		d.send(f)
	case ike.Compute:
		d.compute(job{id: f.ID, run: f.Run, dear: f.Dear, proved: f.Proved, class: c}, f.Online)
	case ike.InstallInbound:
		d.install(f.SA)
	case ike.ActivateOutbound:
		d.cfg.Plane.ActivateOutbound(f.ID)
	case ike.DeactivateOutbound:
		d.cfg.Plane.DeactivateOutbound(f.ID)
	case ike.RemoveSA:
		d.cfg.Plane.RemoveSA(f.ID)
	case ike.SetPath:
		d.cfg.Plane.SetPath(f.ID, f.Path)
	case ike.NeedTraffic:
		d.needTraffic(f.ID)
	case ike.InstallPolicy:
		d.changePolicies([]ipsec.Policy{f.Policy}, nil)
	case ike.RemovePolicy:
		d.changePolicies(nil, []ipsec.PolicyID{f.ID})
	case ike.HoldPolicy:
		d.cfg.Plane.HoldPolicy(f.ID, f.Held)
	case ike.StandbyPolicy:
		d.cfg.Plane.StandbyPolicy(f.ID, f.Standby)
	case ike.ProbePair:
		d.cfg.Plane.ProbePair(f.ID)
	case ike.CopyPackets:
		d.cfg.Plane.CopyPackets(f.Of, f.On, f.N)
	case ike.AcquireFailed:
		d.cfg.Plane.AcquireFailed(f.Policy)
	case ike.PathProbed:
		d.cfg.Plane.PathProbed(f.PathProbe)
	case ike.Resolve:
		if d.cfg.Resolve != nil {
			d.cfg.Resolve(f.Peer)
		}
	case ike.IKEKeys:
		d.showKeys(f)
	case ike.Notice:
		d.notice(f)
	case ike.Refused:
		d.refused(f)
	case ike.Done:
		d.finish(f)
	case ike.Stopped:
		d.loop.stopped = d.loop.stopping
	default:
		d.cfg.Log.Error("unknown effect of the IKE engine", "event", "internal-error", "effect", fmt.Sprintf("%T", f))
	}
}

// send sends a message. A failure counts as a loss on the path: the engine retransmits. Its log
// line is throttled, because strangers can cause it.
func (d *Driver) send(f ike.Send) {
	var err error
	switch {
	case f.Keepalive:
		err = d.cfg.Transport.SendKeepalive(f.Path)
	case f.DontFragment:
		d.trace("ike-sent", f.Path, f.Data)
		_ = d.cfg.Transport.ProbeIKE(f.Path, f.Data) // a probe that is too large counts as lost
	case f.FragmentSize > 0:
		d.trace("ike-sent", f.Path, f.Data)
		_ = d.cfg.Transport.SendIKEInFragments(f.Path, f.Data, f.FragmentSize) // the engine has another form of the message
	default:
		d.trace("ike-sent", f.Path, f.Data)
		err = d.cfg.Transport.SendIKE(f.Path, f.Data)
	}
	if err == nil {
		return
	}
	d.counts.sendErrors.Add(1)
	if errors.Is(err, ErrNoRoute) {
		if _, ok := d.loop.sources.allow(d.cfg.Now()); ok {
			d.loop.pending = append(d.loop.pending, ike.AddressesChanged{})
		}
	}
	if told := (*ipsec.SendError)(nil); errors.As(err, &told) {
		d.loop.pending = append(d.loop.pending, ike.Unreachable{Unreachable: ipsec.Unreachable{Why: told.Why, Path: f.Path}})
	}
	if more, ok := d.loop.sendLog.allow(d.cfg.Now()); ok {
		d.cfg.Log.Warn("cannot send to the peer: "+err.Error(), "event", "send-failed", "remote", f.Path.Remote().String(), "not_logged", more)
	}
}

// install makes an inbound SA live and clears its keys, which the dataplane no longer needs: the
// control plane keeps no key of a Child SA. An SA that the dataplane refuses is closed as after its
// hard lifetime, because the peer knows it, or soon will. Its SPI is not reserved any longer.
func (d *Driver) install(sa ipsec.ChildSA) {
	defer sa.ClearKeys()
	err := d.cfg.Plane.InstallInbound(sa)
	if err == nil {
		return
	}
	d.cfg.Plane.FreeSPI(sa.SPIIn)
	d.counts.installErrors.Add(1)
	d.notice(ike.Notice{Level: ike.Error, Peer: sa.Name.Peer, Party: sa.Name.Party, Child: sa.Name.Child, Event: "install-failed", Text: "the dataplane refused the SA: " + err.Error(), SPIIn: sa.SPIIn})
	d.loop.pending = append(d.loop.pending, ike.Expire{ID: sa.ID, Hard: true})
}

// showKeys shows the keys of an IKE SA to whoever is to know them, and clears this copy of them.
func (d *Driver) showKeys(keys ike.IKEKeys) {
	defer keys.Clear()
	if d.cfg.IKEKeys != nil {
		d.cfg.IKEKeys(&keys)
	}
}

// changePolicies changes the SPD for a party that connects by a configured peer or has ended. Its
// policies lie within the peer's own (ipsec.Policy.Within), which a Follow has brought into force,
// so neither the routes nor the guard change.
func (d *Driver) changePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) {
	if err := d.cfg.Plane.ChangePolicies(set, gone); err != nil {
		d.counts.installErrors.Add(1)
		d.notice(ike.Notice{Level: ike.Error, Event: "install-failed", Text: "the dataplane refused a policy: " + err.Error()})
	}
}

// needTraffic answers NeedTraffic. A missing pair had no traffic.
func (d *Driver) needTraffic(id ipsec.ChildID) {
	t, _ := d.cfg.Plane.LastTraffic(id)
	d.loop.pending = append(d.loop.pending, ike.Traffic{ID: id, Traffic: t})
}

// drain feeds the events of the dataplane to the engine.
func (d *Driver) drain() {
	for _, e := range d.cfg.Plane.Drain() {
		switch e.Kind {
		case ipsec.EventAcquire:
			d.handle(ike.Acquire{Policy: e.Policy, Flow: e.Flow, Resource: e.Resource}, classEstablished)
		case ipsec.EventExpire:
			d.handle(ike.Expire{ID: e.ID, Hard: e.Hard}, classEstablished)
		case ipsec.EventFirstInbound:
			d.firstInbound(e.ID)
		case ipsec.EventPeerMoved:
			d.handle(ike.PeerMoved{ID: e.ID, Path: e.Path}, classEstablished)
		case ipsec.EventProbePath:
			d.handle(ike.ProbePath{ID: e.ID, Size: e.Size}, classEstablished)
		case ipsec.EventUnanswered:
			d.handle(ike.Hint{ID: e.ID}, classEstablished)
		case ipsec.EventUnheard:
			d.handle(ike.Unheard{ID: e.ID}, classEstablished)
		case ipsec.EventPortBlocked:
			d.handle(ike.PortBlocked{ID: e.ID, Path: e.Path, Why: e.Why}, classEstablished)
		case ipsec.EventProbed:
			d.handle(ike.Probed{ID: e.ID}, classEstablished)
		case ipsec.EventUnknownSPI:
			d.handle(ike.UnknownSPI{Path: e.Path, SPI: e.SPI, Size: e.Size}, classEstablished)
		case ipsec.EventUnsent:
			d.handle(ike.Unreachable{ID: e.ID, Unreachable: ipsec.Unreachable{Why: e.Why}}, classEstablished)
		}
	}
}

// firstInbound reports the first packet on a new SA, which lets the responder of a rekey switch to
// it (RFC 7296, Section 2.8). The event proves the packet even if its time is no longer known.
func (d *Driver) firstInbound(id ipsec.ChildID) {
	t, ok := d.cfg.Plane.LastTraffic(id)
	if !ok {
		return
	}
	if t.In.IsZero() {
		t.In = d.cfg.Now()
	}
	d.handle(ike.Traffic{ID: id, Traffic: t}, classEstablished)
}
