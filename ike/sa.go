package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"culvert/ike/child"
	"culvert/ike/identity"
	"culvert/ike/queue"
	"culvert/ike/reason"
	"culvert/ike/timer"
	"culvert/ike/window"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// An ikeSA is an IKE SA, from its creation until its cached last response expires.
type ikeSA struct {
	e              *Engine
	party          *party // nil for a responder before IKE_AUTH
	spi            spiPair
	initiator      bool // we are the original initiator
	state          saState
	net            network
	keys           saKeys
	win            window.Window[ipsec.Path]
	retransmission timer.Timer
	setup          *setup       // nil once established
	handshake      handshake    // of a responder; nil outside of one
	answerBy       *timer.Timer // of waitWithAnswer; nil: nothing waits
	afterAuth      uint32       // message ID of the peer's first request after IKE_AUTH
	work           queue.Queue[exchange]
	children       carrier // its Child SAs
	life           life
	auth           authLife
	live           livenessCheck
	probes         probing
	succ           succession
	remoteID       identity.ID
	remoteKey      identity.ID // its canonical form
	half           *halfOpen   // of a responder, until the IKE SA is authenticated: what it was made of
	token          crashToken
	listed         netip.Addr // where addrTable has it
}

// spiPair holds both SPIs of an IKE SA.
type spiPair struct{ I, R wire.SPI }

// ours returns the SPI that we chose. Datagrams are assigned to IKE SAs by it.
func (s *ikeSA) ours() wire.SPI {
	if s.initiator {
		return s.spi.I
	}
	return s.spi.R
}

// An saTable holds all IKE SAs of an engine.
type saTable struct {
	bySPI    map[wire.SPI]*ikeSA
	byAddr   addrTable
	halfOpen *halfOpens
}

// newSA creates an IKE SA with a new SPI of ours, and adds it to the table.
func (e *Engine) newSA(initiator bool, state saState) (*ikeSA, error) {
	spi, err := e.freshSPI()
	if err != nil {
		return nil, err
	}
	return e.saOf(initiator, state, spi), nil
}

// saOf creates an IKE SA with an SPI of ours, and adds it to the table.
func (e *Engine) saOf(initiator bool, state saState, spi wire.SPI) *ikeSA {
	s := &ikeSA{e: e, initiator: initiator, state: state}
	if initiator {
		s.spi.I = spi
	} else {
		s.spi.R = spi
	}
	s.children.sa, s.live.sa, s.net.sa, s.succ.sa, s.probes.sa = s, s, s, s, s
	s.life.sa, s.auth.sa, s.token.sa = s, s, s
	s.auth.due.Fire = s.auth.expire
	s.life.born, s.life.line.begun = e.handling.now, e.handling.now
	s.life.rekey.Fire = s.life.due
	s.life.hard.Fire = s.life.over
	s.retransmission.Fire = s.retransmit
	s.live.timer.Fire = s.live.look
	e.sas.bySPI[spi] = s
	return s
}

// lingerDead is how long an ended IKE SA still answers copies of the last request.
const lingerDead = 30 * time.Second

// end ends the IKE SA and its Child SAs on our side. If it has a cached response that the peer may
// have lost, it stays for lingerDead to repeat it, unless that is of IKE_AUTH: by that the peer
// would establish an IKE SA that has ended.
func (s *ikeSA) end(cause child.Cause, why string) {
	if s.state.ended() {
		return
	}
	established := (s.state == saEstablished || s.state == saClosing) && !s.life.established.IsZero()
	if cause == child.EndDead || cause == child.EndMoved {
		s.succ.acceptPeers()
	}
	s.abandonWork(why)
	s.succ.cancel()
	s.children.Lost(cause, why)
	if established {
		s.notice(Info, "ike-down", "IKE SA ended: "+why)
	}
	switch {
	case s.win.HasResponse() && s.half != nil:
		s.e.sas.halfOpen.refuse(s)
		s.remove()
	case s.win.HasResponse() && !s.unused():
		s.moveTo(saDead)
		s.stopTimers()
		s.setup = nil
		s.abandonHandshake()
		s.e.after(&s.life.hard, lingerDead)
	default:
		s.remove()
	}
	if s.party != nil {
		s.party.ended(s, cause, why)
	}
}

// unused reports whether the peer, who began the IKE SA, has asked nothing since IKE_AUTH: it may
// not know yet that the IKE SA was established.
func (s *ikeSA) unused() bool { return s.afterAuth != 0 && s.win.ExpectedID() == s.afterAuth }

// remove takes the IKE SA out of the table, stops its timers and clears its keys.
func (s *ikeSA) remove() {
	s.stopTimers()
	if s.state != saGone {
		s.moveTo(saGone)
	}
	delete(s.e.sas.bySPI, s.ours())
	s.setup = nil
	s.abandonHandshake()
	s.keys.forget()
	s.token.forget()
	if s.party != nil {
		s.party.sas = slices.DeleteFunc(s.party.sas, func(o *ikeSA) bool { return o == s })
	}
}

