package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// testPair is two engines on a virtual link with a virtual clock. All of it is determined by the
// seed.
type testPair struct {
	t           testing.TB
	seed        uint64
	now         time.Time
	events      testSchedule
	left, right *testSide
	more        []*testSide // further gateways
	link        linkFate
	streams     *streams             // nil: there are only datagrams
	compute     func() time.Duration // how long a Compute takes
	lookUp      time.Duration        // how long one takes that waits for the network
	tap         *wireTap
	before      func(s *testSide, in Input)              // called before each Handle
	after       func(s *testSide)                        // called after each Handle, for the invariants of a simulation
	opened      func(s *testSide, name ipsec.PolicyName) // called when a side has opened an ESP packet
	unsent      func(pk *testPacket) bool                // reports whether the sender's host refuses to send a packet
	undelivered func(pk *testPacket, host bool)          // called for a packet to an address of nobody, or of a host without an engine
	unasked     bool                                     // the packet being sent answers none
	copied      bool                                     // that is a copy, or an answer to one

	scripted bool // IKE messages wait in side.out for the test to deliver them
	lines    []testLine
	broken   []string // invariants that did not hold

	sentData int
	hosts    int // pairs that were installed in transport mode
	lost     []lostPacket
	keys     map[string]string // every key that was ever installed
}

// testLine is one line of the transcript, formatted only when it is printed.
type testLine struct {
	at   time.Time
	text func() string
}

type lostPacket struct {
	*espPacket
	at  time.Time
	why string
}

// testSide is one of the two gateways.
type testSide struct {
	p      *testPair
	name   string
	addrs  []netip.Addr
	nat    *natBox
	late   bool // start gives the engine no peers
	e      *Engine
	life   int // counts restarts: what an earlier life computed is not delivered
	peers  []Peer
	config Config
	plane  *testPlane

	out       []*testMessage // scripted: messages that wait
	notices   []Notice
	refused   []Refused
	told      []IKEKeys
	done      map[uint64]error
	answered  map[uint64]bool
	failed    map[ipsec.PolicyID]int // AcquireFailed
	resolves  []string
	stopped   bool
	nextRef   uint64
	handled   int
	keepalive int  // keepalives sent
	online    int  // computations that wait for the network
	proved    int  // computations for newcomers that have proved who they are
	noProbes  bool // the peers of the side answer no ProbePair
	older     bool // announces no abilities
	probed    []ipsec.PathProbe

	sentRequests map[wire.ExchangeType]int // without those sent again

	refuses func(pk *testPacket, from ipsec.Path) bool // answers IKE messages in place of the engine, if it reports so
}

// newPair returns two sides that know one peer each. edit may change everything before the engines
// are made.
func newPair(t testing.TB, seed uint64, edit func(p *testPair)) *testPair {
	p := &testPair{
		t: t, seed: seed, now: epoch, tap: newWireTap(), keys: map[string]string{},
		link:    steadyLink(10 * time.Millisecond),
		compute: func() time.Duration { return time.Millisecond },
	}
	p.left = newSide(p, "left", "192.0.2.1", "2001:db8::1")
	p.right = newSide(p, "right", "192.0.2.2", "2001:db8::2")
	p.left.peers = []Peer{defaultPeer(p.left, p.right)}
	p.right.peers = []Peer{defaultPeer(p.right, p.left)}
	if edit != nil {
		edit(p)
	}
	p.left.start()
	p.right.start()
	for _, s := range p.more {
		s.start()
	}
	return p
}

// sides returns all gateways.
func (p *testPair) sides() []*testSide { return append([]*testSide{p.left, p.right}, p.more...) }

func newSide(p *testPair, name string, addrs ...string) *testSide {
	s := &testSide{p: p, name: name, done: map[uint64]error{}, answered: map[uint64]bool{}, failed: map[ipsec.PolicyID]int{}, sentRequests: map[wire.ExchangeType]int{}}
	for _, a := range addrs {
		s.addrs = append(s.addrs, netip.MustParseAddr(a))
	}
	return s
}

// start makes the side's engine, as at the start of the daemon: nothing is left of an earlier life.
func (s *testSide) start() {
	s.life++
	seed := s.p.seed*1000 + uint64(s.life)
	s.plane = newPlane(s, seed)
	random := seededRand(seed, s.name)
	config := s.config
	config.Rand, config.KE, config.SPIs = random, fakeKEs{random: seededRand(seed, s.name+" ke")}, s.plane
	config.LocalAddr, config.HasAddr = s.addrFor, s.hasAddr
	s.stopped = false
	s.e = New(config, s.p.now)
	if s.older {
		s.e.able = 0
	}
	if !s.late {
		s.handle(SetPeers{Peers: slices.Clone(s.peers)})
	}
}

