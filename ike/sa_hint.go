package ike

import (
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/liveness"
	"culvert/ike/wire"
)

// A hint is an unprotected sign that the peer may have lost an IKE SA. "A node should treat such a
// message [...] as a hint that there might be problems with SAs to that IP address and should
// initiate a liveness check [...]. An implementation SHOULD limit the frequency of such tests" (RFC
// 7296, Section 2.21.4). Anybody can send one, so nothing ends by it. If the check is not answered
// for a short while, a new IKE SA is tried beside the old one, which is kept for as long as after
// any other check:
//
//	an error, a call, ESP without an answer  -->
//	            INFORMATIONAL {}, repeated for a short while  -->
//	            IKE_SA_INIT, IKE_AUTH  <-->  the peer has restarted
//	         or INFORMATIONAL {}       <--   it was a loss: all stays
//
// A stranger who forges hints costs one check each liveness.HintInterval, or, where a new IKE SA is
// tried already, one more request of that.

const (
	// hintedCheck is the duration of a liveness check, or of any request, after a hint. Then a new
	// IKE SA is tried.
	hintedCheck = 2 * time.Second
	// lostCheck is the same after a message that names our SPIs: it comes from somebody who sees
	// our packets, as a rule from a peer that has restarted.
	lostCheck = 500 * time.Millisecond
)

// hint checks at once whether the peer is alive. A request under way serves as the check. After a
// further hint the check may take no longer than that one allows.
func (l *livenessCheck) hint(within time.Duration) {
	s := l.sa
	if s.state != saEstablished {
		l.hintAtEnd(within)
		return
	}
	out := s.win.Outstanding()
	_, path := s.work.Current().(prober)
	if l.inDoubt() && within < l.doubt {
		l.doubt = within
		if out != nil {
			s.awaitAnswer()
		}
		return
	}
	if parent := s.succ.parent; parent != nil && parent.succ.theirs == s {
		parent.live.hint(within) // it has the Child SAs, and a peer that was restarted has neither
	}
	doubted := l.Doubted()
	if !l.Hinted(s.e.handling.now) {
		return
	}
	s.e.count("ike_liveness_hints")
	l.doubt = within
	l.hurryAnother()
	switch {
	case out == nil:
		l.probe()
		return
	case path:
		s.probes.hurry()
	}
	if out = s.win.Outstanding(); out != nil && !doubted && !s.net.moving() {
		out.Repeated = 0
		s.awaitAnswer() // nothing but another form of a path probe is sent in response to the hint
	}
}

// awaitAnswer sets the time of the next repetition of the outstanding request by the present plan.
func (s *ikeSA) awaitAnswer() {
	s.e.after(&s.retransmission, s.plan().Pause(s.win.Outstanding().Repeated, s.e.cfg.Rand))
}

// inDoubt reports whether requests have the short plan that follows a hint, at whose end another
// IKE SA is tried. Where none would be, the IKE SA must not end by that plan.
func (l *livenessCheck) inDoubt() bool {
	s := l.sa
	return l.Doubted() && s.usable() && s.succ.outlook == outlookGood && s.oneServed() != nil && s.party.canConnect() && !s.net.moving()
}

// askAgain sends the outstanding request again, as if it had not been repeated yet.
func (s *ikeSA) askAgain() {
	s.win.Outstanding().Repeated = 0
	s.e.count("ike_retransmitted")
	s.sendRequest()
}

// seekAnother has a new IKE SA tried beside one whose peer did not answer the check after a hint,
// and reports whether it does. The outstanding request goes on for as long as any other check.
func (l *livenessCheck) seekAnother() bool {
	s := l.sa
	if !l.inDoubt() {
		return false
	}
	s.succ.outlook, s.succ.why = outlookSilent, "the peer does not answer"
	s.notice(Warn, "peer-silent", "the peer may have lost the IKE SA and does not answer; a new IKE SA is tried")
	s.party.try.prompt = true
	s.party.hurry() // an attempt that is under way may be what the peer has lost
	s.e.touch(s.party)
	s.askAgain()
	l.hintOthers()
	return true
}

// hintOthers checks the other IKE SAs with the same peer, which has lost all if it was restarted.
func (l *livenessCheck) hintOthers() {
	for _, o := range slices.Clone(l.sa.party.sas) {
		if o != l.sa && o.usable() && o.sameIdentity(l.sa) {
			o.live.hint(hintedCheck)
		}
	}
}

// hurryAnother hastens the attempt to make another IKE SA in place of one that a hint is about, if
// there is one. The others are checked now, since no verdict on this one comes first.
func (l *livenessCheck) hurryAnother() {
	if l.sa.succ.outlook != outlookGood {
		l.sa.party.hurry()
		l.hintOthers()
	}
}

// hurry hastens an attempt to connect, at a sign that the peer is there again: requests may have
// been lost while it was away, and their pauses have become long. So may the pause before the next
// attempt.
func (p *party) hurry() {
	for _, s := range p.sas {
		if s.connecting() && s.win.Outstanding() != nil {
			p.try.prompt = true
			s.askAgain()
		}
	}
	p.hasten()
}

