package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/wire"
)

// withTokens gives both sides secrets that outlast a restart, and a peer that initiates.
func withTokens(p *testPair) {
	for _, s := range p.sides() {
		s.config.CrashTokens.Secret = bytes.Repeat([]byte(s.name[:1]), 32)
	}
}

// probe has the side send a liveness check on the IKE SA.
func (s *testSide) probe(sa *ikeSA) {
	var fx Effects
	s.e.handling = handling{now: s.p.now, fx: &fx}
	sa.live.probe()
	for _, f := range fx.List {
		s.do(f)
	}
}

// rtt is a round trip on the link of tests.
const rtt = 20 * time.Millisecond

// A side is killed and restarted. The next request of the other one ends the lost IKE SA within a
// round trip, and the next tunnel is there after two more.
func TestCrashCostsRoundTrips(t *testing.T) {
	for _, rekeyed := range []string{"", "left", "right"} {
		for _, killed := range []string{"left", "right"} {
			t.Run(fmt.Sprintf("%s killed, rekeyed by %q", killed, rekeyed), func(t *testing.T) {
				p := newPair(t, 1, withTokens)
				p.up()
				dead, alive := p.left, p.right
				if killed == "right" {
					dead, alive = p.right, p.left
				}
				for _, s := range []*testSide{p.left, p.right} {
					if s.name == rekeyed {
						s.rekey("")
					}
				}
				p.drive(10 * time.Second)
				lost, _ := newAttack(p).established(alive)
				dead.kill()
				dead.start()
				alive.probe(lost)
				p.drive(rtt)
				if !lost.state.ended() {
					p.fatalf("the lost IKE SA is %v after a round trip", lost.state)
				}
				p.wantNotice(alive, "peer-restarted")
				p.drive(2*rtt + 10*time.Millisecond) // with the time for computing
				if alive.plane.senders() != 1 {
					p.fatalf("no new tunnel after three round trips")
				}
				alive.traffic("lan")
				p.drive(rtt)
				p.wantTunnel()
			})
		}
	}
}

// Without a secret on the one side, or with the tokens turned off on the other, the answer is only
// a hint.
func TestNoCrashTokens(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){
		"no secret": func(p *testPair) { p.right.config.CrashTokens.Secret = nil },
		"not made":  func(p *testPair) { p.right.config.CrashTokens.Off = true },
		"not taken": func(p *testPair) { p.left.config.CrashTokens.Off = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) { withTokens(p); edit(p) })
			p.up()
			lost, _ := newAttack(p).established(p.left)
			p.right.kill()
			p.right.start()
			p.left.probe(lost)
			p.drive(4 * rtt)
			if lost.state != saEstablished {
				p.fatalf("the IKE SA is %v", lost.state)
			}
		})
	}
}

