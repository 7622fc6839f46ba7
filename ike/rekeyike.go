package ike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"culvert/ike/suite"
	"culvert/ike/wire"
)

// rekeyExchange is our CREATE_CHILD_SA exchange that replaces an IKE SA (RFC 7296, Sections 1.3.2, 2.18 and 2.8.2):
//
//	HDR, SK {SA, Ni, KEi}  -->
//	                       <--  HDR, SK {SA, Nr, KEr}
//
// The new IKE SA inherits the Child SAs, and its creator deletes the old one.
type rekeyExchange struct {
	next     *ikeSA // an embryo until the response is there
	offers   []wire.Proposal
	nonce    []byte
	group    wire.TransformID
	ke       suite.KeyExchange
	regroups int
}

// succession is what is to become of an IKE SA that is rekeyed, by us, by the peer, or by both.
type succession struct {
	heir   *ikeSA         // has inherited
	theirs *ikeSA         // the peer's successor, while ours is under way and nothing is decided
	nonces noncePair      // of the peer's exchange
	parent *ikeSA         // of a peer's successor: what it is to replace, until that is decided
	ours   *rekeyExchange // queued or under way

	yielded bool // of a peer's successor: ours stays in its place
	asked   bool // the peer's request is being answered: "it SHOULD NOT start any new CREATE_CHILD_SA exchanges" (Section 1.3.2)
}

// rekeyDue begins to rekey the IKE SA.
func (s *ikeSA) rekeyDue() {
	if s.state == saRekeyed && s.succ.yielded {
		s.end(endReplaced, "redundant, as we rekeyed at the same time")
		return
	}
	if s.state == saRekeyed {
		s.closeAs(endReplaced, "rekeyed; the peer did not delete it")
		return
	}
	if s.usable() && s.succ.ours == nil && s.succ.theirs == nil {
		s.succ.ours = &rekeyExchange{}
		s.enqueue(s.succ.ours)
	}
}

func (x *rekeyExchange) activity() ikeActivity { return ikeRekeying }

func (x *rekeyExchange) start(s *ikeSA) {
	if !s.usable() || s.succ.theirs != nil {
		x.leave(s, nil)
		return
	}
	if s.win.last.pending { // the peer waits for a Child SA: let it have that first
		s.e.after(&s.life.rekey, temporaryPause)
		x.leave(s, nil)
		return
	}
	next, err := s.e.newSA(true, saEmbryo)
	if err != nil {
		x.failed(s, "no randomness: "+err.Error())
		return
	}
	x.next = next
	x.offers = numbered(s.rekeyProposals(), binary.BigEndian.AppendUint64(nil, uint64(next.spi.I)))
	x.group = groupOf(x.offers[0])
	x.begin(s)
}

// rekeyProposals is the peer's proposals, the one in use first: a rekeying is no time to change algorithms (RFC 7296, Section 2.8). Least of all the PRF: peers
// do not agree on which of the two to derive the keys with (strongSwan 5.9 takes the old one throughout, Section 2.18 the new one for prf+).
func (s *ikeSA) rekeyProposals() []wire.Proposal {
	ps := s.peer.cfg.Proposals
	if _, ok := chooseProposal(ps, []wire.Proposal{{Protocol: wire.ProtoIKE, Transforms: s.keys.proposal.Transforms}}); !ok {
		return ps
	}
	current := s.keys.proposal
	current.SPI = nil
	return distinct(append([]wire.Proposal{current}, ps...))
}

func (x *rekeyExchange) begin(s *ikeSA) {
	var err error
	if x.nonce, err = s.e.nonce(); err != nil {
		x.failed(s, "no randomness: "+err.Error())
		return
	}
	s.e.newKey(x.group, func(k keyPair) {
		if !s.holds(x) {
			return
		}
		if k.err != nil {
			x.failed(s, "the key exchange could not be begun: "+k.err.Error())
			return
		}
		x.ke = k.ke
		s.ask(wire.CreateChildSA, []wire.Payload{&wire.SA{Proposals: x.offers}, &wire.Nonce{Data: x.nonce}, &wire.KE{Group: x.group, Data: k.public}})
	})
}

