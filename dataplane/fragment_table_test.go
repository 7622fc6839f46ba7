package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"culvert/internal/ipsec"
	"culvert/selector"
	"culvert/tun/gso"
)

// slowTable is the fragment table as lists that are searched from end to end.
type slowTable struct {
	known []slowDatagram // by age
	held  []slowHeld
}

type slowDatagram struct {
	key fragmentKey
	knownDatagram
}

type slowHeld struct {
	key fragmentKey
	heldFragment
}

func (s *slowTable) find(key fragmentKey, now int64) *slowDatagram {
	for i := range s.known {
		if d := &s.known[i]; d.key == key && now < d.at+int64(fragmentsFor) {
			return d
		}
	}
	return nil
}

func (s *slowTable) first(key fragmentKey, flow selector.Flow, end int, now int64) (released []heldFragment) {
	if old := s.find(key, now); old != nil && old.end > end {
		end = old.end
	}
	s.known = append(s.known, slowDatagram{key, knownDatagram{flow: flow, end: end, at: now}})
	if len(s.known) > fragmentsKnown {
		s.known = s.known[1:]
	}
	for i := range s.known[:len(s.known)-1] { // what is noted twice takes its places all the same
		if s.known[i].key == key {
			s.known[i].key = fragmentKey{}
		}
	}
	s.held = slices.DeleteFunc(s.held, func(h slowHeld) bool {
		if h.key == key {
			released = append(released, h.heldFragment)
		}
		return h.key == key
	})
	return released
}

func (s *slowTable) later(key fragmentKey, begin int, now int64, h heldFragment) (selector.Flow, whereabouts) {
	if d := s.find(key, now); d != nil {
		if begin < d.end {
			return selector.Flow{}, fragmentOverlaps
		}
		return d.flow, fragmentKnown
	}
	octets, same := len(h.pkt.Data), 0
	for _, o := range s.held {
		octets += len(o.pkt.Data)
		if o.key == key {
			same++
		}
	}
	if len(s.held) >= fragmentsHeld || octets > fragmentBytes || same >= fragmentsOfOne {
		return selector.Flow{}, fragmentUnknown
	}
	h.until = now + int64(fragmentHoldFor)
	s.held = append(s.held, slowHeld{key, h})
	return selector.Flow{}, fragmentHeld
}

func (s *slowTable) tick(now int64) (lost int) {
	s.held = slices.DeleteFunc(s.held, func(h slowHeld) bool {
		if h.until <= now {
			lost++
		}
		return h.until <= now
	})
	return lost
}

func sameHeld(a, b heldFragment) bool {
	return string(a.pkt.Data) == string(b.pkt.Data) && a.until == b.until && a.tos == b.tos
}