// heardAgain drops the attempt that seekAnother began, since the peer has answered after all.
func (l *livenessCheck) heardAgain() {
	s := l.sa
	if s.succ.outlook != outlookSilent {
		return
	}
	s.succ.outlook, s.succ.why = outlookGood, ""
	for _, o := range s.party.sas {
		if o.succ.inPlaceOf() == s {
			o.succ.replaces = nil
		}
	}
	s.notice(Info, "peer-heard", "the peer answers again")
	s.e.touch(s.party)
}

// hintAbout treats the establishment of another IKE SA by the same peer as a hint about the older
// ones: it may have lost them. One that was established while the peer was already connecting by
// the new one is alive.
func (s *ikeSA) hintAbout() {
	for _, o := range slices.Clone(s.party.sas) {
		if o != s && o.sameIdentity(s) && o.life.established.Before(s.life.born) {
			o.live.hint(hintedCheck)
		}
	}
}

// maxSharing bounds the IKE SAs that a hint about their address concerns. More of them share a
// NAT's address, and it tells nothing of any particular one.
const maxSharing = 16

// hintAt treats something that came from an address, and does not belong to any SA, as a hint about
// the IKE SAs with that address. The address may be forged.
func (e *Engine) hintAt(remote netip.Addr) {
	if list := e.sas.byAddr[remote]; len(list) <= maxSharing {
		for _, s := range slices.Clone(list) {
			s.live.hint(hintedCheck)
		}
	}
}

// hint handles what the dataplane or the host knows. A pair may have ended just after it was
// reported: the silence of its path, which is reported once, then concerns what its policy has now.
func (e *Engine) hint(in Hint) {
	p := e.pairs.Pair(in.ID)
	if p != nil && p.Carrier() == nil {
		p = p.Policy().Best()
	}
	if p != nil {
		saOf(p).live.hint(hintedCheck)
		e.packetsUnanswered(p.Policy())
		if !saOf(p).party.prioritized() { // otherwise there is a proof of its own
			saOf(p).net.doubtESP()
		}
	}
	if in.Remote.IsValid() {
		e.hintAt(in.Remote)
	}
}

// unknownESP handles ESP with an SPI that is not in use as a hint about the IKE SAs with its
// sender. Where there is none, the sender has one that we have lost.
func (e *Engine) unknownESP(in UnknownSPI) {
	e.answerESP(in)
	remote := in.Path.Remote().Addr()
	if e.hintAt(remote); slices.ContainsFunc(e.sas.byAddr[remote], (*ikeSA).isEstablished) {
		return
	}
	known := e.peers.at(in.Path)
	for _, p := range known[:min(len(known), maxKnown)] {
		p.party.callBack()
	}
}

// callBack connects to a peer that sends on Child SAs that we lost when we were restarted: packets
// had brought the tunnel up, and would again. A peer that was connected since then sends late ones
// of a tunnel that has ended. Anybody may have sent them, so it calls back at a limited rate.
func (p *party) callBack() {
	now := p.e.handling.now
	if p.try.met || p.trying() || !p.try.calledBack.IsZero() && now.Sub(p.try.calledBack) < liveness.HintInterval {
		return
	}
	p.try.calledBack = now
	for _, pol := range p.policies {
		if pol.Base() == child.IntentTraffic {
			pol.Want()
		}
	}
	p.e.touch(p)
}

// hintAboutSPI treats an unprotected INVALID_SPI (RFC 7296, Section 1.5) as a hint about the IKE SA
// whose Child SA sends to that address with that SPI. A crash token beside it proves that the peer
// has lost that one (RFC 6290, Section 8.2).
func (e *Engine) hintAboutSPI(d Datagram, spi []byte, ps []wire.Payload) {
	list := e.sas.byAddr[d.Path.Remote().Addr()]
	if len(list) == 0 || len(spi) != 4 || !e.unprotected.AllowHint(e.handling.now) {
		return
	}
	for _, s := range list {
		if s.children.Named(spi) != nil {
			if !s.token.proves(d, ps) {
				s.saysLost()
			}
			return
		}
	}
}

// peerLacks handles the peer's protected word that it does not know an SPI that we send to (RFC
// 7296, Section 1.5): the Child SA is rekeyed, at a limited rate. A peer that has it after all,
// because the word is about a packet that crossed a change, loses nothing by that. One that has
// lost it says so again (Section 2.25.1), and gets a new one.
func (s *ikeSA) peerLacks(spi []byte) {
	p, now := s.children.Named(spi), s.e.handling.now
	if p == nil || !s.usable() || !s.live.lacked.IsZero() && now.Sub(s.live.lacked) < liveness.HintInterval {
		return
	}
	s.live.lacked = now
	s.e.count("ike_peer_lacks_child")
	p.Expiring()
}

// An addrTable holds the established IKE SAs by their peer's address, until their end.
type addrTable map[netip.Addr][]*ikeSA

// enlist keeps the table, after a change of the state or the path of an IKE SA.
func (t addrTable) enlist(s *ikeSA) {
	var at netip.Addr
	if s.isEstablished() || s.state == saClosing {
		at = s.net.Remote().Addr()
	}
	if at == s.listed {
		return
	}
	if list := t[s.listed]; len(list) == 1 {
		delete(t, s.listed)
	} else if i := slices.Index(list, s); i >= 0 {
		last := len(list) - 1
		list[i], list[last] = list[last], nil
		t[s.listed] = list[:last]
	}
	if at.IsValid() {
		t[at] = append(t[at], s)
	}
	s.listed = at
}
