package pacing

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func at(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) }

// A crew is attempts of named peers on a Pacer.
type crew struct {
	*Pacer
	t      *testing.T
	turns  map[string]*Turn
	places map[string]*Place
	called []string
}

func newCrew(t *testing.T) *crew {
	return &crew{Pacer: New(), t: t, turns: map[string]*Turn{}, places: map[string]*Place{}}
}

// ask asks for a place, and begins the attempt if it may.
func (c *crew) ask(name string, host int, u Urgency) bool {
	turn := c.turns[name]
	if turn == nil {
		turn = &Turn{}
		turn.Called = func() { c.called = append(c.called, name) }
		c.turns[name] = turn
	}
	if !c.Ask(turn, at(host), u) {
		return false
	}
	c.places[name] = c.Begin(turn, at(host))
	return true
}

// many asks for n places to a host, and returns how many may begin.
func (c *crew) many(name string, n, host int, u Urgency) (begun int) {
	for i := range n {
		if c.ask(fmt.Sprint(name, i), host, u) {
			begun++
		}
	}
	return begun
}

// want checks who was called since the last time.
func (c *crew) want(what string, names ...string) {
	c.t.Helper()
	if !slices.Equal(c.called, names) {
		c.t.Errorf("%s: called are %v, want %v", what, c.called, names)
	}
	c.called = nil
}

// window returns how many attempts to a host may be under way.
func (c *crew) window(host int) int { return c.hosts[at(host)].window }

// TestTurns: four begin, the others wait in their order; what is awaited goes before, and has four
// places more.
func TestTurns(t *testing.T) {
	c := newCrew(t)
	if n := c.many("a", 6, 1, Unattended); n != 4 {
		t.Fatalf("%d begin at once", n)
	}
	if n := c.many("x", 6, 1, Awaited); n != 4 {
		t.Fatalf("%d that are awaited begin beside them", n)
	}
	c.places["a0"].End(false)
	c.want("the first has failed", "x4")
	c.ask("x4", 1, Awaited)
	for i, name := range []string{"a1", "a2", "a3", "x0", "x1", "x2"} {
		c.places[name].End(false)
		c.want(name+" has ended", [][]string{{"x5"}, nil, nil, nil, nil, {"a4"}}[i]...)
		if i == 0 {
			c.ask("x5", 1, Awaited)
		}
	}
	if c.ask("a5", 1, Unattended) || !c.ask("a4", 1, Unattended) {
		t.Error("one goes before another that was called")
	}
	c.places["x3"].End(false)
	c.want("there is room for the last", "a5")
	c.places["x3"].End(false)
	c.want("a second end says nothing")
}

// TestUrgencyChanges: a peer that is awaited now leaves the others behind; one that has another
// address waits there.
func TestUrgencyChanges(t *testing.T) {
	c := newCrew(t)
	c.many("a", 7, 1, Unattended)
	c.many("x", 4, 1, Awaited)
	c.ask("a6", 1, Awaited)
	c.places["a0"].End(false)
	c.want("a place", "a6")
	if !c.turns["a4"].Waiting() || c.turns["a6"].Waiting() || c.turns["a0"].Waiting() {
		t.Error("it waits though its turn has come, or does not")
	}
	if !c.ask("a5", 2, Unattended) {
		t.Error("there is no room at another host")
	}
	if c.ask("a4", 1, Unattended) || !c.ask("a6", 1, Unattended) {
		t.Error("what it was granted is gone because nothing waits any more")
	}
}

// TestBeginAgain: an attempt that gave its place back has another one where there is room, which is
// one as any other.
func TestBeginAgain(t *testing.T) {
	c := newCrew(t)
	c.many("a", 5, 1, Unattended)
	c.places["a0"].Unanswered()
	if c.want("one is late", "a4"); c.BeginAgain(at(1)) != nil {
		t.Error("it has a place where there is no room")
	}
	c.places["a1"].Unanswered()
	again := c.BeginAgain(at(1))
	if again == nil || !again.Held() || c.BeginAgain(at(1)) != nil {
		t.Fatal("one has room")
	}
	c.ask("a5", 1, Unattended)
	c.want("there is no room")
	again.End(true)
	c.want("it has ended", "a5")

	c = newCrew(t)
	for i := range inAll {
		c.ask(fmt.Sprint("b", i), i, Unattended)
	}
	if hosts := len(c.hosts); c.BeginAgain(at(inAll)) != nil || len(c.hosts) != hosts {
		t.Error("it has a place beyond those of all hosts")
	}
	c.places["b0"].Unanswered()
	if again := c.BeginAgain(at(inAll)); again == nil || c.BeginAgain(at(inAll)) != nil {
		t.Error("all hosts have one place")
	}
}

