package child

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/timer"
	"culvert/internal/ipsec"
	"culvert/selector"
)

var errTest = errors.New("not in this test")

// A stand is the host and the owner of one policy, for tests of a single step. It records what it
// is told, and its randomness is all zeros, so that every pause is the shortest.
type stand struct {
	t        *testing.T
	now      time.Time
	timers   timer.Heap
	table    *Table
	pol      *Policy
	sa       *stillSA // nil: the owner has no carrier
	plane    []string // what the dataplane was told, such as "send 1"
	reports  []Report
	done     map[uint64]error
	gaveUp   []error
	workers  int
	touched  bool
	closed   bool
	pausing  bool
	awaited  bool
	whenDead Intent
	lastSPI  uint32
	agreed   *grant // nil: the networks are those of the settings
}

func newStand(t *testing.T, settings Settings) *stand {
	s := &stand{t: t, now: epoch, done: map[uint64]error{}, workers: 1}
	s.table = NewTable(s)
	s.pol = NewPolicy(s.table, s, 7, ipsec.PolicyName{Peer: "peer", Child: settings.Name}, settings)
	s.sa = &stillSA{established: true}
	return s
}

// install makes a pair on the carrier; change may change its agreement.
func (s *stand) install(l *Chain, creator bool, change func(*Agreement)) *Pair {
	s.lastSPI++
	a := Agreement{
		SA:      ipsec.ChildSA{SPIIn: s.lastSPI, SPIOut: s.lastSPI + 100, LocalTS: s.pol.Settings.Local, RemoteTS: s.pol.Settings.Remote},
		Origin:  &fakeOrigin{},
		Creator: creator,
	}
	if change != nil {
		change(&a)
	}
	return s.table.Install(s.sa, l, a)
}

// ours installs a pair of the main chain that we asked for, and sends on it.
func (s *stand) ours() *Pair {
	p := s.install(s.pol.Main(), true, nil)
	p.UseNow()
	return p
}

// own installs a pair for a worker, beside one of the main chain.
func (s *stand) own(resource int, creator bool) *Pair {
	p := s.install(&Chain{policy: s.pol, resource: resource}, creator, func(a *Agreement) { a.Further, a.Grouped = true, true })
	if creator {
		p.UseNow()
	}
	return p
}

// pass lets time pass.
func (s *stand) pass(d time.Duration) {
	end := s.now.Add(d)
	for at := s.timers.Next(); !at.IsZero() && !at.After(end); at = s.timers.Next() {
		if at.After(s.now) {
			s.now = at
		}
		s.timers.FireDue(s.now)
	}
	s.now = end
}

// wantPlane checks what the dataplane was told since the last call.
func (s *stand) wantPlane(what, want string) {
	s.t.Helper()
	if got := strings.Join(s.plane, ", "); got != want {
		s.t.Fatalf("%s: the dataplane was told %q, want %q", what, got, want)
	}
	s.plane = nil
}

// wantDeleted checks which pairs the carrier was asked to delete since the last call, and why.
func (s *stand) wantDeleted(what string, want ...string) {
	s.t.Helper()
	if got := s.sa.deleted; !slices.Equal(got, want) {
		s.t.Fatalf("%s: deleted %q, want %q", what, got, want)
	}
	s.sa.deleted = nil
}

// wantRekeyed checks which pairs the carrier was asked to rekey since the last call.
func (s *stand) wantRekeyed(what string, want ...*Pair) {
	s.t.Helper()
	if got := s.sa.rekeyed; !slices.Equal(got, want) {
		s.t.Fatalf("%s: rekeyed %v, want %v", what, got, want)
	}
	s.sa.rekeyed = nil
}

// wantEvents checks what was reported since the last call.
func (s *stand) wantEvents(what string, want ...string) {
	s.t.Helper()
	var got []string
	for _, r := range s.reports {
		got = append(got, r.Event)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("%s: reported %q, want %q", what, got, want)
	}
	s.reports = nil
}

func (s *stand) tell(what string, id ipsec.ChildID) {
	s.plane = append(s.plane, fmt.Sprintf("%s %d", what, id))
}

func (s *stand) Now() time.Time                      { return s.now }
func (s *stand) Timers() *timer.Heap                 { return &s.timers }
func (s *stand) Rand() io.Reader                     { return zeros{} }
func (s *stand) Workers() int                        { return s.workers }
func (s *stand) Done(ref uint64, err error)          { s.done[ref] = err }
func (s *stand) InstallInbound(sa ipsec.ChildSA)     { s.tell("install", sa.ID) }
func (s *stand) ActivateOutbound(id ipsec.ChildID)   { s.tell("send", id) }
func (s *stand) DeactivateOutbound(id ipsec.ChildID) { s.tell("stop", id) }
func (s *stand) RemoveSA(id ipsec.ChildID)           { s.tell("remove", id) }
func (s *stand) NeedTraffic(id ipsec.ChildID)        { s.tell("ask", id) }
func (s *stand) AcquireFailed(id ipsec.PolicyID)     { s.plane = append(s.plane, "drop") }

func (s *stand) Carrier() Carrier {
	if s.sa == nil {
		return nil
	}
	return s.sa
}
func (s *stand) Touch()                    { s.touched = true }
func (s *stand) Closed() bool              { return s.closed }
func (s *stand) Pausing() bool             { return s.pausing }
func (s *stand) Awaited(*Policy) bool      { return s.awaited }
func (s *stand) GaveUp(_ *Policy, e error) { s.gaveUp = append(s.gaveUp, e) }
func (s *stand) WhenDead() Intent          { return s.whenDead }
func (s *stand) Backoff() timer.Backoff    { return timer.Backoff{} }
func (s *stand) Report(r Report)           { s.reports = append(s.reports, r) }

func (s *stand) Networks(pol *Policy) (local, remote []selector.Selector) {
	if s.agreed != nil {
		return s.agreed.local, s.agreed.remote
	}
	return pol.Settings.Local, pol.Settings.Remote
}

// zeros reads zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// stillSA is a carrier that records what is asked of it, and does nothing.
type stillSA struct {
	bundle              Bundle
	established, ending bool
	rekeyed             []*Pair
	requested           []*Chain
	deleted             []string // such as "1: expired"
}

func (c *stillSA) Children() *Bundle { return &c.bundle }
func (c *stillSA) Established() bool { return c.established }
func (c *stillSA) Ending() bool      { return c.ending }
func (c *stillSA) Rekey(p *Pair)     { c.rekeyed = append(c.rekeyed, p) }
func (c *stillSA) Request(l *Chain)  { c.requested = append(c.requested, l) }

func (c *stillSA) Delete(p *Pair, cause Cause, why string) {
	c.deleted = append(c.deleted, fmt.Sprintf("%d: %s", p.SA.ID, why))
}

// fakeOrigin is a negotiation whose answers the test sets.
type fakeOrigin struct {
	proven, crossed bool
	rank            int // the higher one outlasts
	revived         int
}

func (o *fakeOrigin) Proven() bool               { return o.proven }
func (o *fakeOrigin) Crossed() bool              { return o.crossed }
func (o *fakeOrigin) Outlasts(other Origin) bool { return o.rank > other.(*fakeOrigin).rank }
func (o *fakeOrigin) Revived()                   { o.revived++ }