func (x *rekeyExchange) response(s *ikeSA, ps []wire.Payload) {
	if n, ok := findError(ps); ok {
		if n.Kind == wire.InvalidKEPayload && x.regroup(s, n.Data) {
			return
		}
		x.refused(s, n.Kind)
		return
	}
	sa, _ := find[*wire.SA](ps)
	nonce, _ := find[*wire.Nonce](ps)
	ke, _ := find[*wire.KE](ps)
	if err := x.check(sa, ke); err != nil {
		// The peer has a successor by now that we cannot use: both sides would disagree.
		x.leave(s, err)
		s.fail("the answer to our rekeying is not acceptable: " + err.Error())
		return
	}
	s.e.sharedKey(x.ke, ke.Data, func(k keyPair) {
		switch {
		case !s.holds(x):
		case k.err != nil:
			x.leave(s, k.err)
			s.fail("the peer's key exchange value is bad: " + k.err.Error())
		default:
			x.accept(s, sa.Proposals[0], noncePair{Ni: x.nonce, Nr: nonce.Data}, k.shared)
		}
	})
}

func (x *rekeyExchange) check(sa *wire.SA, ke *wire.KE) error {
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].SPI) != 8 {
		return errors.New("it has no proposal with an SPI")
	}
	if err := acceptedBy(x.offers, sa.Proposals[0]); err != nil {
		return err
	}
	if groupOf(sa.Proposals[0]) != x.group || ke.Group != x.group {
		return errors.New("its key exchange is not the one that we began")
	}
	return nil
}

func (x *rekeyExchange) regroup(s *ikeSA, data []byte) bool {
	if len(data) != 2 || x.regroups == maxRegroups {
		return false
	}
	group := wire.TransformID(binary.BigEndian.Uint16(data))
	if group == x.group || !offersGroup(x.offers, group) {
		return false
	}
	x.regroups++
	x.group = group
	x.begin(s)
	return true
}

// refused reacts to an error in the response.
func (x *rekeyExchange) refused(s *ikeSA, kind wire.NotifyType) {
	s.life.tries++
	switch {
	case s.succ.theirs != nil:
		// "it knows that the other peer did not detect the simultaneous rekey, and the first peer can forget its own rekey attempt."
		s.concede()
		x.leave(s, nil)
	case reactTo(kind, false, s.life.tries) == reactWait:
		s.e.after(&s.life.rekey, longer(temporaryPause, s.e.cfg.Rand))
		x.leave(s, nil)
	case reactTo(kind, false, s.life.tries) == reactCloseIKE:
		x.leave(s, errors.New("the peer goes on refusing"))
		s.close("the peer goes on refusing: both sides disagree on what exists")
	default:
		x.failed(s, refusalText(kind))
	}
}

// failed lets the next try wait; the hard end of the IKE SA stays where it is.
func (x *rekeyExchange) failed(s *ikeSA, why string) {
	s.notice(Warn, "ike-rekey-failed", why)
	s.e.after(&s.life.rekey, longer(rekeyPause, s.e.cfg.Rand))
	x.leave(s, errors.New(why))
}

// leave ends the exchange without a successor. The commands that wait are answered only if err says that there will be none soon.
func (x *rekeyExchange) leave(s *ikeSA, err error) {
	if x.next != nil && x.next.state == saEmbryo {
		x.next.remove()
	}
	x.next = nil
	if s.succ.ours == x {
		s.succ.ours = nil
	}
	if err != nil {
		s.e.answerRefs(&s.life.refs, err)
	}
	s.done(x)
}

func (x *rekeyExchange) abandon(s *ikeSA, why string) { x.leave(s, errors.New(why)) }