// TestLeave: who has no need any more leaves the row, or gives the place to the next.
func TestLeave(t *testing.T) {
	c := newCrew(t)
	c.many("a", 7, 1, Unattended)
	c.Leave(c.turns["a4"])
	c.Leave(c.turns["a4"])
	c.places["a0"].End(false)
	c.want("the next", "a5")
	c.Leave(c.turns["a5"])
	c.want("the one behind it", "a6")
	c.Leave(c.turns["a6"])
	for _, name := range []string{"a1", "a2", "a3"} {
		c.places[name].End(false)
	}
	if c.Leave(c.turns["a0"]); !c.Idle() {
		t.Errorf("left over: %+v", c.Pacer)
	}
}

// TestBeyondTheWindow: what cannot wait begins without a turn, and counts.
func TestBeyondTheWindow(t *testing.T) {
	c := newCrew(t)
	var none Turn
	var list []*Place
	for range 5 {
		list = append(list, c.Begin(&none, at(1)))
	}
	if c.ask("a", 1, Unattended) || c.Idle() {
		t.Error("one begins beside five")
	}
	list[0].End(false)
	c.want("four are left")
	list[1].End(false)
	c.want("three are left", "a")
	list[2].End(false)
	list[3].End(false)
	other := c.Begin(c.turns["a"], at(2)) // not where it was granted
	if c.hosts[at(1)].under != 2 || c.hosts[at(2)].under != 1 {
		t.Errorf("%d and %d are under way", c.hosts[at(1)].under, c.hosts[at(2)].under)
	}
	other.End(true)
	c.Leave(c.turns["a"])
	if list[4].Held() == list[3].Held() {
		t.Error("an attempt under way has no place, or one that has ended")
	}
	if list[4].End(true); !c.Idle() {
		t.Errorf("left over: %+v", c.Pacer)
	}
}

// round ends all attempts to a host, and begins as many as may be.
func (c *crew) round(host int, end func(i int, a *Place)) {
	list := slices.Clone(c.hosts[at(host)].order)
	var none Turn
	keep := c.Begin(&none, at(host)) // or the host is forgotten
	for i, a := range list {
		end(i, a)
	}
	for c.room(Unattended) && c.hosts[at(host)].under <= c.window(host) {
		c.Begin(&none, at(host))
	}
	keep.End(false)
}

// TestWindow: it doubles in each round, is halved once for a round of which several were not
// answered, and grows by one in each from there on.
func TestWindow(t *testing.T) {
	c := newCrew(t)
	var none Turn
	for range least {
		c.Begin(&none, at(1))
	}
	well := func(_ int, a *Place) { a.End(true) }
	for _, step := range []struct {
		what string
		end  func(i int, a *Place)
		want int
	}{
		{"all is well", well, 8},
		{"still", well, 16},
		{"all are refused", func(_ int, a *Place) { a.End(false) }, 16},
		{"cookies are demanded", func(_ int, a *Place) { a.CookieWanted(); a.End(true) }, 16},
		{"still", well, 32},
		{"still", well, 48},
		{"still", well, 48},
		{"three are not answered", func(i int, a *Place) {
			if i < 3 {
				a.Unanswered()
				a.Unanswered()
			}
			a.End(true)
		}, 25}, // and one more for those that were
		{"all is well", well, 26},
		{"nobody answers", func(_ int, a *Place) { a.Unanswered() }, 13},
		{"still", func(_ int, a *Place) { a.Unanswered() }, 6},
		{"still", func(_ int, a *Place) { a.Unanswered() }, 4},
		{"still", func(_ int, a *Place) { a.Unanswered(); a.End(true) }, 4},
		{"all is well", well, 5},
	} {
		if c.round(1, step.end); c.window(1) != step.want {
			t.Errorf("%s: the window is %d, want %d", step.what, c.window(1), step.want)
		}
	}
}

// TestOvertaken: while the first has no answer the window stays as it is, from the ninth on that
// has overtaken it.
func TestOvertaken(t *testing.T) {
	c := newCrew(t)
	var none Turn
	first := c.Begin(&none, at(1))
	for i := range 20 {
		a := c.Begin(&none, at(1))
		if a.End(true); c.window(1) != least+min(i+1, disorder) {
			t.Fatalf("the window is %d after %d", c.window(1), i+1)
		}
	}
	keep := c.Begin(&none, at(1))
	if first.End(true); c.window(1) != least+disorder+1 {
		t.Errorf("the window is %d with the first", c.window(1))
	}
	if keep.End(true); !c.Idle() {
		t.Errorf("left over: %+v", c.Pacer)
	}
}

