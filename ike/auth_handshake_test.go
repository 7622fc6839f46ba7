package ike

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/ike/identity"
	"culvert/ike/wire"
)

// The toy method stands for EAP in IKE_AUTH and for the exchanges of IKE_INTERMEDIATE: the
// responder sends a challenge, the initiator answers it, and only then IKE_AUTH goes on as usual.
//
//	HDR, SK {N(toy)}          -->
//	                          <--  HDR, SK {N(toy, challenge)}
//	HDR, SK {N(toy, answer)}  -->
//	                          <--  HDR, SK {N(toy, fine)}
const toy wire.NotifyType = 50003

func toyNotify(text string) []wire.Payload {
	return []wire.Payload{&wire.Notify{Kind: toy, Data: []byte(text)}}
}

// toyHandshake is the responder's side.
type toyHandshake struct {
	ex         wire.ExchangeType
	next       handshake
	challenged bool
}

func (x *toyHandshake) expects(ex wire.ExchangeType) bool { return ex == x.ex }
func (x *toyHandshake) rule() payloadRule                 { return payloadRule{} }
func (x *toyHandshake) abandon(*ikeSA)                    {}

func (x *toyHandshake) request(s *ikeSA, ps []wire.Payload) ([]wire.Payload, error) {
	n, ok := wire.FindNotify(ps, toy)
	switch {
	case !ok:
		return nil, fatal(wire.InvalidSyntax, "no toy")
	case !x.challenged:
		x.challenged = true
		return toyNotify("what is 6 times 7?"), nil
	case string(n.Data) != "42":
		return nil, fatal(wire.AuthenticationFailed, "the answer is wrong")
	}
	s.handshake = x.next
	return toyNotify("fine"), nil
}

// toyExchange is the initiator's side.
type toyExchange struct {
	ex     wire.ExchangeType
	answer string
	rounds int
}

func (x *toyExchange) activity() ikeActivity     { return ikeQuiet }
func (x *toyExchange) responseRule() payloadRule { return payloadRule{} }
func (x *toyExchange) start(s *ikeSA)            { s.ask(x.ex, toyNotify("")) }
func (x *toyExchange) abandon(*ikeSA, string)    {}

func (x *toyExchange) response(s *ikeSA, ps []wire.Payload) {
	n, ok := wire.FindNotify(ps, toy)
	x.rounds++
	switch {
	case !ok:
		s.setupFailed(ownFault("the toy was refused"))
	case string(n.Data) == "fine":
		s.run(newAuthExchange(s))
	default:
		s.ask(x.ex, toyNotify(x.answer))
	}
}

// toyPair makes both sides run the toy method after IKE_SA_INIT, in exchanges of the type. The
// initiator's own AUTH is slow to make, which leaves time to put the exchange in front of it.
func toyPair(t *testing.T, ex wire.ExchangeType, answer string, edit func(*testPair)) (p *testPair, x *toyExchange) {
	p = signedPair(t, func(p *testPair, _, _ *signature) {
		if edit != nil {
			edit(p)
		}
	})
	p.left.connect("")
	p.drive(700 * time.Millisecond)
	for _, s := range p.left.e.sas.bySPI {
		if s.state != saAuthenticating || s.win.Outstanding() != nil {
			p.fatalf("left is %v", s.state)
		}
		x = &toyExchange{ex: ex, answer: answer}
	}
	usual := p.right.e.sas.halfOpen.begin
	p.right.e.sas.halfOpen.begin = func() handshake { return &toyHandshake{ex: ex, next: usual()} }
	for _, s := range p.left.e.sas.bySPI {
		var fx Effects
		p.left.e.handling = handling{now: p.now, fx: &fx}
		s.work.Current().(*authExchange).child.release(s)
		s.party.policies[0].Settled()
		s.run(x)
		for _, f := range fx.List {
			p.left.do(f)
		}
	}
	return p, x
}

func TestHandshakeOfSeveralRounds(t *testing.T) {
	for _, ex := range []wire.ExchangeType{wire.IKEAuth, wire.IKEIntermediate} {
		p, x := toyPair(t, ex, "42", nil)
		p.drive(5 * time.Second)
		if x.rounds != 2 {
			p.fatalf("%v: %d rounds", ex, x.rounds)
		}
		p.wantTunnel()
		for _, s := range p.right.e.sas.bySPI {
			if s.handshake != nil {
				p.fatalf("%v: the handshake is not over", ex)
			}
		}
	}
}

func TestHandshakeThatFails(t *testing.T) {
	for _, ex := range []wire.ExchangeType{wire.IKEAuth, wire.IKEIntermediate} {
		p, _ := toyPair(t, ex, "43", nil)
		p.drive(time.Second)
		p.wantNoChild("lan")
		if said := p.left.saidAll(); !strings.Contains(said, "the toy was refused") {
			p.fatalf("%v: left says %q", ex, said)
		}
		p.left.handle(SetPeers{})
		p.drive(2 * time.Minute)
		for _, s := range []*testSide{p.left, p.right} {
			if left := s.leftovers(); left != "" {
				p.fatalf("%v: %s", ex, left)
			}
		}
	}
}

// The initiator's rejection is accepted in the request that follows IKE_AUTH, however many rounds
// that had (RFC 7296, Section 2.21.2).
func TestRejectionAfterSeveralRounds(t *testing.T) {
	p, _ := toyPair(t, wire.IKEAuth, "42", func(p *testPair) {
		p.right.peers[0].LocalID = identity.ID{Type: wire.IDFQDN, Data: "other.example.com"}
	})
	p.drive(5 * time.Second)
	p.wantNoChild("lan")
	if said := p.right.saidAll(); !strings.Contains(said, "AUTHENTICATION_FAILED") {
		p.fatalf("right says %q", said)
	}
	for _, s := range p.right.e.sas.bySPI {
		if s.state == saEstablished {
			p.fatalf("right's IKE SA lives on")
		}
	}
}

// Each round takes the requests that it expects, and no others.
func TestHandshakeExpects(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	for i, ex := range []wire.ExchangeType{wire.IKEIntermediate, wire.Informational, wire.CreateChildSA} {
		r := a.newRogue(a.right)
		r.sendInit(r.payloads())
		before := a.right.e.Counters()["ike_unexpected_exchange"]
		r.send(ex, 1, toyNotify(fmt.Sprint(i)))
		a.drive(time.Second)
		if n := a.right.e.Counters()["ike_unexpected_exchange"]; n != before+1 {
			a.fatalf("%v: counted %d times", ex, n-before)
		}
	}
}
