package liveness

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000_000, 0)

// owner plays the IKE SA around a Monitor and the dataplane, by a script. It looks at the Monitor
// when Next says, and notes what happens.
type owner struct {
	t       *testing.T
	m       Monitor[string]
	rules   Rules
	now     time.Time
	timer   time.Time
	packets map[string]Traffic // what the dataplane has seen
	seen    map[string]Traffic // what it has reported
	mute    map[string]bool    // Child SAs for which it does not answer
	log     []string
}

func (o *owner) traffic() iter.Seq[Traffic] { return maps.Values(o.seen) }

// note adds an event to the log.
func (o *owner) note(format string, args ...any) {
	o.log = append(o.log, fmt.Sprintf("%v ", o.now.Sub(epoch))+fmt.Sprintf(format, args...))
}

// advance lets time pass, with the looks that are due meanwhile.
func (o *owner) advance(to time.Time) {
	for n := 0; !o.timer.IsZero() && o.timer.Before(to); n++ {
		if n > 100 {
			o.t.Fatalf("looks without end at %v", o.timer.Sub(epoch))
		}
		o.now, o.timer = o.timer, time.Time{}
		o.note("look")
		var decide bool
		if o.timer, decide = o.m.Ask(o.now, maps.Keys(o.packets)); decide {
			o.decide()
		}
		for id := range o.packets {
			if !o.mute[id] {
				o.answer(id)
			}
		}
	}
	o.now = to
}

func (o *owner) answer(id string) {
	o.seen[id] = o.packets[id]
	if o.m.Answered(id) {
		o.decide()
	}
}

func (o *owner) decide() {
	for _, d := range o.m.Due(o.now, o.rules, o.traffic()) {
		o.note("due: %v", d)
	}
	o.next()
}

func (o *owner) next() { o.timer = o.m.Next(o.now, o.rules, o.traffic()) }

// do carries out one event of a script.
func (o *owner) do(verb, id string) {
	packet := o.packets[id]
	switch verb {
	case "received":
		o.m.Received(o.now)
	case "sent":
		o.m.Sent(o.now)
	case "start":
		o.m.Received(o.now)
		o.next()
	case "told":
		o.m.Told(o.now)
		o.next()
	case "hinted":
		o.note("probe: %v", o.m.Hinted(o.now))
	case "doubted":
		o.note("doubted: %v", o.m.Doubted())
	case "silent":
		o.note("silent: %v", o.m.Silent(o.now, o.rules, o.traffic()))
	case "in":
		packet.In = o.now
		o.packets[id] = packet
	case "out":
		packet.Out = o.now
		o.packets[id] = packet
	case "mute":
		o.mute[id] = true
	case "answer":
		o.answer(id)
	case "gone":
		delete(o.packets, id)
		delete(o.seen, id)
	case "NAT":
		o.rules.KeepMapping = true
	case "end":
	default:
		o.t.Fatalf("unknown event %q", verb)
	}
}

