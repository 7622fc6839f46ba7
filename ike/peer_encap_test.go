package ike

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// upRaw brings up a pair of culverts with protocol 50, since the NAT port is blocked, and opens the
// link again.
func (p *testPair) upRaw() {
	p.t.Helper()
	open := p.link
	p.eat(ipsec.NAT)
	ref := p.left.connect("")
	p.drive(5 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantEncap(false)
	p.link = open
}

// A stranger, here an older culvert, gets what NAT detection says, also where nothing comes.
func TestStrangerGetsWhatNATDetectionSays(t *testing.T) {
	for _, nat := range []bool{false, true} {
		for _, older := range []string{"left", "right"} {
			p := newPair(t, 1, func(p *testPair) {
				if nat {
					behindNAT(p)
				}
				p.left.older, p.right.older = older == "left", older == "right"
			})
			p.up2()
			p.wantUDP(nat)
			want := map[bool]string{false: "there is no NAT", true: "there is a NAT"}[nat]
			p.left.wantWhy(want)
			p.right.wantWhy(want)
			was, path, link := p.left.main(), p.left.main().net.Path, p.link
			p.link = func(pk *testPacket) []time.Duration {
				if pk.esp != nil {
					return nil
				}
				return link(pk)
			}
			p.flow(5 * time.Minute)
			p.wantSameIKESA(was)
			if p.left.main().net.Path != path || p.left.count("encap-changed")+p.right.count("encap-changed")+p.left.count("esp-blocked") > 0 {
				p.fatalf("%s is older, NAT %v: left is on %v", older, nat, p.left.main().net.Path)
			}
			p.link = link
			p.wantUDP(nat)
		}
	}
}

// Where the configuration says how ESP goes, or a NAT does, no silence changes it.
func TestSilenceChangesNothing(t *testing.T) {
	for name, edit := range map[string]func(p *testPair){
		"never":  func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapNever, EncapNever },
		"always": func(p *testPair) { p.left.peers[0].Encap, p.right.peers[0].Encap = EncapAlways, EncapAlways },
		"NAT":    behindNAT,
	} {
		p := newPair(t, 1, edit)
		p.up2()
		was, path := p.left.main(), p.left.main().net.Path
		for range 3 {
			for _, s := range []*testSide{p.left, p.right} {
				s.handle(Unheard{ID: s.plane.list[0].sa.ID})
				s.handle(Unheard{ID: 999})
			}
			p.drive(10 * time.Second)
		}
		p.wantSameIKESA(was)
		if p.left.main().net.Path != path || p.left.count("encap-changed")+p.right.count("encap-changed") > 0 {
			t.Errorf("%s: left is on %v", name, p.left.main().net.Path)
		}
	}
}

// With a party, or a peer that is no longer configured, ends what is to be asked of it later.
func TestEncapTimersEnd(t *testing.T) {
	p := manyUsers(t, 1)
	if err := p.call(0); err != nil {
		t.Fatal(err)
	}
	left, right := p.left.e.peers.order[0].party, p.right.e.peers.order[0].members.list[0]
	for _, q := range []*party{left, right} {
		q.memory.portFailed(&q.main().net)
		q.main().net.doubtESP()
	}
	p.drive(time.Second / 2)
	p.left.handle(SetPeers{})
	p.drive(lingerDead + time.Second)
	for _, q := range []*party{left, right} {
		if len(q.sas) > 0 || q.memory.port.again.Running() || q.memory.trial.next.Running() {
			p.fatalf("%s: %d IKE SAs, timers run: %v, %v", q.cfg.Name, len(q.sas), q.memory.port.again.Running(), q.memory.trial.next.Running())
		}
	}
}

// Rekeyings by either side, and a new authentication, go on as ESP goes, and do not ask again.
func TestRekeyingKeepsTheCarriage(t *testing.T) {
	for _, raw := range []bool{false, true} {
		p := newPair(t, 1, func(p *testPair) { p.left.peers[0].AuthLifetime = 2 * time.Minute })
		if raw {
			p.eat(ipsec.NAT)
		}
		p.left.connect("")
		p.drive(5 * time.Second)
		p.wantEncap(!raw)
		changed := func() int { return p.left.count("encap-changed") + p.right.count("encap-changed") }
		before := changed()
		for _, s := range []*testSide{p.left, p.right} {
			for _, child := range []string{"lan", ""} {
				s.rekey(child)
				p.drive(7 * time.Second)
				p.wantEncap(!raw)
			}
		}
		was := p.left.main()
		p.drive(2 * time.Minute)
		if p.left.main() == was {
			p.fatalf("no new IKE SA")
		}
		p.wantEncap(!raw)
		if n := changed() - before; n > 0 {
			p.fatalf("ESP took the other way %d times", n)
		}
	}
}