// accept makes the successor, and decides between it and one that the peer made meanwhile.
func (x *rekeyExchange) accept(s *ikeSA, chosen wire.Proposal, n noncePair, shared []byte) {
	next := x.next
	next.spi.R = wire.SPI(binary.BigEndian.Uint64(chosen.SPI))
	keys, err := next.rekeyKeys(s, chosen, shared, n)
	if err != nil {
		x.leave(s, err)
		s.fail("the keys could not be derived: " + err.Error())
		return
	}
	x.next, s.succ.ours = nil, nil
	next.succeed(s, keys)
	if s.state != saEstablished { // closed meanwhile; but the peer has made the successor and given it the Child SAs
		s.done(x)
		next.closeAs(endLocal, "its predecessor was closed")
		return
	}
	theirs := s.succ.theirs
	if theirs == nil || theirs.state >= saClosing || compareRekeys(n, s.succ.nonces) == keepOurs {
		s.succ.theirs = nil
		if theirs != nil {
			theirs.yield()
		}
		s.bequeath(next)
		s.done(x)
		s.enqueue(&informational{kind: askClose, payloads: []wire.Payload{&wire.Delete{Protocol: wire.ProtoIKE}}, cause: endReplaced, why: "rekeyed"})
		return
	}
	s.concede()
	s.done(x)
	next.closeAs(endReplaced, "redundant, as the peer rekeyed at the same time")
}

// succeed establishes the successor of old with its keys, on the same path and with the same peer.
func (s *ikeSA) succeed(old *ikeSA, keys saKeys) {
	e := s.e
	s.keys, s.net, s.remoteID, s.peer = keys, old.net, old.remoteID, old.peer
	s.keys.fragment = old.keys.fragment
	s.peer.sas = append(s.peer.sas, s)
	s.moveTo(saEstablished)
	s.life.established = e.turn.now
	s.live.lastIn, s.live.lastOut = old.live.lastIn, old.live.lastOut
	s.scheduleRekey()
	s.nextCheck()
}

// yield marks a successor that the peer is to delete, because ours stays. A peer that heard of our Delete of the old IKE SA before our response to its own rekeying has
// forgotten that, and so the successor is forgotten here too, in a while and without a word.
func (s *ikeSA) yield() {
	s.succ.parent = nil
	if s.state == saEstablished {
		s.succ.yielded = true
		s.moveTo(saRekeyed)
		s.e.timers.stop(&s.live.check)
		s.e.after(&s.life.rekey, lingerDead)
	}
}

// rekeyedLife is how long a rekeyed IKE SA waits for the peer's Delete.
const rekeyedLife = 90 * time.Second

// bequeath gives the Child SAs, and what was to be done about them, to the successor. What is under way on the old IKE SA ends there.
func (s *ikeSA) bequeath(heir *ikeSA) {
	heir.succ.parent = nil
	s.succ.heir, s.succ.theirs = heir, nil
	s.moveTo(saRekeyed)
	for _, p := range s.pairs {
		p.owner = heir
	}
	heir.pairs, s.pairs = append(heir.pairs, s.pairs...), nil
	queue := slices.DeleteFunc(s.work.queue, func(x exchange) bool { _, rekeys := x.(*rekeyExchange); return rekeys })
	s.work.queue = nil
	heir.net.path = s.net.path
	s.e.timers.stop(&s.live.check)
	s.e.timers.stop(&s.life.hard)
	s.e.after(&s.life.rekey, rekeyedLife)
	s.e.answerRefs(&s.life.refs, nil)
	heir.notice(Info, "ike-rekeyed", fmt.Sprintf("IKE SA %v/%v replaces %v/%v", heir.spi.I, heir.spi.R, s.spi.I, s.spi.R))
	heir.work.queue = append(heir.work.queue, queue...)
	heir.pump()
}

// concede lets the peer's successor inherit, and says whether there was one to decide about.
func (s *ikeSA) concede() bool {
	theirs := s.succ.theirs
	if theirs == nil || theirs.state != saEstablished || s.state != saEstablished {
		return false
	}
	s.bequeath(theirs)
	return true
}

// adoptIfUndecided is for a request on the peer's successor while our own rekeying of its parent is under way: the peer would not use it if it were not to stay.
func (s *ikeSA) adoptIfUndecided() {
	if s.succ.parent != nil && s.succ.parent.succ.theirs == s {
		s.succ.parent.concede()
	}
}

// cancelSuccession ends what was undecided when the IKE SA ends.
func (s *ikeSA) cancelSuccession() {
	if parent := s.succ.parent; parent != nil && parent.succ.theirs == s {
		parent.succ.theirs = nil
	}
	if theirs := s.succ.theirs; theirs != nil && theirs.state == saEstablished {
		theirs.succ.parent = nil
	}
	s.succ.parent, s.succ.theirs = nil, nil
	s.e.answerRefs(&s.life.refs, errors.New("the IKE SA ended"))
}