// TestDialogues plays scripts. On the left stands what happens and when; on the right what the
// owner notes from there on.
func TestDialogues(t *testing.T) {
	const dpd = 30 * time.Second
	for name, tt := range map[string]struct {
		rules  Rules
		script string
	}{
		"an idle peer is looked at, and left in peace": {Rules{DPD: dpd}, `
			0s start      | 30s look, 1m0s look, 1m30s look
			91s end`},
		"a message puts the next look off": {Rules{DPD: dpd}, `
			0s start
			10s received  | 30s look, 40s look
			41s received  | 1m10s look, 1m11s look
			72s end`},
		"a peer that is sent to and not heard is probed": {Rules{DPD: dpd}, `
			0s start
			1s out a      | 30s look, 30s due: probe
			31s received  | 1m0s look, 1m1s look
			62s out a     | 1m31s look, 1m31s due: probe
			92s end`},
		"silence takes the whole interval": {Rules{DPD: dpd}, `
			0s start
			29s out a
			29s answer a
			29s silent    | 29s silent: false, 30s look, 30s due: probe
			31s silent    | 31s silent: true
			31s received
			31s silent    | 31s silent: false
			32s end`},
		"what is received by ESP is heard as well": {Rules{DPD: dpd}, `
			0s start
			20s in a
			21s out a
			22s in b      | 30s look, 52s look
			53s in a
			53s out b     | 1m22s look, 1m23s look
			90s out b
			91s in a      | 1m53s look, 2m1s look
			122s out a    | 2m31s look, 2m31s due: probe
			152s end`},
		"of two Child SAs one is heard last, another sent on last": {Rules{DPD: dpd}, `
			0s start
			5s out b
			9s out a
			10s in b      | 30s look, 40s look
			41s end`},
		"a peer that must be heard also while idle": {Rules{DPD: dpd, Idle: true}, `
			0s start      | 30s look, 30s due: probe
			31s received
			59s silent    | 59s silent: false, 1m0s look, 1m1s look, 1m1s due: probe
			62s received
			63s in a
			93s end       | 1m31s look`},
		"without DPD nothing is looked at": {Rules{}, `
			0s start
			1s out a
			1s answer a
			500s silent   | 8m20s silent: false
			501s end`},
		"a NAT's mapping is kept": {Rules{KeepMapping: true}, `
			0s sent
			0s start      | 20s look, 20s due: keepalive, 40s look, 40s due: keepalive
			45s sent      | 1m0s look, 1m5s look, 1m5s due: keepalive
			70s out a     | 1m25s look, 1m30s look, 1m30s due: keepalive
			91s end`},
		"a keepalive does not put off the probe": {Rules{DPD: dpd, KeepMapping: true}, `
			0s sent
			0s start
			1s out a      | 20s look, 21s look, 21s due: keepalive, 30s look, 30s due: probe
			31s received  | 41s look, 41s due: keepalive, 1m1s look, 1m1s due: keepalive
			62s end`},
		"both at once": {Rules{DPD: 20 * time.Second, KeepMapping: true}, `
			0s sent
			0s start
			0s out a      | 20s look, 20s due: keepalive
			21s end`},
		"both at once, with traffic": {Rules{DPD: 21 * time.Second, KeepMapping: true}, `
			0s sent
			0s start
			1s out a      | 20s look, 21s look, 21s due: keepalive, 21s due: probe
			22s end`},
		"a dataplane that does not answer is asked again": {Rules{DPD: dpd}, `
			0s start
			1s out a
			1s out b
			2s mute b     | 30s look, 50s look
			51s gone b    | 1m10s look, 1m10s due: probe
			71s end`},
		"late answers": {Rules{DPD: dpd}, `
			0s start
			1s out a
			1s mute a
			1s out b
			1s mute b     | 30s look
			31s answer a
			31s answer a
			32s answer b  | 32s due: probe
			33s answer b
			61s end`},
		"an answer to the look before does not count": {Rules{DPD: dpd}, `
			0s start
			1s out a
			1s mute a
			1s out b
			1s mute b     | 30s look
			31s answer a  | 50s look
			51s answer b
			52s answer a  | 52s due: probe
			53s end`},
		"hints have a rate": {Rules{}, `
			0s hinted     | 0s probe: true
			0s doubted    | 0s doubted: true
			1s received
			1s doubted    | 1s doubted: false
			9999ms hinted | 9.999s probe: false
			9999ms doubted | 9.999s doubted: false
			10s hinted    | 10s probe: true
			10s doubted   | 10s doubted: true
			15s hinted    | 15s probe: false
			15s sent
			15s doubted   | 15s doubted: true
			20s hinted    | 20s probe: true
			21s end`},
		"a peer that follows us": {Rules{Replaceable: true}, `
			0s in a
			9s out a
			10s told
			11500ms out a
			11900ms in a  | 12s look
			100s end`},
		"a peer that does not": {Rules{Replaceable: true}, `
			5s in a
			9s out a
			10s told
			11500ms out a | 12s look, 12s due: give up
			100s end`},
		"a peer that does not follow with one of two": {Rules{Replaceable: true}, `
			5s in a
			5s in b
			10s told
			11500ms out a
			11500ms in b  | 12s look
			100s end`},
		"a peer that cannot be reconnected to is kept": {Rules{}, `
			5s in a
			10s told
			11500ms out a | 12s look
			100s end`},
		"it sent nothing recently": {Rules{Replaceable: true}, `
			0s in a
			10s told
			11500ms out a | 12s look
			100s end`},
		"it sent something just recently enough": {Rules{Replaceable: true}, `
			1ms in a
			10s told
			11500ms out a | 12s look, 12s due: give up
			100s end`},
		"we send nothing long after it was told": {Rules{Replaceable: true}, `
			5s in a
			10s told
			11s out a     | 12s look
			100s end`},
		"one sends and another receives": {Rules{Replaceable: true}, `
			5s in a
			10s told
			11500ms out b | 12s look
			100s end`},
		"told with DPD": {Rules{DPD: dpd, Replaceable: true}, `
			0s start
			10s told      | 12s look, 30s look
			31s told      | 33s look
			34s end`},
		"a look is due before the proof": {Rules{DPD: dpd, Replaceable: true}, `
			0s start
			20s in a
			29s told
			30500ms out a
			30500ms answer a
			30600ms mute a | 30s look, 31s look
			32s answer a  | 32s due: give up
			33s end`},
		"a NAT appears while a look is late": {Rules{DPD: dpd}, `
			0s sent
			0s start      | 30s look
			31s NAT       | 1m0s look, 1m0s due: keepalive
			61s end`},
	} {
		o := &owner{t: t, rules: tt.rules, packets: map[string]Traffic{}, seen: map[string]Traffic{}, mute: map[string]bool{}}
		var wants []string
		for line := range strings.Lines(strings.TrimSpace(tt.script)) {
			event, want, _ := strings.Cut(line, "|")
			fields := append(strings.Fields(event), "")
			at, err := time.ParseDuration(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			o.advance(epoch.Add(at))
			o.do(fields[1], fields[2])
			if want = strings.TrimSpace(want); want != "" {
				wants = append(wants, want)
			}
		}
		if got, want := strings.Join(o.log, ", "), strings.Join(wants, ", "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

// A successor in a rekeying goes on where its predecessor was. It is not doubted for a message
// about another IKE SA, and its own hints are not limited by it.
func TestInherit(t *testing.T) {
	var old, m Monitor[string]
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	old.Received(at(10))
	old.Sent(at(20))
	old.Hinted(at(30))
	old.Told(at(30))
	m.Inherit(&old)
	none := maps.Values(map[string]Traffic{})
	if got := m.Next(at(31), Rules{DPD: time.Minute}, none); got != at(70) {
		t.Errorf("the next look is at %v", got.Sub(epoch))
	}
	if got := m.Next(at(31), Rules{KeepMapping: true}, none); got != at(40) {
		t.Errorf("the next keepalive is at %v", got.Sub(epoch))
	}
	if m.Doubted() || !m.Hinted(at(31)) {
		t.Error("the doubt is inherited")
	}
	if got := m.Next(at(31), Rules{}, none); !got.IsZero() {
		t.Errorf("the proof is inherited, by %v", got.Sub(epoch))
	}
}

// What may have left by another port is traffic, and keeps no mapping.
func TestOtherPorts(t *testing.T) {
	var m Monitor[string]
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	m.Received(at(0))
	m.Sent(at(0))
	for _, other := range []bool{false, true} {
		seen := maps.Values(map[string]Traffic{"": {Out: at(15), OtherPorts: other}})
		want := map[bool]int{false: 35, true: 20}[other]
		if got := m.Next(at(15), Rules{KeepMapping: true}, seen); got != at(want) {
			t.Errorf("OtherPorts %t: the next keepalive is at %v, want %ds", other, got.Sub(epoch), want)
		}
		if !m.Silent(at(30), Rules{DPD: 30 * time.Second}, seen) {
			t.Errorf("OtherPorts %t: it is not traffic", other)
		}
	}
}

// TestAgainstSearch compares Next, Silent and what is due with answers found by looking through
// every second and every event.
func TestAgainstSearch(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 3))
		var m Monitor[int]
		s := search{told: -1}
		rules := Rules{DPD: time.Duration(r.IntN(3)*15) * time.Second, Idle: r.IntN(3) == 0, KeepMapping: r.IntN(2) == 0, Replaceable: r.IntN(2) == 0}
		children := make([]Traffic, r.IntN(4))
		for at := 0; at < 60; at += r.IntN(4) {
			now := epoch.Add(time.Duration(at) * time.Second)
			if at < 2 { // an IKE SA has been heard and sent to
				m.Received(now)
				m.Sent(now)
				s.received, s.sent = append(s.received, at), append(s.sent, at)
			}
			switch r.IntN(10) {
			case 0:
				m.Received(now)
				s.received = append(s.received, at)
			case 1:
				m.Sent(now)
				s.sent = append(s.sent, at)
			case 2:
				m.Told(now)
				s.told = at
			case 3, 4, 5, 6:
				if len(children) == 0 {
					continue
				}
				if c := &children[r.IntN(len(children))]; r.IntN(2) == 0 {
					c.In = now
				} else {
					c.Out = now
				}
			}
			seen := slices.Values(children)
			want := fmt.Sprint(s.silent(at, rules, children), " ", s.due(at, rules, children), " ", s.next(at, rules, children))
			got := fmt.Sprint(m.Silent(now, rules, seen), " ", m.Due(now, rules, seen), " ", seconds(m.Next(now, rules, seen)))
			if got != want {
				t.Fatalf("seed %d, second %d, %+v: got %s, want %s", seed, at, rules, got, want)
			}
		}
	}
}

// search is the slow Monitor: all that happened, by the second.
type search struct {
	received, sent []int
	told           int // -1: no proof is awaited
}

// seconds returns a moment in seconds since the epoch; -1: it is zero.
func seconds(at time.Time) int {
	if at.IsZero() {
		return -1
	}
	return int(at.Sub(epoch) / time.Second)
}

// heard and wrote return every second in which something was received or sent.
func (s *search) heard(children []Traffic) []int {
	list := slices.Clone(s.received)
	for _, c := range children {
		list = append(list, seconds(c.In))
	}
	return list
}

func (s *search) wrote(children []Traffic) []int {
	list := slices.Clone(s.sent)
	for _, c := range children {
		list = append(list, seconds(c.Out))
	}
	return list
}

func (s *search) silent(at int, r Rules, children []Traffic) bool {
	last := slices.Max(s.heard(children))
	unanswered := slices.ContainsFunc(children, func(c Traffic) bool { return seconds(c.Out) > last })
	return r.DPD > 0 && (unanswered || r.Idle) && at >= last+seconds(epoch.Add(r.DPD))
}

func (s *search) due(at int, r Rules, children []Traffic) []Due {
	var due []Due
	if told := s.told; told >= 0 && at >= told+2 {
		s.told = -1
		stopped := func(c Traffic) bool {
			return seconds(c.Out) >= told+2 && !c.In.IsZero() && seconds(c.In) > told-10
		}
		if r.Replaceable && slices.ContainsFunc(children, stopped) && !slices.ContainsFunc(children, func(c Traffic) bool { return seconds(c.In) > told }) {
			return []Due{GiveUp}
		}
	}
	if r.KeepMapping && at >= slices.Max(s.wrote(children))+20 {
		s.sent = append(s.sent, at)
		due = append(due, Keepalive)
	}
	if s.silent(at, r, children) {
		due = append(due, Probe)
	}
	return due
}

// next tries one second after another.
func (s *search) next(now int, r Rules, children []Traffic) int {
	dpd := int(r.DPD / time.Second)
	for at := range 200 {
		switch {
		case dpd > 0 && at > now && at == slices.Max(s.heard(children))+dpd,
			dpd > 0 && at == now+dpd,
			s.told >= 0 && at == s.told+2,
			r.KeepMapping && at == slices.Max(s.wrote(children))+20:
			return at
		}
	}
	return -1
}

// A response proves that the peer has the IKE SA if its request was sent after the hint, or if it
// comes so late that it was sent after it.
func TestResponseAfterAHint(t *testing.T) {
	for _, c := range []struct {
		asked, answered time.Duration // after the hint
		proves          bool
	}{
		{-time.Millisecond, underWay - 1, false},
		{-time.Millisecond, underWay, true},
		{0, time.Millisecond, true},
	} {
		var m Monitor[string]
		m.Hinted(epoch)
		if got := m.Responded(epoch.Add(c.answered), epoch.Add(c.asked)); got != c.proves || m.Doubted() == c.proves {
			t.Errorf("%+v: %v, doubted %v", c, got, m.Doubted())
		}
		if got := m.Vouched(epoch.Add(HintInterval - 1)); got != c.proves {
			t.Errorf("%+v: vouched for: %v", c, got)
		}
		if m.Vouched(epoch.Add(HintInterval)) {
			t.Errorf("%+v: vouched for after the interval", c)
		}
	}
}
