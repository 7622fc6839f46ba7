package ike

import (
	"slices"
	"testing"
	"time"

	"culvert/ike/wire"
)

// The toy follow-up stands for the exchanges of IKE_FOLLOWUP_KE (RFC 9370): a
// CREATE_CHILD_SA exchange of any kind is answered only after another request.
//
//	HDR(CREATE_CHILD_SA), SK {SA, Ni, [KEi,] ...}  -->
//	                                 <--  HDR(CREATE_CHILD_SA), SK {N(toy, challenge)}
//	HDR(IKE_FOLLOWUP_KE), SK {N(toy, answer)}      -->
//	                                 <--  HDR(IKE_FOLLOWUP_KE), SK {SA, Nr, [KEr,] ...}

// toyFollowUp is the responder's side. It keeps the request for the handshake that it delays.
type toyFollowUp struct {
	handshake
	kept []wire.Payload
}

func (x *toyFollowUp) expects(ex wire.ExchangeType) bool {
	if x.kept == nil {
		return ex == wire.CreateChildSA
	}
	return ex == wire.IKEFollowupKE
}

func (x *toyFollowUp) rule() payloadRule {
	if x.kept == nil {
		return x.handshake.rule()
	}
	return payloadRule{}
}

func (x *toyFollowUp) request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error) {
	if x.kept == nil {
		x.kept = slices.Clone(ps)
		return toyNotify("what is 6 times 7?"), nil
	}
	s.endHandshake(x)
	if n, ok := wire.FindNotify(ps, toy); !ok || string(n.Data) != "42" {
		return nil, refuse(wire.NoProposalChosen, "the answer is wrong")
	}
	return x.handshake.request(s, x.kept)
}

// toyFollowUpExchange is the initiator's side. It goes on as the exchange that it delays.
type toyFollowUpExchange struct {
	exchange
	usual  payloadRule
	answer string
	rounds int
}

func (x *toyFollowUpExchange) responseRule() payloadRule {
	if x.rounds == 0 {
		return payloadRule{}
	}
	return x.usual
}

func (x *toyFollowUpExchange) response(s *ikeSA, ps []wire.Payload) {
	x.rounds++
	if _, ok := wire.FindNotify(ps, toy); ok {
		s.ask(wire.IKEFollowupKE, toyNotify(x.answer))
		return
	}
	s.work.Replace(x.exchange)
	x.exchange.response(s, ps)
}

// followUp has left rekey the IKE SA, or a Child SA, with the toy follow-up on both sides.
func followUp(t *testing.T, what, answer string) (p *testPair, x *toyFollowUpExchange, ref uint64) {
	p = newPair(t, 1, nil)
	p.up()
	left, right := p.left.e.peers.order[0].party.main(), p.right.e.peers.order[0].party.main()
	right.handshake = &toyFollowUp{handshake: &rekeyHandshake{}}
	usual := ruleRekeyIKE
	if what != "" {
		right.handshake, usual = &toyFollowUp{handshake: &childHandshake{}}, ruleCreateChild
	}
	ref = p.left.rekey(what)
	for left.win.Outstanding() == nil && p.step(p.now.Add(time.Second)) {
	}
	x = &toyFollowUpExchange{exchange: left.work.Current(), usual: usual, answer: answer}
	left.work.Replace(x)
	return p, x, ref
}

func TestRekeyingOfSeveralRequests(t *testing.T) {
	for _, what := range []string{"", "lan"} {
		p, x, ref := followUp(t, what, "42")
		sent := p.left.requests(wire.CreateChildSA)
		p.drive(time.Minute)
		p.wantDone(p.left, ref, "")
		if n := p.left.requests(wire.CreateChildSA); x.rounds != 2 || p.left.requests(wire.IKEFollowupKE) != 1 || n != sent {
			p.fatalf("%q: %d rounds, %d more requests", what, x.rounds, n-sent)
		}
		p.wantTunnel()
		p.wantNoLoss()
		for _, s := range p.right.e.sas.bySPI {
			if s.handshake != nil {
				p.fatalf("%q: the handshake is not over", what)
			}
		}
	}
}

// A refusal in a later round is one of the exchange.
func TestRekeyingThatFailsLater(t *testing.T) {
	for _, what := range []string{"", "lan"} {
		p, x, ref := followUp(t, what, "43")
		p.drive(time.Second)
		p.wantDone(p.left, ref, "NO_PROPOSAL_CHOSEN")
		if x.rounds != 2 {
			p.fatalf("%q: %d rounds", what, x.rounds)
		}
		p.drive(time.Minute) // a new IKE SA has taken the place of the one that cannot be rekeyed
		p.wantTunnel()
		p.wantNoLoss()
	}
}