// rekeyRequest is the peer's request to rekey the IKE SA.
func (s *ikeSA) rekeyRequest(ps []wire.Payload) ([]wire.Payload, error) {
	s.adoptIfUndecided()
	crosses := false
	switch answerTo(askRekeyIKE, s.doing(), childQuiet) {
	case answerTemporary:
		return nil, refuse(wire.TemporaryFailure, "the IKE SA is busy or being closed")
	case answerAndCompare:
		crosses = true
	}
	if crosses && s.succ.theirs != nil {
		return nil, refuse(wire.TemporaryFailure, "the IKE SA is being rekeyed")
	}
	sa, _ := find[*wire.SA](ps)
	ke, _ := find[*wire.KE](ps)
	nonce, _ := find[*wire.Nonce](ps)
	chosen, ok := chooseProposal(s.rekeyProposals(), withSPISize(sa.Proposals, 8))
	if !ok {
		s.e.count("ike_no_proposal_chosen")
		return nil, refuse(wire.NoProposalChosen, "no IKE proposal is acceptable")
	}
	group := groupOf(chosen)
	if ke.Group != group {
		return nil, &notifyError{&wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(group))}, "another key exchange is wanted"}
	}
	nr, err := s.e.nonce()
	if err != nil {
		return nil, refuse(wire.TemporaryFailure, "no randomness")
	}
	n := noncePair{Ni: nonce.Data, Nr: nr}
	s.succ.asked = true
	s.e.answerKey(group, ke.Data, func(k keyPair) {
		s.succ.asked = false
		s.rekeyComputed(chosen, n, k)
		s.pump()
	})
	return nil, errPending
}

// rekeyComputed makes the peer's successor, answers, and lets it inherit unless our own rekeying is under way.
func (s *ikeSA) rekeyComputed(chosen wire.Proposal, n noncePair, k keyPair) {
	if s.state >= saDead {
		return
	}
	if k.err != nil {
		s.e.count("ike_bad_key_exchange")
		s.conclude(nil, fatal(wire.InvalidSyntax, "the key exchange value is bad: "+k.err.Error()))
		return
	}
	if s.state != saEstablished {
		s.conclude(nil, refuse(wire.TemporaryFailure, "the IKE SA is being closed"))
		return
	}
	next, err := s.e.newSA(false, saEmbryo)
	if err != nil {
		s.conclude(nil, refuse(wire.TemporaryFailure, "no randomness"))
		return
	}
	next.spi.I = wire.SPI(binary.BigEndian.Uint64(chosen.SPI))
	keys, err := next.rekeyKeys(s, chosen, k.shared, n)
	if err != nil {
		next.remove()
		s.conclude(nil, refuse(wire.NoProposalChosen, err.Error()))
		return
	}
	next.succeed(s, keys)
	answer := chosen
	answer.SPI = binary.BigEndian.AppendUint64(nil, uint64(next.spi.R))
	s.answer([]wire.Payload{&wire.SA{Proposals: []wire.Proposal{answer}}, &wire.Nonce{Data: n.Nr}, &wire.KE{Group: groupOf(chosen), Data: k.public}})
	next.succ.parent = s
	s.succ.theirs, s.succ.nonces = next, n
	if _, ours := s.work.current.(*rekeyExchange); !ours {
		s.concede()
	}
}

// scheduleRekey sets the IKE SA's dates, as pair.schedule does.
func (s *ikeSA) scheduleRekey() {
	life := s.peer.cfg.Lifetime
	if life <= 0 {
		return
	}
	soft := rekeyMargin(s.e, life, s.initiator)
	s.life.rekeyAt = s.e.turn.now.Add(soft)
	s.e.after(&s.life.rekey, soft)
	s.e.after(&s.life.hard, life+life/10)
}

// hardEnd is the end of a half-open IKE SA that was never authenticated, of one whose lifetime is over, and of the memory of a dead one.
func (s *ikeSA) hardEnd() {
	switch s.state {
	case saHalfOpen:
		s.e.count("ike_half_open_expired")
		s.remove()
	case saDead:
		s.remove()
	case saEstablished:
		s.closeAs(endExpired, "its lifetime is over")
	}
}