// The messages of RFC 6290, Sections 4.2, 4.3 and 4.5, and where the tokens stand in them.
func TestCrashTokenDialogue(t *testing.T) {
	p := newPair(t, 1, withTokens)
	p.script(true)
	p.left.connect("")
	p.deliver(p.wantSend("init", p.left, wire.IKESAInit, false, "..."))
	p.deliver(p.wantSend("init", p.right, wire.IKESAInit, true, "..."))
	request := p.wantSend("auth", p.left, wire.IKEAuth, false, "N(QUICK_CRASH_DETECTION), ...")
	wantTokenAfterAuth(p, request)
	p.deliver(request)
	answer := p.wantSend("auth", p.right, wire.IKEAuth, true, "N(QUICK_CRASH_DETECTION), ...")
	wantTokenAfterAuth(p, answer)
	if bytes.Equal(tokenOf(request), tokenOf(answer)) {
		p.fatalf("both sides give the same token")
	}
	p.deliver(answer)
	p.left.rekey("")
	p.deliver(p.wantSend("rekey", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)"))
	p.deliver(p.wantSend("rekey", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(x25519), N(QUICK_CRASH_DETECTION)"))
	given := p.wantSend("the initiator's token", p.left, wire.Informational, false, "N(QUICK_CRASH_DETECTION)")
	p.wantSend("delete", p.left, wire.Informational, false, "D(IKE)")
	p.deliver(given)
	p.wantSend("the initiator's token", p.right, wire.Informational, true, "")
	lost, _ := newAttack(p).established(p.right)

	p.left.kill()
	p.left.start()
	p.right.probe(lost)
	p.deliver(p.wantSend("probe", p.right, wire.Informational, false, ""))
	lostAnswer := p.wantSend("answer", p.left, wire.Informational, true, "N(INVALID_IKE_SPI), N(QUICK_CRASH_DETECTION)")
	n, _ := wire.FindNotify(lostAnswer.payloads, wire.QuickCrashDetection)
	if n.Protocol != wire.ProtoIKE || len(n.SPI) != 0 || !bytes.Equal(n.Data, tokenOf(given)) {
		p.fatalf("the token is %v, not the one that was given", n)
	}
}

func tokenOf(m *testMessage) []byte {
	n, _ := wire.FindNotify(m.payloads, wire.QuickCrashDetection)
	return n.Data
}

// wantTokenAfterAuth checks that the token follows AUTH and precedes what concerns the Child SA.
func wantTokenAfterAuth(p *testPair, m *testMessage) {
	p.t.Helper()
	at := func(typ wire.PayloadType) int {
		return slices.IndexFunc(m.payloads, func(q wire.Payload) bool {
			n, ok := q.(*wire.Notify)
			return q.Type() == typ && (!ok || n.Kind == wire.QuickCrashDetection)
		})
	}
	if token := at(wire.PayloadNotify); token < at(wire.PayloadAuth) || token > at(wire.PayloadSA) {
		p.fatalf("the token is out of its place: %v", m)
	}
}

// crashAttack is a tunnel whose left side waits for an answer to a request.
type crashAttack struct {
	*attack
	main  *ikeSA
	token []byte // which the right side would present
}

func newCrashAttack(t *testing.T) *crashAttack {
	p := newPair(t, 1, withTokens)
	p.up()
	a := &crashAttack{attack: newAttack(p)}
	a.main, _ = a.established(p.left)
	a.token = p.right.e.crashToken(a.main.spi, false)
	p.script(true)
	p.left.probe(a.main)
	p.wantSend("probe", p.left, wire.Informational, false, "")
	return a
}

// present sends the left side an unprotected answer to its request, with tokens in it.
func (a *crashAttack) present(from netip.AddrPort, edit func(*wire.Message), tokens ...[]byte) {
	m := wire.Message{
		Header: wire.Header{
			InitiatorSPI: a.main.spi.I, ResponderSPI: a.main.spi.R, Exchange: wire.Informational, Response: true,
			MessageID: a.main.win.Outstanding().ID,
		},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidIKESPI}},
	}
	for _, token := range tokens {
		m.Payloads = append(m.Payloads, tokenNotify(token)...)
	}
	if edit != nil {
		edit(&m)
	}
	a.inject(a.left, from, m.AppendTo(nil))
}

// The right token ends the IKE SA wherever it comes from (RFC 6290, Section 3), among up to three
// others (Section 4.5). Anything else does not.
func TestPresentedTokens(t *testing.T) {
	wrong := bytes.Repeat([]byte{7}, crashTokenLen)
	for _, tt := range []struct {
		name   string
		tokens func(a *crashAttack) [][]byte
		edit   func(m *wire.Message)
		ends   bool
	}{
		{name: "right", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.token} }, ends: true},
		{name: "fourth", tokens: func(a *crashAttack) [][]byte { return [][]byte{wrong, wrong, wrong, a.token} }, ends: true},
		{name: "fifth", tokens: func(a *crashAttack) [][]byte { return [][]byte{wrong, wrong, wrong, wrong, a.token} }},
		{name: "alone", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.token} }, edit: func(m *wire.Message) { m.Payloads = m.Payloads[1:] }, ends: true},
		{name: "forged", tokens: func(a *crashAttack) [][]byte { return [][]byte{wrong} }},
		{name: "one bit", tokens: func(a *crashAttack) [][]byte { a.token[15] ^= 1; return [][]byte{a.token} }},
		{name: "shorter", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.token[:15]} }},
		{name: "longer", tokens: func(a *crashAttack) [][]byte { return [][]byte{append(a.token, 0)} }},
		{name: "empty", tokens: func(a *crashAttack) [][]byte { return [][]byte{{}} }},
		{name: "our own", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.left.e.crashToken(a.main.spi, true)} }},
		{name: "of the other role", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.right.e.crashToken(a.main.spi, true)} }},
		{name: "of another IKE SA", tokens: func(a *crashAttack) [][]byte {
			return [][]byte{a.right.e.crashToken(spiPair{a.main.spi.I, a.main.spi.R + 1}, false)}
		}},
		{name: "in a request", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.token} }, edit: func(m *wire.Message) { m.Response = false }},
		{name: "to another request", tokens: func(a *crashAttack) [][]byte { return [][]byte{a.token} }, edit: func(m *wire.Message) { m.MessageID++ }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newCrashAttack(t)
			a.present(attacker, tt.edit, tt.tokens(a)...)
			if a.main.state.ended() != tt.ends {
				a.fatalf("the IKE SA is %v", a.main.state)
			}
			if len(a.left.out) > 0 && !tt.ends {
				a.fatalf("there is an answer: %v", a.left.out[0])
			}
		})
	}
}

// The token of an IKE SA that was replaced by rekeying says nothing of its successor.
func TestTokenOfPredecessor(t *testing.T) {
	p := newPair(t, 1, withTokens)
	p.up()
	a := &crashAttack{attack: newAttack(p)}
	old, _ := a.established(p.left)
	token := p.right.e.crashToken(old.spi, false)
	p.left.rekey("")
	p.drive(10 * time.Second)
	a.main, _ = a.established(p.left)
	p.script(true)
	p.left.probe(a.main)
	a.present(p.right.home(), nil, token)
	if a.main == old || a.main.state != saEstablished || !a.main.token.known {
		p.fatalf("the IKE SA is %v", a.main.state)
	}
}

