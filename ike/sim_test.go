package ike

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

var (
	simSeeds = flag.Int("ike.seeds", 500, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("ike.seed", 0, "the one seed that the simulation runs; 0: see -ike.seeds")
	simStep  = flag.Uint64("ike.step", 1, "the difference between two seeds")
	simFirst = flag.Uint64("ike.first", 1, "the first seed")
	simLines = flag.Int("ike.lines", 120, "how many lines of the transcript a failing seed prints")
	simWhat  = flag.String("ike.what", "", "only lives whose description has this word")
	simTimes = flag.Int("ike.phases", 0, "how many times of trouble each life has; 0: one or two")
)

// TestSimulation runs the whole lives of tunnels, one for each seed. A failing seed prints itself
// and the end of its transcript, and fails again when run alone:
//
//	go test ./ike -run TestSimulation -ike.seed=S
func TestSimulation(t *testing.T) {
	first, count := *simFirst, *simSeeds
	if *simSeed != 0 {
		first, count = *simSeed, 1
	}
	if testing.Short() && *simSeed == 0 {
		count = min(count, 100)
	}
	var hours float64
	lives, failed, hints, hinted, changed, hosts, obstacles := 0, 0, map[string]int{}, 0, 0, 0, map[string]int{}
	for seed := first; seed < first+uint64(count)**simStep; seed += *simStep {
		s := newSimulation(t, seed)
		if !strings.Contains(s.what, *simWhat) {
			continue
		}
		lives++
		err := s.survive()
		hours += s.p.now.Sub(epoch).Hours() * float64(s.parties())
		s.obstacles.addTo(obstacles)
		hosts += s.p.hosts
		for _, side := range s.p.sides() {
			changed += side.count("encap-changed")
		}
		if s.hints.addTo(hints) {
			hinted++
		}
		if err != nil {
			failed++
			t.Errorf("seed %d (%s): %v\n%s", seed, s.what, err, s.p.transcript(*simLines))
		}
		if failed == 3 {
			t.Fatalf("stopped after %d seeds: too many fail", (seed-first) / *simStep + 1)
		}
	}
	t.Logf("%d seeds, %.0f simulated tunnel-hours; after hints in %d seeds tunnels worked again: %v; obstacles: %v; ESP took the other way %d times, and %d Child SAs were in transport mode", lives, hours, hinted, hints, obstacles, changed, hosts)
	if lives >= 100 && (hinted == 0 || changed == 0 || hosts == 0) {
		t.Error("no seed had a hint, ESP that took the other way, or transport mode")
	}
	if lives >= 100 && (obstacles["unsent"] == 0 || obstacles["port unreachable"] == 0 || obstacles["forged"] == 0) {
		t.Errorf("obstacles were reported too rarely: %v", obstacles)
	}
}

// simulation is one random life of a tunnel.
type simulation struct {
	p    *testPair
	rand *rand.Rand
	more *rand.Rand // for what was added later, so that the others' draws of a seed stay
	what string
	// calm: the link may delay, reorder and duplicate, but loses nothing, and nobody crashes: no
	// packet may be lost.
	calm    bool
	tunnels []*simTunnel
	// calmSince is when something last happened that may interrupt traffic.
	calmSince time.Time
	// resources is how many workers the dataplanes have; 0: nothing is said of them (RFC 9611).
	resources int
	parts     int // more Child SAs at rest than one each, where each pair of networks has its own
	link      simLink
	bursting  bool
	roams     bool       // addresses are the system's to choose, and change
	sixes     bool       // over IPv6
	either    bool       // sides have certificates and secrets, and reloads choose
	leaving   bool       // the sides shut down
	deaf      bool       // one side does not answer rekeyings
	entries   bool       // each side has two for the other
	childless *rand.Rand // of who begins IKE SAs without a Child SA
	alone     bool       // only the Child SA of IKE_AUTH can come up
	group     *simGroup  // left has several peers for the same networks
	holds     []*simDown // what operators hold down
	differing int        // settings of both sides that only one has yet
	hints     simHints
	obstacles *simObstacles // nil: nobody reports any
}

// simLink is what the link does at random.
type simLink struct {
	delay, jitter      time.Duration
	drop, dup, corrupt float64
	partition          time.Time // all is lost until then
	eats               simEats
}

func newSimulation(t testing.TB, seed uint64) *simulation {
	s := &simulation{rand: rand.New(seededRand(seed, "simulation")), more: rand.New(seededRand(seed, "more")), hints: newSimHints()}
	s.childless = rand.New(seededRand(seed, "childless"))
	s.calm = seed%3 == 0
	if seed%simGroupEvery == 0 {
		newGroupSimulation(t, s, seed)
		s.addObstacles()
		return s
	}
	s.p = newPair(t, seed, s.configure)
	s.listTunnels()
	s.calmSince = s.p.now
	s.p.before, s.p.after = s.sign, s.watch
	s.p.events.add(s.p.now, s.pulse)
	s.addObstacles()
	return s
}

func (s *simulation) chance(p float64) bool { return s.rand.Float64() < p }

// between is a random duration.
func (s *simulation) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rand.Int64N(int64(most-least)+1))
}