func (s *ikeSA) stopTimers() {
	for _, t := range []*timer.Timer{&s.life.rekey, &s.life.hard, &s.auth.due, &s.retransmission, &s.live.timer} {
		s.e.timers.Stop(t)
	}
	if s.setup != nil {
		s.e.timers.Stop(&s.setup.init.grace)
	}
}

// isEstablished reports whether the IKE SA is neither replaced nor being deleted.
func (s *ikeSA) isEstablished() bool { return s.state == saEstablished }

// usable reports whether new exchanges may be started on the IKE SA.
func (s *ikeSA) usable() bool { return s.state == saEstablished && s.succ.parent == nil }

// connecting reports whether the IKE SA is an attempt of ours to connect.
func (s *ikeSA) connecting() bool { return s.state == saConnecting || s.state == saAuthenticating }

// saState is the state of an IKE SA.
type saState uint8

const (
	saEmbryo         saState = iota // a successor: it has our SPI and no keys yet
	saConnecting                    // initiator: IKE_SA_INIT under way
	saAuthenticating                // initiator: IKE_AUTH under way
	saHalfOpen                      // responder: IKE_AUTH has not yet succeeded
	saEstablished
	saRekeyed // its successor has the Child SAs; one side will delete it
	saClosing // our Delete is queued or outstanding
	saDead    // ended, but a copy of the last request is still answered
	saGone
)

var saStateNames = [...]string{"embryo", "connecting", "authenticating", "half-open", "established", "rekeyed", "closing", "dead", "gone"}

func (s saState) String() string { return saStateNames[s] }

// beforeAuth reports whether the peer is not yet authenticated.
func (s saState) beforeAuth() bool {
	return s == saEmbryo || s == saConnecting || s == saAuthenticating || s == saHalfOpen
}

// authenticated reports whether exchanges other than those of the setup may be under way.
func (s saState) authenticated() bool {
	return s == saEstablished || s == saRekeyed || s == saClosing
}

// ending reports whether the IKE SA is being deleted, or has ended.
func (s saState) ending() bool { return s == saClosing || s.ended() }

// ended reports whether the IKE SA has ended on our side.
func (s saState) ended() bool { return s == saDead || s == saGone }

// saMoves lists every legal move of an IKE SA.
var saMoves = [...][]saState{
	saEmbryo:         {saEstablished, saGone},
	saConnecting:     {saAuthenticating, saGone},
	saAuthenticating: {saEstablished, saClosing, saDead, saGone},
	saHalfOpen:       {saEstablished, saGone},
	saEstablished:    {saRekeyed, saClosing, saDead, saGone},
	saRekeyed:        {saClosing, saDead, saGone},
	saClosing:        {saEstablished, saDead, saGone},
	saDead:           {saGone},
	saGone:           nil,
}

// mustMove panics if a move is not in the table. That is a bug of ours; a peer cannot cause it.
func mustMove(from, to saState) {
	if !slices.Contains(saMoves[from], to) {
		panic(fmt.Sprintf("ike: internal error: an IKE SA moves from %v to %v", from, to))
	}
}

// leaveHalfOpen ends what is kept of IKE_SA_INIT.
func (s *ikeSA) leaveHalfOpen() {
	if s.half != nil {
		s.e.sas.halfOpen.remove(s.half)
		s.half = nil
	}
}

// moveTo changes the state. Nothing else does.
func (s *ikeSA) moveTo(to saState) {
	mustMove(s.state, to)
	if to == saEstablished || to == saGone {
		s.leaveHalfOpen()
	}
	if to != saAuthenticating {
		s.endAttempt(to == saEstablished)
	}
	s.state = to
	s.e.sas.byAddr.enlist(s)
	s.e.touch(s.party)
}

// setup is what an IKE SA needs only until it is established.
type setup struct {
	nonces            noncePair
	request, response []byte // of IKE_SA_INIT, as sent; AUTH covers them (RFC 7296, Section 2.15)
	init              initTry
	attempt           *attempt     // of an initiator
	terms             initTerms    // of an initiator, the same in each form of the request
	refusal           reason.Facts // by an unprotected message, which anybody may have sent
	lost              bool         // the responder says that it does not know the IKE SA
	childless         bool         // the responder announces IKE SAs without a Child SA
	obstructed        bool         // the request does not arrive, as far as this host or an ICMP error tells
}

// saOf returns the IKE SA that carries the pair, or nil once the pair is deleted.
func saOf(p *child.Pair) *ikeSA {
	if c, ok := p.Carrier().(*carrier); ok {
		return c.sa
	}
	return nil
}

// sameIdentity reports whether another IKE SA of the same party has the same authenticated
// identity, whatever the spelling. A party of many has one.
func (s *ikeSA) sameIdentity(o *ikeSA) bool { return s.party.isOne() || o.remoteKey == s.remoteKey }