// checkTables lets both tables see steps of one random history of datagrams, of which many come
// twice, out of order, without a first one, or all at once.
func checkTables(t *testing.T, r *rand.Rand, steps int) {
	t.Helper()
	var fast fragmentTable
	var slow slowTable
	now := int64(time.Hour)
	spread := 1 + r.Uint32N(3*fragmentsKnown)
	key := func() fragmentKey {
		k := fragmentKey{DatagramID: selector.DatagramID{Src: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Dst: netip.AddrFrom4([4]byte{10, 0, 0, 2}), Protocol: 17, ID: r.Uint32N(spread)}}
		if r.IntN(4) == 0 {
			k.policy = ipsec.PolicyID(1)
		}
		return k
	}
	for i := range steps {
		now += int64(r.IntN(5)) * int64(time.Millisecond)
		k := key()
		switch r.IntN(100) {
		case 0:
			now += int64(r.IntN(int(2 * fragmentsFor)))
			if got, want := len(fast.tick(now)), slow.tick(now); got != want {
				t.Fatalf("step %d: %d lost, want %d", i, got, want)
			}
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
			flow, end := selector.Flow{SrcPort: uint16(r.IntN(3))}, 8*r.IntN(30)
			got, want := fast.first(k, &flow, end, now), slow.first(k, flow, end, now)
			if !slices.EqualFunc(got, want, sameHeld) {
				t.Fatalf("step %d: %d released, want %d", i, len(got), len(want))
			}
		default:
			h := heldFragment{pkt: gso.Packet{Data: make([]byte, r.IntN(1<<r.IntN(17)))}, tos: uint8(i)}
			begin := 8 * (1 + r.IntN(30))
			gotFlow, got := fast.later(k, begin, now, &h)
			wantFlow, want := slow.later(k, begin, now, h)
			if got != want || gotFlow != wantFlow {
				t.Fatalf("step %d: %v, %+v, want %v, %+v", i, got, gotFlow, want, wantFlow)
			}
		}
		if fast.packets != len(slow.held) || fast.packets > fragmentsHeld || fast.octets > fragmentBytes || len(fast.known) > fragmentsKnown {
			t.Fatalf("step %d: %d held in %d octets, want %d; %d known", i, fast.packets, fast.octets, len(slow.held), len(fast.known))
		}
	}
	fast.tick(now + int64(fragmentsFor))
	if fast.octets != 0 || fast.packets != 0 || len(fast.waiting) != 0 || len(fast.known) != 0 {
		t.Fatalf("in the end %d octets, %d packets, %d datagrams, %d known", fast.octets, fast.packets, len(fast.waiting), len(fast.known))
	}
}

func TestFragmentTable(t *testing.T) {
	for seed := range uint64(6) {
		checkTables(t, rand.New(rand.NewPCG(seed, 4301)), 3000)
	}
}

func FuzzFragmentTable(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Add(uint64(7), uint64(9))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkTables(t, rand.New(rand.NewPCG(a, b)), 1000) })
}

// TestFragmentTableEvictsTheOldest: the bound is one of places, and the newest datagrams keep
// theirs.
func TestFragmentTableEvictsTheOldest(t *testing.T) {
	var table fragmentTable
	key := func(id int) fragmentKey { return fragmentKey{DatagramID: selector.DatagramID{ID: uint32(id)}} }
	for id := range fragmentsKnown + 1 {
		table.first(key(id), &selector.Flow{SrcPort: 1}, 8, 0)
	}
	for id, want := range map[int]whereabouts{0: fragmentUnknown, 1: fragmentKnown, fragmentsKnown: fragmentKnown} {
		if _, got := table.later(key(id), 8, 0, nil); got != want {
			t.Errorf("datagram %d: %v, want %v", id, got, want)
		}
	}
	if _, got := table.later(key(1), 8, int64(fragmentsFor)-1, nil); got != fragmentKnown {
		t.Errorf("just in time: %v", got)
	}
	if _, got := table.later(key(1), 8, int64(fragmentsFor), nil); got != fragmentUnknown {
		t.Errorf("too late: %v", got)
	}
}

// TestFragmentsHeldWhenTheClockIsSetBack: they do not stay for the hours that it was.
func TestFragmentsHeldWhenTheClockIsSetBack(t *testing.T) {
	var table fragmentTable
	table.later(fragmentKey{}, 8, int64(time.Hour), &heldFragment{pkt: gso.Packet{Data: make([]byte, 9)}})
	if lost := table.tick(int64(time.Minute)); len(lost) != 1 || table.packets != 0 || table.octets != 0 {
		t.Errorf("%d lost, %d held", len(lost), table.packets)
	}
}

func BenchmarkFragmentTable(b *testing.B) {
	var table fragmentTable
	flow := selector.Flow{SrcPort: 5001}
	for i := range b.N {
		key := fragmentKey{policy: lan, DatagramID: selector.DatagramID{Src: src4.Addr(), Dst: dst4.Addr(), ID: uint32(i)}}
		table.first(key, &flow, 1400, int64(i))
		table.later(key, 1400, int64(i), nil)
	}
}