// kill is kill -9: SAs and all are gone without a word; start begins the next life.
func (s *testSide) kill() {
	s.p.note("%s is killed", s.name)
	s.e = nil
	s.plane = newPlane(s, 0)
	s.out = nil
	for ref := uint64(1); ref <= s.nextRef; ref++ {
		s.answered[ref] = true // nobody waits any more
	}
}

func (s *testSide) addrFor(remote netip.Addr) netip.Addr {
	i := slices.IndexFunc(s.addrs, func(a netip.Addr) bool { return a.Is4() == remote.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return s.addrs[i]
}

func (s *testSide) hasAddr(a netip.Addr) bool { return slices.Contains(s.addrs, a) }

func (s *testSide) other() *testSide {
	if s == s.p.left {
		return s.p.right
	}
	return s.p.left
}

// later hands the engine an input at this moment, after what is going on.
func (s *testSide) later(in Input) {
	life := s.life
	s.p.events.add(s.p.now, func() {
		if s.life == life {
			s.handle(in)
		}
	})
}

// handle is one call of Handle, and the doing of what it asks for.
func (s *testSide) handle(in Input) {
	if s.e == nil {
		return
	}
	if _, ok := in.(Wake); !ok {
		s.p.noteLazy(func() string { return s.name + ": " + describeInput(in) })
	}
	if s.p.before != nil {
		s.p.before(s, in)
	}
	var fx Effects
	s.handled++
	s.e.Handle(s.p.now, in, &fx)
	for _, f := range fx.List {
		s.do(f)
	}
	if s.p.after != nil {
		s.p.after(s)
	}
}

func (s *testSide) do(f Effect) {
	switch f := f.(type) {
	case Send:
		s.send(f)
	case Compute:
		life, takes := s.life, s.p.compute()
		if f.Online {
			takes, s.online = s.p.lookUp, s.online+1
		}
		if f.Proved {
			s.proved++
		}
		s.p.events.add(s.p.now.Add(takes), func() {
			if value := f.Run(); s.life == life {
				s.handle(Computed{ID: f.ID, Value: value})
			}
		})
	case InstallInbound:
		s.plane.install(f.SA)
		s.p.note("%s installs child %d of %v: in %08x, out %08x", s.name, f.SA.ID, f.SA.Policy, f.SA.SPIIn, f.SA.SPIOut)
	case ActivateOutbound:
		s.plane.activate(f.ID)
		s.p.note("%s sends on child %d", s.name, f.ID)
	case DeactivateOutbound:
		s.plane.deactivate(f.ID)
		s.p.note("%s sends no more on child %d", s.name, f.ID)
	case RemoveSA:
		s.plane.remove(f.ID)
		s.p.note("%s removes child %d", s.name, f.ID)
	case SetPath:
		s.setPath(f)
	case NeedTraffic:
		if psa := s.plane.sas[f.ID]; psa != nil {
			s.later(psa.traffic())
		}
	case InstallPolicy:
		s.plane.setPolicy(f.Policy)
	case RemovePolicy:
		s.plane.removePolicy(f.ID)
	case HoldPolicy:
		s.plane.hold(f)
	case StandbyPolicy:
		s.plane.standBy(f)
	case CopyPackets:
		s.plane.copyPackets(f)
	case ProbePair:
		s.plane.probe(f.ID)
	case AcquireFailed:
		s.failed[f.Policy]++
		delete(s.plane.asked, askedFor{f.Policy, 0})
	case PathProbed:
		s.probed = append(s.probed, f.PathProbe)
	case Resolve:
		s.resolves = append(s.resolves, f.Peer)
	case Notice:
		s.notices = append(s.notices, f)
		s.p.note("%s: notice %s %s/%s: %s", s.name, f.Event, f.Peer, f.Child, f.Text)
	case Refused:
		s.refused = append(s.refused, f)
		s.p.note("%s: refused %s %v as %q: %s", s.name, f.Event, f.From, f.Claims, f.Text)
	case IKEKeys:
		s.told = append(s.told, f)
	case Done:
		s.done[f.Ref], s.answered[f.Ref] = f.Err, true
		s.p.note("%s: done %d: %v", s.name, f.Ref, f.Err)
	case Stopped:
		s.stopped = true
		s.p.note("%s has stopped", s.name)
	default:
		s.p.violated("%s: effect of unknown type %T", s.name, f)
	}
}

func (s *testSide) setPath(f SetPath) {
	psa := s.plane.sas[f.ID]
	if psa == nil {
		s.p.violated("%s: SetPath of child %d, which is not installed", s.name, f.ID)
		return
	}
	psa.sa.Path = f.Path
	s.p.note("%s moves child %d: %v", s.name, f.ID, f.Path)
}

// send puts an IKE message on the link, or keeps it for the script.
func (s *testSide) send(f Send) {
	if f.Keepalive {
		s.keepalive++
		s.p.send(s.on(f.Path, testPacket{}))
		return
	}
	m := s.p.tap.see(s.p, s, f)
	if !m.hdr.Response && !m.repeat {
		s.sentRequests[m.hdr.Exchange]++
	}
	m.pk = s.on(f.Path, testPacket{whole: f.DontFragment, part: f.FragmentSize, msg: m, data: slices.Clone(f.Data)})
	s.p.noteLazy(func() string { return s.name + " > " + m.String() })
	if s.p.scripted {
		s.out = append(s.out, m)
		return
	}
	s.p.send(m.pk)
}

// receive takes a packet from the link; dst is its address behind the side's NAT.
func (s *testSide) receive(pk *testPacket, dst netip.AddrPort) {
	s.take(pk, ipsec.NewPath(pk.via, dst, pk.src, 0))
}

// take takes a packet that came on a path.
func (s *testSide) take(pk *testPacket, from ipsec.Path) {
	switch {
	case s.e == nil:
	case pk.esp != nil:
		s.plane.receive(pk.esp, from)
	case pk.msg != nil && s.refuses != nil && s.refuses(pk, from):
	case pk.msg != nil:
		s.handle(Datagram{Path: from, Data: slices.Clone(pk.data)})
	}
}

// drive runs the clock for d.
func (p *testPair) drive(d time.Duration) {
	end := p.now.Add(d)
	for p.step(end) {
	}
	p.now = end
}

// maxWakes bounds how often an engine may ask for a Wake at one moment.
const maxWakes = 100

// step does the next thing that is due by end, if there is one.
func (p *testPair) step(end time.Time) bool {
	next, ok := p.events.next()
	var wake *testSide
	for _, s := range p.sides() {
		if s.e == nil {
			continue
		}
		if at := s.e.Deadline(); !at.IsZero() && (!ok || at.Before(next)) {
			next, ok, wake = at, true, s
		}
	}
	if !ok || next.After(end) {
		return false
	}
	if next.After(p.now) {
		p.now = next
	}
	if wake == nil {
		ev, _ := p.events.pop(p.now)
		ev.run()
		return true
	}
	for range maxWakes {
		wake.handle(Wake{})
		if at := wake.e.Deadline(); at.IsZero() || at.After(p.now) {
			return true
		}
	}
	p.violated("%s: Deadline does not move on from %v", wake.name, wake.e.Deadline())
	wake.kill()
	return true
}

// lose counts a packet that its receiver cannot open.
func (p *testPair) lose(e *espPacket, why string) {
	if e.copy {
		return
	}
	p.lost = append(p.lost, lostPacket{e, p.now, why})
	p.note("packet %d of %v on %08x, sent at %v, is lost: %s", e.seq, e.policy, e.spi, e.at.Sub(epoch), why)
}

// freshKey checks that no key is installed twice: each is in use at most once at each end.
func (p *testPair) freshKey(spi uint32, key []byte) {
	id := fmt.Sprintf("%08x", spi)
	if old, ok := p.keys[string(key)]; ok {
		p.violated("the key of SPI %s was the key of %s", id, old)
	}
	p.keys[string(key)] = id
}

// violated records that an invariant does not hold.
func (p *testPair) violated(format string, args ...any) {
	text := fmt.Sprintf("at %v: ", p.now.Sub(epoch)) + fmt.Sprintf(format, args...)
	p.broken = append(p.broken, text)
	p.note("VIOLATED: %s", text)
}

const maxLines = 4000

func (p *testPair) note(format string, args ...any) {
	p.noteLazy(func() string { return fmt.Sprintf(format, args...) })
}

func (p *testPair) noteLazy(text func() string) {
	if len(p.lines) == maxLines {
		p.lines = append(p.lines[:0], p.lines[maxLines/2:]...)
	}
	p.lines = append(p.lines, testLine{p.now, text})
}

// transcript is the last n lines of what happened.
func (p *testPair) transcript(n int) string {
	var b strings.Builder
	for _, l := range p.lines[max(0, len(p.lines)-n):] {
		fmt.Fprintf(&b, "%12.6f  %s\n", l.at.Sub(epoch).Seconds(), l.text())
	}
	return b.String()
}

func describeInput(in Input) string {
	switch in := in.(type) {
	case Datagram:
		return fmt.Sprintf("a datagram of %d octets from %v", len(in.Data), in.Path.Remote())
	case SetPeers:
		return fmt.Sprintf("SetPeers with %d peers", len(in.Peers))
	case Computed:
		return fmt.Sprintf("computed %d", in.ID)
	}
	return fmt.Sprintf("%T %+v", in, in)
}