// While a handshake waits for its next request, others are handled: what has nothing to do with it,
// and another CREATE_CHILD_SA, which takes its place.
func TestRequestsDuringHandshake(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up()
	right := p.right.e.peers.order[0].party.main()
	waiting := &toyFollowUp{handshake: &childHandshake{}, kept: toyNotify("")}
	right.handshake = waiting
	p.left.e.peers.order[0].party.main().live.probe()
	p.left.handle(Wake{})
	p.drive(time.Second)
	p.wantIdle("the liveness check")
	if right.handshake != waiting {
		p.fatalf("the liveness check ended the handshake")
	}
	ref := p.left.rekey("lan")
	p.drive(time.Minute)
	p.wantDone(p.left, ref, "")
	if right.handshake != nil {
		p.fatalf("the handshake outlived another CREATE_CHILD_SA exchange")
	}
	p.wantTunnel()
}

// A computation ends only the handshake that it works for, and while the peer's successor is being
// computed nothing of ours is started.
func TestEndOfHandshake(t *testing.T) {
	s := &ikeSA{state: saEstablished}
	s.succ.sa = s
	x, other := &rekeyHandshake{}, &childHandshake{}
	s.handshake = x
	if s.mayStart() {
		t.Error("an exchange may start while the peer's successor is computed")
	}
	if s.endHandshake(other); s.handshake != x {
		t.Error("another handshake ended it")
	}
	if s.endHandshake(x); s.handshake != nil || !s.mayStart() {
		t.Error("the handshake is not over")
	}
}

// TestAnswerThatDoesNotCome has a rekeying that the peer asks for wait for a computation that never
// ends: after answerLimit it is refused, so that the peer can go on, and a result that comes later
// changes nothing.
func TestAnswerThatDoesNotCome(t *testing.T) {
	for _, child := range []string{"", "lan"} {
		p := newPair(t, 1, func(p *testPair) {
			p.left.peers[0].DPD, p.right.peers[0].DPD = 0, 0
			for _, s := range []*testSide{p.left, p.right} {
				s.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
			}
		})
		p.up()
		late := false
		p.compute = func() time.Duration {
			if late { // left's half was quick
				return answerLimit + 5*time.Second
			}
			late = true
			return time.Millisecond
		}
		ref := p.left.rekey(child)
		p.drive(answerLimit - time.Second)
		s := p.right.main()
		if n := p.right.e.Counters()["ike_answer_overdue"]; n != 0 || s.handshake == nil || s.answerBy == nil || !s.win.Pending() {
			p.fatalf("%q: it does not wait", child)
		}
		late = false
		p.compute = func() time.Duration { return time.Millisecond }
		p.drive(2 * time.Second)
		if n := p.right.e.Counters()["ike_answer_overdue"]; n != 1 || s.answerBy != nil || s.win.Pending() || len(p.right.e.jobs.waiting)+len(p.right.e.jobs.ofSA) != 0 {
			p.fatalf("%q: it is overdue %d times, and %d computations are there", child, n, len(p.right.e.jobs.waiting))
		}
		p.drive(time.Minute) // left tries again
		p.wantDone(p.left, ref, "")
		p.wantTunnel()
	}
}

// TestNothingWaitsAfterTheEnd ends an IKE SA while an answer to its peer waits for a computation,
// before and after its authentication: neither the computation nor a timer stays.
func TestNothingWaitsAfterTheEnd(t *testing.T) {
	never := func() time.Duration { return time.Hour }
	for name, end := range map[string]func(p *testPair){
		"shutdown":            func(p *testPair) { p.right.handle(Shutdown{}) },
		"the peer is removed": func(p *testPair) { p.right.handle(SetPeers{}) },
	} {
		for _, before := range []bool{true, false} {
			p := newPair(t, 1, func(p *testPair) {
				if before {
					p.right.peers[0].Credential = slowPSK{PSK(testPSK())}
				}
			})
			if before {
				p.left.connect("")
				p.drive(30 * time.Millisecond) // IKE_AUTH is on its way
				p.compute = never
			} else {
				p.up()
				p.left.rekey("")
				p.drive(5 * time.Millisecond)
				p.compute = never
			}
			p.drive(time.Second)
			if n := len(p.right.e.jobs.ofSA); n != 1 {
				p.fatalf("%s, before %v: %d computations, want one that waits", name, before, n)
			}
			p.left.kill()
			end(p)
			p.drive(4 * time.Minute)
			if n := len(p.right.e.jobs.waiting) + len(p.right.e.jobs.ofSA) + len(p.right.e.sas.bySPI) + len(p.right.e.sas.halfOpen.bySPI); n != 0 {
				p.fatalf("%s, before %v: %d are left", name, before, n)
			}
		}
	}
}