// Guesses are compared up to a limit for each source.
func TestTokensAreComparedAtALimitedRate(t *testing.T) {
	a := newCrashAttack(t)
	for range 3 * budget.TokenLimit.Host {
		a.present(attacker, nil, bytes.Repeat([]byte{7}, crashTokenLen))
	}
	if n := a.left.e.Counters()["ike_crash_tokens_wrong"]; n != uint64(budget.TokenLimit.Host) {
		a.fatalf("%d guesses are compared", n)
	}
	a.present(attacker, nil, a.token)
	if a.main.state.ended() {
		a.fatalf("beyond the limit a token is compared")
	}
	a.present(a.right.home(), nil, a.token)
	if !a.main.state.ended() {
		a.fatalf("the peer's own token is not compared")
	}
}

// unknownRequest is a request that looks protected, for any IKE SA.
func unknownRequest(i, r wire.SPI, initiator bool) []byte {
	m := wire.Message{
		Header:   wire.Header{InitiatorSPI: i, ResponderSPI: r, MajorVersion: 2, Exchange: wire.Informational, Initiator: initiator, MessageID: 2},
		Payloads: []wire.Payload{&wire.Encrypted{Body: make([]byte, 8+1+16)}}, // the shortest with AES-GCM
	}
	return m.AppendTo(nil)
}

// No header draws a valid token of an IKE SA that exists (RFC 6290, Section 9.2).
func TestNoTokenOfLiveSA(t *testing.T) {
	p := newPair(t, 1, withTokens)
	p.up()
	a := newAttack(p)
	for _, victim := range []*testSide{p.left, p.right} {
		main, _ := a.established(victim)
		i, r := main.spi.I, main.spi.R
		for _, initiator := range []bool{true, false} {
			for _, spis := range [][2]wire.SPI{{i, r}, {r, i}, {i, 1}, {1, i}, {1, r}, {i, 0}, {0, r}} {
				a.inject(victim, attacker, unknownRequest(spis[0], spis[1], initiator))
				p.drive(time.Second)
			}
		}
	}
	main, _ := a.established(p.left)
	for _, reply := range a.replies {
		for _, s := range []*testSide{p.left, p.right} {
			for _, initiator := range []bool{true, false} {
				if bytes.Contains(reply.data, s.e.crashToken(main.spi, initiator)) {
					p.fatalf("a valid token of %s is sent: %v", s.name, reply.msg)
				}
			}
		}
	}
	p.stillWorks(false)
}

// What is answered, in which size and how often. Only protected requests are.
func TestAnswersToUnknownSPIs(t *testing.T) {
	p := newPair(t, 1, withTokens)
	p.up()
	a := newAttack(p)
	request := unknownRequest(0xbad1, 0xbad2, true)
	a.inject(p.right, attacker, request)
	p.drive(time.Second)
	if len(a.replies) != 1 || len(a.replies[0].data) > len(request)+3 {
		p.fatalf("the replies to %d octets are %v", len(request), a.replies)
	}
	clear := wire.Message{
		Header:   wire.Header{InitiatorSPI: 0xbad1, ResponderSPI: 0xbad2, Exchange: wire.Informational, Initiator: true},
		Payloads: []wire.Payload{&wire.Notify{Kind: wire.InvalidSPI}},
	}
	a.inject(p.right, attacker, clear.AppendTo(nil))
	a.inject(p.right, attacker, request[:40])
	p.drive(time.Second)
	if len(a.replies) != 1 {
		p.fatalf("an unprotected or broken message is answered")
	}
	for n := range 5000 {
		a.inject(p.right, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}), 500), request)
		a.inject(p.right, attacker, request)
	}
	p.drive(100 * time.Millisecond)
	if n := len(a.replies) - 1; n != budget.AnswerLimit.Strangers {
		p.fatalf("%d answers to a flood", n)
	}
	a.inject(p.right, netip.AddrPortFrom(p.left.addrs[0], roguePort), request)
	p.drive(100 * time.Millisecond)
	if n := len(a.replies) - 1; n != budget.AnswerLimit.Strangers+1 {
		p.fatalf("during a flood, a configured address gets no answer")
	}
}

// TestProofEndsABackOff: the peer was away for long enough that an attempt to make another IKE SA
// failed, and the next one waits, which may be at another address. The proof of the peer's restart
// shows that it is there.
func TestProofEndsABackOff(t *testing.T) {
	for missed := range 2 {
		p := newPair(t, 1, func(p *testPair) {
			withTokens(p)
			p.left.peers[0].Children[0].Start, p.right.peers[0].Remote = StartBoot, nil
			p.left.peers[0].Remote = append(p.left.peers[0].Remote, nobody)
		})
		p.up()
		lost := p.left.main()
		p.right.kill()
		try := &lost.party.try
		try.addr, try.missed, try.At = missed, missed, p.now.Add(time.Minute)
		p.right.start()
		p.left.probe(lost)
		p.drive(time.Second)
		p.wantTunnel()
	}
}
