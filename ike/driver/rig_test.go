package driver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/internal/ipsec"
)

// journal records events as lines, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last take.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// fakeEngine records its inputs and answers by its script.
type fakeEngine struct {
	journal  *journal
	script   func(now time.Time, in ike.Input, fx *ike.Effects)
	deadline time.Time
	counters map[string]uint64
	parts    int // calls of StatusPart
}

func (e *fakeEngine) Handle(now time.Time, in ike.Input, fx *ike.Effects) {
	switch in := in.(type) {
	case ike.Datagram:
		e.journal.add("datagram %v>%v nat=%v %s", in.Path.Remote(), in.Path.Local(), in.Path == overNAT, in.Data[min(len(in.Data), 28):])
	case ike.Connect:
		e.journal.add("connect %s/%s", in.Peer, in.Child)
	case ike.Disconnect:
		e.journal.add("disconnect %s/%s", in.Peer, in.Child)
	case ike.Rekey:
		e.journal.add("rekey %s/%s", in.Peer, in.Child)
	case ike.Computed:
		e.journal.add("computed %d: %v", in.ID, in.Value)
	case ike.Traffic:
		e.journal.add("traffic %d in=%v answered=%v", in.ID, !in.In.IsZero(), !in.Answered.IsZero())
	case ike.Unreachable:
		e.journal.add("unreachable %d %v by %v: %v", in.ID, in.Why, in.By, in.Path)
	case ike.PlanPeers:
		e.journal.add("plan +%d -%d whole=%t", len(in.Set), len(in.Gone), in.Whole)
	case ike.SetPeers:
		e.journal.add("peers %d", len(in.Peers))
	case ike.ChangePeers:
		e.journal.add("peers +%d -%d", len(in.Set), len(in.Gone))
	case ike.Wake, ike.Shutdown:
		e.journal.add("%s", strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", in), "ike.")))
	default:
		e.journal.add("%s %+v", strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", in), "ike.")), in)
	}
	if e.script != nil {
		e.script(now, in, fx)
		return
	}
	if _, ok := in.(ike.Shutdown); ok {
		fx.List = append(fx.List, ike.Stopped{})
	}
}

func (e *fakeEngine) Deadline() time.Time { return e.deadline }

// StatusPart knows 1023 peers besides right.
func (e *fakeEngine) StatusPart(from ike.Mark, n int) (list []ike.PeerStatus, next ike.Mark) {
	e.parts++
	for place := from.Place; place < 1024; place++ {
		if len(list) == n {
			return list, ike.Mark{Place: place}
		}
		st, _ := e.StatusOf(map[bool]string{true: "right", false: fmt.Sprint(place)}[place == 0])
		list = append(list, st)
	}
	return list, ike.Mark{}
}

// GaugesPart knows the peers of StatusPart, each with a child.
func (e *fakeEngine) GaugesPart(from ike.Mark, n int, out *ike.Gauges) ike.Mark {
	list, next := e.StatusPart(from, n)
	out.Peers, out.Children = out.Peers[:0], out.Children[:0]
	for _, st := range list {
		out.Peers = append(out.Peers, ike.PeerGauges{Name: st.Name, Children: 1})
		out.Children = append(out.Children, ike.ChildGauges{Name: "of " + st.Name})
	}
	return next
}

// StatusOfPart knows 1000 parties of office.
func (e *fakeEngine) StatusOfPart(name string, from ike.Mark, n int) (list []ike.PeerStatus, next ike.Mark) {
	e.parts++
	for number := from.Party; name == "office" && number < 1000; number++ {
		if len(list) == n {
			return list, ike.Mark{Place: 1, Party: number}
		}
		list = append(list, ike.PeerStatus{Name: name, Party: fmt.Sprint(number)})
	}
	return list, ike.Mark{}
}

func (e *fakeEngine) StatusOf(peer string) (ike.PeerStatus, bool) {
	return ike.PeerStatus{Name: peer}, peer != "nobody"
}

func (e *fakeEngine) Counters() map[string]uint64 { return e.counters }

// fakePlane has the pairs 1 to 9; the odd ones have inbound traffic.
type fakePlane struct {
	journal *journal
	refuse  error  // the result of InstallInbound
	panics  bool   // it panics instead
	keys    []byte // a copy of the last SA's keys
	wake    chan struct{}
	events  []ipsec.Event
}

func (p *fakePlane) InstallInbound(sa ipsec.ChildSA) error {
	p.journal.add("install %d", sa.ID)
	p.keys = slices.Concat(sa.KeyIn, sa.KeyOut)
	if p.panics {
		panic("installing")
	}
	return p.refuse
}
func (p *fakePlane) FreeSPI(spi uint32)                { p.journal.add("free %d", spi) }
func (p *fakePlane) ActivateOutbound(id ipsec.ChildID) { p.journal.add("activate %d", id) }

func (p *fakePlane) DeactivateOutbound(id ipsec.ChildID) { p.journal.add("deactivate %d", id) }
func (p *fakePlane) RemoveSA(id ipsec.ChildID)           { p.journal.add("remove %d", id) }
func (p *fakePlane) SetPath(id ipsec.ChildID, to ipsec.Path) {
	p.journal.add("path of %d %v", id, to.Remote())
}
func (p *fakePlane) AcquireFailed(policy ipsec.PolicyID) { p.journal.add("acquire failed %d", policy) }
func (p *fakePlane) HoldPolicy(policy ipsec.PolicyID, held bool) {
	p.journal.add("hold %d %t", policy, held)
}
func (p *fakePlane) StandbyPolicy(policy ipsec.PolicyID, standby bool) {
	p.journal.add("standby %d %t", policy, standby)
}
func (p *fakePlane) ProbePair(id ipsec.ChildID) { p.journal.add("probe pair %d", id) }
func (p *fakePlane) CopyPackets(of, on ipsec.PolicyID, n int) {
	p.journal.add("copy %d of %d on %d", n, of, on)
}
func (p *fakePlane) ChangePolicies(set []ipsec.Policy, gone []ipsec.PolicyID) error {
	for _, s := range set {
		p.journal.add("policy %d %s", s.ID, s.Name)
	}
	p.journal.add("policies +%d -%d", len(set), len(gone))
	return p.refuse
}
func (p *fakePlane) PathProbed(r ipsec.PathProbe) {
	p.journal.add("path %d: %d of %d: %d", r.ID, r.Sent, r.Size, r.Verdict)
}
func (p *fakePlane) LastTraffic(id ipsec.ChildID) (t ipsec.Traffic, ok bool) {
	if id == 0 || id > 9 {
		return t, false
	}
	if id%2 == 1 {
		t.In = time.Now()
	}
	if id == 3 {
		t.Answered = t.In
	}
	return t, true
}
func (p *fakePlane) Wake() <-chan struct{} { return p.wake }
func (p *fakePlane) Drain() []ipsec.Event {
	events := p.events
	p.events = nil
	return events
}

// tell makes events available to Drain.
func (p *fakePlane) tell(events ...ipsec.Event) {
	p.events = events
	p.wake <- struct{}{}
}

// fakeTransport records sends, and reads from arrive.
type fakeTransport struct {
	journal *journal
	refuse  error
	arrive  chan arrival
	closed  chan struct{}
}

type arrival struct {
	data []byte
	path ipsec.Path // zero: the IKE port's
	err  error
}

func (f *fakeTransport) SendIKE(p ipsec.Path, data []byte) error {
	f.journal.add("send %v nat=%v %s", p.Remote(), p == overNAT, data)
	return f.refuse
}

func (f *fakeTransport) ProbeIKE(p ipsec.Path, data []byte) error {
	f.journal.add("send whole %v nat=%v %s", p.Remote(), p == overNAT, data)
	return f.refuse
}

func (f *fakeTransport) SendIKEInFragments(p ipsec.Path, data []byte, size int) error {
	f.journal.add("send in parts of %d %v nat=%v %s", size, p.Remote(), p == overNAT, data)
	return f.refuse
}

func (f *fakeTransport) SendKeepalive(p ipsec.Path) error {
	f.journal.add("keepalive %v", p.Remote())
	return f.refuse
}

func (f *fakeTransport) ReadIKE(buf []byte) (int, ipsec.Path, error) {
	select {
	case a := <-f.arrive:
		if !a.path.IsValid() {
			a.path = overUDP
		}
		return copy(buf, a.data), a.path, a.err
	case <-f.closed:
		return 0, ipsec.Path{}, net.ErrClosed
	}
}

var (
	here  = netip.MustParseAddrPort("192.0.2.1:500")
	there = netip.MustParseAddrPort("192.0.2.2:500")

	overUDP, overNAT = ipsec.UDPPath(here, there), ipsec.NATPath(here, there)
)

// rig is a running driver among fakes.
type rig struct {
	*Driver
	t         *testing.T
	journal   *journal
	engine    *fakeEngine
	plane     *fakePlane
	transport *fakeTransport
	logged    *bytes.Buffer
	cancel    context.CancelFunc
	ended     chan error
}

// drive runs test in a bubble of virtual time, with a running driver.
func drive(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		test(t, r)
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		close(r.transport.closed)
	})
}