// survive is run, with a panic as an error.
func (s *simulation) survive() (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("panic: %v\n%s", why, debug.Stack())
		}
	}()
	return s.run()
}

// run is the life: times of trouble, each followed by a time in which all must become well again.
func (s *simulation) run() error {
	if s.group != nil {
		return s.group.run()
	}
	for range s.phases() {
		s.trouble()
		if err := s.heal(); err != nil {
			return err
		}
	}
	return s.farewell()
}

// phases is how many times of trouble there are.
func (s *simulation) phases() int {
	switch {
	case *simTimes > 0:
		return *simTimes
	case s.calm:
		return 1
	}
	return 2
}

// watch is called after each Handle. It checks bounds that always hold, and sends traffic at the
// moments that matter.
func (s *simulation) watch(of *testSide) {
	p := s.p
	if n := len(of.plane.sas); n > 6*(len(s.tunnels)+s.parts)+20+s.mostResourceSAs() {
		p.violated("%s has %d Child SAs installed", of.name, n)
	}
	if n := len(of.plane.allocated); n > 2*len(s.tunnels)*(1+s.resources)+10 {
		p.violated("%s holds %d SPIs that are not installed", of.name, n)
	}
	if of.handled%8 == 0 { // each time takes long
		if what := of.unexplained(); what != "" {
			p.violated("%s is not up, and no reason says why", what)
		}
	}
	s.wantHeld(of)
	s.signOfCall(of)
	s.spendOnCall(of)
	if what := of.wantAddrTable(); what != "" {
		p.violated("%s", what)
	}
	if len(of.resolves) > 0 {
		s.answerResolve(of)
	}
	if n := len(of.e.sas.bySPI); n > 40 {
		p.violated("%s has %d IKE SAs", of.name, n)
	}
	if s.bursting {
		return
	}
	// Not in the middle of what is going on, but at the same moment.
	s.bursting = true
	p.events.add(p.now, func() {
		s.bursting = false
		if s.group != nil {
			s.group.burst()
		} else {
			s.burst()
		}
	})
}

// mostResourceSAs is the limit of a side's SAs for single workers, including rekeyed ones.
func (s *simulation) mostResourceSAs() int {
	if s.resources == 0 {
		return 0
	}
	return len(s.tunnels) * 3 * max(2*s.resources, leastResourceSAs)
}

// worker is one of the workers.
func (s *simulation) worker() int {
	if s.resources == 0 {
		return 1
	}
	return 1 + s.rand.IntN(s.resources)
}

// burst sends a packet each way on every tunnel that is up.
func (s *simulation) burst() {
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			e := &tu.ends[i]
			if id := e.policy(); id != 0 && e.side.e != nil && e.side.plane.sender(id, 1) != nil {
				e.send(s.worker())
			} else if e.side.e != nil && s.calm && e.side.plane.pairs[e.name] > 0 {
				s.p.violated("%s has no SA for %s, which was up", e.side.name, e.name.Child)
			}
		}
	}
}

