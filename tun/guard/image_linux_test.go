package guard

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"culvert/internal/netlab"
	"culvert/tun/protect"
)

// contents returns the intervals in the sets of a group, joined where they were cut.
func contents(t *testing.T, h *netlab.Host, g *Guard, id int) (out []protect.Range) {
	t.Helper()
	err := h.Do(func() error {
		s, err := openSocket()
		if err != nil {
			return err
		}
		defer s.close()
		for _, name := range g.image.groups[id].setNames(id) {
			list, err := s.elements(g.tableNow(), name)
			if err != nil {
				return err
			}
			out = append(out, list...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return join(out)
}

// join merges adjacent intervals.
func join(list []protect.Range) (out []protect.Range) {
	for _, r := range list {
		if n := len(out); n > 0 && out[n-1].Last.Next() == r.First {
			out[n-1].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

// After changes the table holds exactly the elements of a newly installed one.
func TestChangesAddUpToTheWhole(t *testing.T) {
	h := newHost(t)
	for seed := range uint64(8) {
		p := &policies{rand.New(rand.NewPCG(seed, 4))}
		locals := [][]netip.Prefix{p.prefixes(2), p.prefixes(1), p.prefixes(3)}
		set := protect.NewSet()
		g := openIn(t, h, fewIn(1+int(seed)%4), set.Whole())
		table := g.tableNow()
		for range 25 {
			if err := g.Apply(p.change(set, locals)); err != nil {
				t.Fatal(err)
			}
			if g.tableNow() != table {
				t.Fatalf("seed %d: a change was refused, and the table put up afresh", seed)
			}
			for _, group := range set.Groups() {
				if got := contents(t, h, g, group.ID); !slices.Equal(got, join(group.Protected)) {
					t.Fatalf("seed %d: the kernel has %v, want %v", seed, got, group.Protected)
				}
			}
		}
		list := func() string {
			out := nft(t, h, "-s", "list", "ruleset")
			return fmt.Sprint(strings.Count(out, "chain "), " chains, ", strings.Count(out, "jump "+inbound), " rules before the look-up")
		}
		changed := list()
		g.Close()
		openIn(t, h, testConfig(), set.Whole()).Close()
		if afresh := list(); afresh != changed {
			t.Errorf("seed %d: %s, afresh %s", seed, changed, afresh)
		}
	}
}

// Who owns the flows is told again and again. Where nothing is new, nothing is written.
func TestAttributingAgainChangesNothing(t *testing.T) {
	cfg := testConfig()
	cfg.byPolicy = true
	m, set := newImage(&cfg), protect.NewSet()
	var local []netip.Prefix
	for i := range 20 { // apart from each other
		local = append(local, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(2 * i), 0, 0}), 16))
	}
	m.apply(newBatch(""), set.Change([]protect.Policy{policy("a", local, pfx("192.0.2.0/24"))}, nil))
	owners := set.Owners(slices.Values([]protect.ID{peerChild("a")}))
	b := newBatch("")
	if m.attribute(b, owners, nil); b.empty() {
		t.Fatal("the owner has no counters")
	}
	for range 5 {
		b = newBatch("")
		if m.attribute(b, owners, nil); !b.empty() {
			t.Fatalf("telling it again writes %q", b.what[1:])
		}
	}
}