func newRig(t *testing.T) *rig {
	j := &journal{}
	r := &rig{
		t: t, journal: j, logged: &bytes.Buffer{}, ended: make(chan error, 1),
		engine:    &fakeEngine{journal: j},
		plane:     &fakePlane{journal: j, wake: make(chan struct{}, 1)},
		transport: &fakeTransport{journal: j, arrive: make(chan arrival), closed: make(chan struct{})},
	}
	r.Driver = New(Config{
		Engine: r.engine, Plane: r.plane, Transport: r.transport, Workers: 2,
		Log:     slog.New(slog.NewTextHandler(r.logged, nil)),
		Resolve: func(peer string) { j.add("resolve %s", peer) },
	})
	r.history.change(ike.ChangePeers{Set: []ike.Peer{{Name: "right"}}})
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.Run(ctx) }()
	synctest.Wait()
}

// answer has the engine answer every input of type I with effects.
func answer[I ike.Input](r *rig, effects ...ike.Effect) {
	r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
		if _, ok := in.(I); ok {
			fx.List = append(fx.List, effects...)
		}
		if _, ok := in.(ike.Shutdown); ok {
			fx.List = append(fx.List, ike.Stopped{})
		}
	}
}

// want waits until the driver is idle and compares the journal.
func (r *rig) want(what string, lines ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.journal.take(); !slices.Equal(got, lines) {
		r.t.Errorf("%s:\ngot  %q\nwant %q", what, got, lines)
	}
}

func (r *rig) counter(name string) uint64 {
	r.t.Helper()
	_, counters, err := r.Status(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return counters[name]
}

// message returns an IKE header of an exchange, followed by a text.
func message(exchange byte, response bool, text string) []byte {
	b := make([]byte, 28, 28+len(text))
	b[0], b[8], b[18] = 1, 1, exchange
	if response {
		b[19] = 1 << 5
	}
	return append(b, text...)
}

// Exchange types of messages.
const (
	initExchange = 34
	authExchange = 35
	infoExchange = 37
)

// noFollow is a Follow for tests that do not look at policies.
func noFollow([]ipsec.Policy, []ipsec.PolicyID) error { return nil }