// heal ends all trouble, and waits until both sides agree and everything is up.
func (s *simulation) heal() error {
	p := s.p
	s.link.drop, s.link.corrupt, s.link.dup, s.link.partition = 0, 0, 0, time.Time{}
	s.eat(simEats{})
	for _, side := range []*testSide{p.left, p.right} {
		if side.e == nil {
			side.start()
		}
	}
	p.note("--- the trouble is over")
	s.upset()
	s.settleNames()
	var why string
	calmFor := 0
	for i := range 8 * 60 {
		if i%45 == 0 {
			s.connectUnwanted()
		}
		for _, tu := range s.tunnels {
			tu.ends[0].send(s.worker())
			tu.ends[1].send(s.worker())
		}
		p.drive(time.Second)
		if err := s.sound(); err != nil {
			return err
		}
		if why = s.unrest(); why != "" {
			calmFor = 0
		} else if calmFor++; calmFor == 3 {
			return s.flows()
		}
	}
	return fmt.Errorf("8 minutes after the trouble: %s", why)
}

// flows checks that packets of every child go through, both ways.
func (s *simulation) flows() error {
	before := len(s.p.lost)
	sent := s.p.sentData
	s.burst()
	want := 2 * len(s.tunnels)
	if got := s.p.sentData - sent; got != want {
		return fmt.Errorf("%d of %d policies can send", got, want)
	}
	s.p.drive(2 * time.Second)
	if n := len(s.p.lost) - before; n > 0 {
		return fmt.Errorf("at rest, %d packets are lost, the last: %s", n, s.p.lost[len(s.p.lost)-1].why)
	}
	return s.sound()
}

// farewell shuts one side down, and then the other: nothing may stay.
func (s *simulation) farewell() error {
	s.leaving = true
	first := s.p.left
	if s.chance(0.5) {
		first = s.p.right
	}
	for _, side := range []*testSide{first, first.other()} {
		s.calm = false // packets to one that left may be lost
		side.handle(Shutdown{})
		s.p.drive(3 * time.Minute)
		if !side.stopped {
			return fmt.Errorf("%s does not end after Shutdown", side.name)
		}
		if left := side.leftovers(); left != "" {
			return fmt.Errorf("after Shutdown %s", left)
		}
	}
	return s.sound()
}

// leftovers says what an engine holds that it should not when all is over.
func (s *testSide) leftovers() string {
	for _, n := range []struct {
		count int
		what  string
	}{
		{len(s.plane.sas), "Child SAs"}, {len(s.plane.allocated), "SPIs"}, {len(s.e.sas.bySPI), "IKE SAs"},
		{len(s.e.sas.halfOpen.bySPI), "half-open IKE SAs"}, {s.e.sas.halfOpen.Count(), "half-open IKE SAs in the account"},
		{s.e.pairs.Len(), "pairs in the engine"}, {len(s.e.jobs.waiting), "computations"},
	} {
		if n.count != 0 {
			return fmt.Sprintf("%s has %d %s left", s.name, n.count, n.what)
		}
	}
	return ""
}

// sound says what rule was broken, if any.
func (s *simulation) sound() error {
	p := s.p
	if len(p.broken) > 0 {
		return fmt.Errorf("%d invariants do not hold:\n%s", len(p.broken), strings.Join(p.broken[:min(5, len(p.broken))], "\n"))
	}
	if s.calm && len(p.lost) > 0 {
		return fmt.Errorf("%d of %d packets lost, the first: %s", len(p.lost), p.sentData, p.lost[0].why)
	}
	for _, side := range p.sides() {
		if side.e != nil && side.e.Counters()["ike_panic"] > 0 {
			return fmt.Errorf("%s panicked: %s", side.name, p.wantNotice(side, "panic").Text)
		}
	}
	return nil
}