// TestAllHosts: 256 to all hosts together, and 64 more that are awaited; a place goes to each host
// in turn.
func TestAllHosts(t *testing.T) {
	c := newCrew(t)
	n, x := 0, 0
	for host := range 100 {
		n += c.many(fmt.Sprint("a", host, "-"), 4, host, Unattended)
	}
	for host := range 100 {
		x += c.many(fmt.Sprint("x", host, "-"), 1, host, Awaited)
	}
	if n != 256 || x != 64 {
		t.Fatalf("%d begin, and %d that are awaited", n, x)
	}
	for i := range 36 {
		c.places[fmt.Sprintf("a%d-0", i)].End(true)
		c.want("a place", fmt.Sprintf("x%d-0", 64+i))
		c.places[fmt.Sprint("x", 64+i, "-0")] = c.Begin(c.turns[fmt.Sprint("x", 64+i, "-0")], at(64+i))
	}
	for i := range 64 {
		c.places[fmt.Sprintf("x%d-0", i)].End(true)
		c.want("none for the others")
	}
	for i := range 4 {
		c.places[fmt.Sprintf("x%d-0", 64+i)].End(true)
		c.want("a place", fmt.Sprintf("a%d-0", 64+i))
	}
}

// TestAnyOrder has 40 peers of five hosts ask, begin, end and leave in random orders. Nothing waits
// while there is room, no window is exceeded, and nothing is left over.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := newCrew(t)
		for range 400 {
			name := fmt.Sprint(random.IntN(40))
			switch a := c.places[name]; {
			case a == nil && random.IntN(4) > 0:
				if c.ask(name, random.IntN(5), Urgency(random.IntN(2))); c.turns[name].Waiting() {
					c.places[name] = nil
				}
			case a == nil && c.turns[name] != nil:
				c.Leave(c.turns[name])
			case a != nil && random.IntN(8) == 0:
				a.Unanswered()
			case a != nil:
				a.End(random.IntN(4) > 0)
				delete(c.places, name)
			}
			for _, name := range slices.Compact(slices.Sorted(slices.Values(c.called))) {
				if turn := c.turns[name]; turn.host != nil && random.IntN(4) > 0 {
					c.places[name] = c.Begin(turn, turn.host.addr)
				} else {
					c.Leave(turn)
				}
			}
			c.called = nil
			c.check(seed)
		}
		for name, turn := range c.turns {
			c.Leave(turn)
			if a := c.places[name]; a != nil {
				a.End(true)
			}
		}
		for c.called != nil {
			list := c.called
			c.called = nil
			for _, name := range list {
				c.Leave(c.turns[name])
			}
		}
		if !c.Idle() || c.under != 0 {
			t.Fatalf("seed %d: left over: %+v", seed, c.Pacer)
		}
	}
}

// check compares what the Pacer counts with what there is.
func (c *crew) check(seed uint64) {
	c.t.Helper()
	held := map[netip.Addr]int{}
	for _, a := range c.places {
		if a != nil && a.Held() {
			held[a.host.addr]++
		}
	}
	for _, turn := range c.turns {
		if turn.granted {
			held[turn.host.addr]++
		}
	}
	sum := 0
	for addr, h := range c.hosts {
		sum += h.under
		if h.under != held[addr] || h.window < least || h.window > most {
			c.t.Fatalf("seed %d: %v counts %d under way, and there are %d; the window is %d", seed, addr, h.under, held[addr], h.window)
		}
		if h.under < h.window && h.waiting[Unattended].Len() > 0 || h.under < h.window+moreOne && h.waiting[Awaited].Len() > 0 {
			c.t.Fatalf("seed %d: one waits for %v, and there is room", seed, addr)
		}
		if h.under == 0 && h.waiting[0].Len()+h.waiting[1].Len() == 0 {
			c.t.Fatalf("seed %d: %v is not forgotten", seed, addr)
		}
	}
	if sum != c.under {
		c.t.Fatalf("seed %d: %d are under way, and %d are counted", seed, sum, c.under)
	}
}

// TestSilentHost: attempts to a host that never answers are forgotten when they give their places
// back, although others wait for it without an end.
func TestSilentHost(t *testing.T) {
	c := newCrew(t)
	c.many("a", 1000, 1, Unattended)
	h := c.hosts[at(1)]
	for range 900 {
		h.order[0].Unanswered()
		for _, name := range c.called {
			c.places[name] = c.Begin(c.turns[name], at(1))
		}
		c.called = nil
		if len(h.order) != least {
			t.Fatalf("%d attempts are known, want the %d under way", len(h.order), least)
		}
	}
}