// The pause before a carriage is tried again grows once for each time that it has ended, to a
// limit, and is short again after the carriage passed.
func TestSetback(t *testing.T) {
	var b setback
	if b.stands() || !b.tryable(epoch) {
		t.Errorf("at first %+v", b)
	}
	at, want := epoch, setbackLeast
	for range 12 {
		b.note(at, at)
		b.note(at.Add(want-1), at.Add(want-1)) // it is not over
		if b.pause != want || b.at != at || !b.stands() || b.tryable(at.Add(want-1)) || !b.tryable(at.Add(want)) {
			t.Fatalf("after %v: %+v, want a pause of %v", at.Sub(epoch), b, want)
		}
		at, want = at.Add(want), min(2*want, setbackMost)
	}
	if b.pause != setbackMost {
		t.Errorf("the longest pause is %v", b.pause)
	}
}

// ESP in UDP did not pass some times. After a steady time it fails again, and protocol 50 is used
// for no longer than after the first time; otherwise the pause goes on.
func TestSetbackAfterASteadyTime(t *testing.T) {
	for _, steady := range []time.Duration{0, steadyFor} {
		p := newPair(t, 1, nil)
		p.up2()
		open := p.link
		eat := func(via *ipsec.Transport) {
			p.link = func(pk *testPacket) []time.Duration {
				if pk.via == via && pk.esp != nil {
					return nil
				}
				return open(pk)
			}
		}
		for _, s := range p.sides() {
			m := &s.main().party.memory
			m.between(&s.main().net)
			m.esp[overUDP] = setback{last: p.now, at: p.now, pause: 10 * time.Minute}
		}
		p.flow(steady)
		eat(ipsec.NAT)
		p.flow(simUnheard + 5*time.Second)
		p.wantEncap(false)
		p.flow(setbackLeast)
		eat(ipsec.Raw)
		p.flow(simUnheard + 5*time.Second)
		for _, s := range p.sides() {
			if udp := s.main().net.Via() == ipsec.NAT; udp != (steady > 0) {
				p.fatalf("it passed for %v, and %s goes on with UDP: %v", steady, s.name, udp)
			}
		}
	}
}

// A steady time with protocol 50 in between does not count for UDP.
func TestSetbackAfterTheOtherPassed(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	open := p.link
	var raw bool
	p.link = func(pk *testPacket) []time.Duration {
		if pk.esp != nil && (raw || pk.via == ipsec.NAT) {
			return nil
		}
		return open(pk)
	}
	p.flow(simUnheard + 5*time.Second)
	p.wantEncap(false)
	p.flow(steadyFor)
	raw = true
	p.flow(simUnheard + 10*time.Second)
	if l, r := &p.left.main().party.memory.esp[overUDP], &p.right.main().party.memory.esp[overUDP]; max(l.pause, r.pause) != 2*setbackLeast {
		p.fatalf("the pauses are %v and %v", l.pause, r.pause)
	}
}

// A new IKE SA begins with the faster carriage unless only the other one is known to pass.
func TestChoice(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	n := &p.left.main().net
	m := &n.sa.party.memory
	m.between(n)
	for _, tt := range []struct {
		udp, ip, silent bool
		want            carriage
	}{
		{false, false, false, overUDP}, {true, false, false, overIP}, {false, true, false, overUDP}, {true, true, false, overUDP},
		{false, false, true, overIP}, {false, true, true, overUDP},
	} {
		m.esp = [carriages]setback{}
		if tt.udp {
			m.esp[overUDP].note(p.now, p.now)
		}
		if tt.ip {
			m.esp[overIP].note(p.now, p.now)
		}
		m.port.silent = tt.silent
		if got := m.choice(n); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	m.remote = nobody
	if m.choice(n) != faster {
		t.Error("what is remembered of another address counts")
	}
}

// A NAT port that was fine for long is asked again soon when it fails again.
func TestPortPauses(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	n := &p.left.main().net
	m := &n.sa.party.memory
	fail := func(want time.Duration) {
		t.Helper()
		p.left.act(func() { m.portFailed(n) })
		if m.port.pause != want || !m.port.silent || !m.port.again.Running() {
			t.Errorf("the pause is %v, want %v", m.port.pause, want)
		}
	}
	fail(udpAgain)
	p.now = p.now.Add(udpAgain - 1)
	fail(udpAgain)
	p.now = p.now.Add(1)
	fail(udpFactor * udpAgain)
	p.left.act(func() { m.portAnswers(n) })
	if m.port.silent || m.port.again.Running() {
		t.Error("the port that answers is asked again")
	}
	p.now = p.now.Add(udpAgainMost)
	fail(udpFactor * udpFactor * udpAgain)
	p.left.act(func() { m.portAnswers(n) })
	p.now = p.now.Add(udpAgainMost + 1)
	fail(udpAgain)
}

// ESP in UDP that did not pass is tried again after the longest pause.
func TestUDPAfterESPDidNotPass(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	link := p.link
	p.eatESPInUDP(p.left, p.right)
	p.flow(simUnheard + 8*time.Second)
	p.wantEncap(false)
	p.link = link
	p.drive(udpAgainMost - time.Minute)
	p.wantEncap(false)
	p.drive(2 * time.Minute)
	p.wantEncap(true)
}