// unrest says what is not as it should be when nothing is going on.
func (s *simulation) unrest() string {
	for _, side := range []*testSide{s.p.left, s.p.right} {
		for ref := uint64(1); ref <= side.nextRef; ref++ {
			if !side.answered[ref] {
				return fmt.Sprintf("%s has not answered command %d", side.name, ref)
			}
		}
		most := len(s.tunnels) * max(2*s.resources, leastResourceSAs)
		if s.resources == 0 {
			most = 0
		}
		for _, tu := range s.tunnels {
			most += tu.pairs()
		}
		if n := len(side.plane.sas) - len(side.extraSAs()); n > most {
			return fmt.Sprintf("%s has %d Child SAs for %d children", side.name, n, len(s.tunnels))
		}
		if n := len(side.plane.allocated); n != 0 {
			return fmt.Sprintf("%s holds %d SPIs", side.name, n)
		}
		if n := len(side.e.sas.bySPI); n != s.parties() {
			return fmt.Sprintf("%s has %d IKE SAs", side.name, n)
		}
		for _, sa := range side.e.sas.bySPI {
			if sa.win.Outstanding() != nil {
				return fmt.Sprintf("%s waits for the answer to %v", side.name, sa.win.Outstanding().Exchange)
			}
		}
		if n := side.e.sas.halfOpen.Count() + len(side.e.jobs.waiting); n != 0 {
			return fmt.Sprintf("%s has %d half-open IKE SAs and computations", side.name, n)
		}
	}
	if l, r := len(s.p.left.extraSAs()), len(s.p.right.extraSAs()); l != r {
		return fmt.Sprintf("of children that reloads added left has %d SAs, and right %d", l, r)
	}
	for _, tu := range s.tunnels {
		for i := range tu.ends {
			if why := tu.ends[i].unrest(&tu.ends[1-i], s.resources, tu.pairs()); why != "" {
				return why
			}
		}
	}
	return ""
}

// pairs returns how many Child SAs the tunnel's networks may have.
func (tu *simTunnel) pairs() int {
	_, l := tu.ends[0].settings()
	_, r := tu.ends[1].settings()
	if l.Children == ChildrenOne && r.Children == ChildrenOne {
		return 1
	}
	return max(NetworkPairs(l.Local, l.Remote), NetworkPairs(r.Local, r.Remote))
}

// unrest says what is wrong with a tunnel's SAs at one end.
func (e *simEnd) unrest(other *simEnd, resources, pairs int) string {
	child := e.name.Child
	mine, theirs := e.sas(), other.sas()
	carried := map[string]bool{}
	for _, psa := range mine {
		carried[fmt.Sprint(psa.sa.LocalTS, psa.sa.RemoteTS)] = true
	}
	if len(mine) != len(theirs) || len(mine) == 0 || len(carried) > pairs || resources == 0 && len(mine) > len(carried) {
		return fmt.Sprintf("child %s: %s has %d SAs, %s has %d", child, e.side.name, len(mine), other.side.name, len(theirs))
	}
	for _, psa := range mine {
		if why := e.side.unlike(psa, other.side.plane.inbound[psa.sa.SPIOut]); why != "" {
			return fmt.Sprintf("child %s: %s", child, why)
		}
		if !psa.sends {
			return fmt.Sprintf("child %s: %s does not send on %08x", child, e.side.name, psa.sa.SPIOut)
		}
	}
	pol := e.side.e.policies.byID[e.policy()]
	if len(pol.Main().Pairs()) != 1 {
		return fmt.Sprintf("child %s: %s has %d that are for all workers", child, e.side.name, len(pol.Main().Pairs()))
	}
	for _, l := range pol.Further() {
		if len(l.Pairs()) != 1 || !l.Settled() {
			return fmt.Sprintf("child %s: %s has %d for worker %d", child, e.side.name, len(l.Pairs()), l.Resource())
		}
	}
	return ""
}

// unlike says in what the two sides of a pair differ.
func (s *testSide) unlike(mine, theirs *planeSA) string {
	switch {
	case theirs == nil:
		return fmt.Sprintf("%s sends to SPI %08x, where %s has nothing", s.name, mine.sa.SPIOut, s.other().name)
	case mine.sa.SPIIn != theirs.sa.SPIOut:
		return fmt.Sprintf("%s receives on SPI %08x, %s sends to %08x", s.name, mine.sa.SPIIn, s.other().name, theirs.sa.SPIOut)
	case string(mine.sa.KeyOut) != string(theirs.sa.KeyIn):
		return "the keys differ"
	case !sameTraffic(&mine.sa, &theirs.sa):
		return fmt.Sprintf("selectors differ: %v and %v", mine.sa.LocalTS, theirs.sa.RemoteTS)
	case mine.sa.Path.Via() != theirs.sa.Path.Via():
		return "one side encapsulates"
	case mine.sa.OtherPorts != theirs.sa.OtherPorts:
		return "one side may send from other ports"
	}
	return ""
}
