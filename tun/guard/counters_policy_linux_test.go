package guard

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culvert/tun/protect"
)

// peerChild returns the ID of the policy of a child, and childOf the child.
func peerChild(child string) (id protect.ID) {
	for _, b := range []byte(child) {
		id = id<<8 | protect.ID(b)
	}
	return id
}

func childOf(id protect.ID) string {
	var out []byte
	for ; id > 0; id >>= 8 {
		out = append([]byte{byte(id)}, out...)
	}
	return string(out)
}

// attribute makes a guard count for the owners of a set among these children.
func attribute(t *testing.T, g *Guard, set *protect.Set, children ...string) {
	t.Helper()
	var order []protect.ID
	for _, c := range children {
		order = append(order, peerChild(c))
	}
	if err := g.Attribute(set.Owners(slices.Values(order))); err != nil {
		t.Fatal(err)
	}
}

// wantDrops compares the counters by policy: "a out 1 in 2".
func wantDrops(t *testing.T, g *Guard, want ...string) {
	t.Helper()
	_, by := g.Counted()
	var got []string
	for id, d := range by {
		got = append(got, fmt.Sprintf("%s out %d in %d", childOf(id), d.Out, d.In))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the guard has counted %q, want %q", got, want)
	}
}

// come sends packets to the gateway from outside and waits until it has dropped them.
func (s *site) come(t *testing.T, g *Guard, flows ...[2]string) {
	t.Helper()
	before := g.Stats().In
	for _, f := range flows {
		send(t, s.outside, udp(f[0], f[1], 1, 7, 1))
	}
	waitStats(t, g, func(st Stats) bool { return st.In >= before+uint64(len(flows)) })
}

// leave makes the gateway send packets, which it drops at once.
func (s *site) leave(t *testing.T, flows ...[2]string) {
	t.Helper()
	for _, f := range flows {
		send(t, s.gw, udp(f[0], f[1], 1, 7, 1))
	}
}

// twoChildren share the remote network 10.9.0.0/24 for different local ones.
func twoChildren() (a, b protect.Policy) {
	return policy("a", pfx("10.1.0.0/24", "fd01::/64"), pfx("10.2.0.0/16", "10.9.0.0/24", "fd02::/64")),
		policy("b", pfx("10.7.0.0/24", "fd07::/64"), pfx("10.3.0.0/16", "10.9.0.0/24", "fd03::/64"))
}

func TestDropsByPolicy(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	a, b := twoChildren()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{a, b, policy("c", a.Local, pfx("10.2.7.0/24"))}, nil))
	attribute(t, g, set, "a", "b")
	s.leave(t, [][2]string{
		{"10.1.0.1", "10.2.0.1"}, {"10.1.0.1", "10.9.0.1"}, {"fd01::1", "fd02::1"}, // a
		{"10.7.0.1", "10.3.0.1"}, {"10.7.0.1", "10.9.0.1"}, {"10.7.0.1", "10.9.0.2"}, {"fd07::1", "fd03::1"}, // b
		{"10.1.0.1", "10.2.7.1"}, // c has no counter, and its network takes precedence over a's wider one
	}...)
	wantDrops(t, g, "a out 3 in 0", "b out 4 in 0")
	s.come(t, g, [][2]string{
		{"10.2.0.1", "10.1.0.5"}, {"10.9.0.1", "10.1.0.5"}, {"fd02::1", "fd01::5"}, {"fd02::1", "fd01::6"}, // a
		{"10.3.0.1", "10.7.0.1"}, {"10.9.0.1", "10.7.0.2"}, {"fd03::1", "fd07::1"}, // b
		{"10.2.7.1", "10.1.0.5"},
	}...)
	wantDrops(t, g, "a out 3 in 4", "b out 4 in 3")
	if st := g.Stats(); st.Out != 8 || st.In != 8 {
		t.Errorf("the sums are %+v", st)
	}
}

// Drops of a network that moves are counted for its new owner from then on. The counters of a child
// go with it.
func TestDropsFollowChanges(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	local := pfx("10.1.0.0/24")
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{policy("a", local, pfx("10.2.0.0/24", "10.3.0.0/24")), policy("b", local, pfx("10.4.0.0/24"))}, nil))
	table := g.tableNow()
	to := func(dst string) { s.leave(t, [2]string{"10.1.0.1", dst}) }
	change := func(set *protect.Set, c protect.Change, children ...string) {
		t.Helper()
		if err := g.Apply(c); err != nil {
			t.Fatal(err)
		}
		attribute(t, g, set, children...)
	}
	attribute(t, g, set, "a", "b")
	to("10.3.0.1")
	to("10.4.0.1")
	wantDrops(t, g, "a out 1 in 0", "b out 1 in 0")
	change(set, set.Change([]protect.Policy{policy("a", local, pfx("10.2.0.0/24")), policy("b", local, pfx("10.3.0.0/24", "10.4.0.0/24"))}, nil), "a", "b")
	to("10.3.0.1")
	to("10.2.0.1")
	wantDrops(t, g, "a out 2 in 0", "b out 2 in 0")
	change(set, set.Change(nil, []protect.ID{peerChild("a")}), "b")
	to("10.2.0.1") // not protected: it leaves
	to("10.3.0.1")
	wantDrops(t, g, "b out 3 in 0")
	change(set, set.Change([]protect.Policy{policy("a", local, pfx("10.2.0.0/24"))}, nil), "a", "b")
	wantDrops(t, g, "a out 0 in 0", "b out 3 in 0")
	change(set, set.Change(nil, []protect.ID{peerChild("a"), peerChild("b")}))
	wantDrops(t, g)
	if out := nft(t, s.gw, "list", "ruleset"); strings.Contains(out, "peer/") || strings.Contains(out, "whose-out4-") {
		t.Errorf("of the policies that are gone there is\n%s", out)
	}
	if g.tableNow() != table || g.Stats().Out != 5 {
		t.Errorf("the table is %s, was %s; it has counted %+v", g.tableNow(), table, g.Stats())
	}
}

// Counters continue in the table of the next daemon, except those of policies that it lacks, and
// after the table was restored.
func TestDropsByPolicyGoOn(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	a, b := twoChildren()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{a, b}, nil))
	attribute(t, g, set, "a", "b")
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"}, [2]string{"10.7.0.1", "10.3.0.1"})
	s.come(t, g, [2]string{"10.2.0.1", "10.1.0.5"})
	g.Close()
	set.Change(nil, []protect.ID{b.ID})
	g = openIn(t, s.gw, testConfig(), set.Whole())
	attribute(t, g, set, "a")
	wantDrops(t, g, "a out 1 in 1")
	nft(t, s.gw, "delete table inet "+g.tableNow())
	waitStats(t, g, func(st Stats) bool { return st.Repairs == 1 })
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"})
	wantDrops(t, g, "a out 2 in 1")
	set.Change([]protect.Policy{b}, nil)
	g.Close()
	g = openIn(t, s.gw, testConfig(), set.Whole())
	attribute(t, g, set, "a", "b")
	wantDrops(t, g, "a out 2 in 1", "b out 0 in 0")
}

// A changed policy comes back under another ID. Its name is the same, so its counter goes on, and
// nothing is sent to the kernel for that.
func TestDropsGoOnUnderAnotherID(t *testing.T) {
	s := newSite(t)
	set := protect.NewSet()
	a, _ := twoChildren()
	g := openIn(t, s.gw, testConfig(), set.Change([]protect.Policy{a}, nil))
	attribute(t, g, set, "a")
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"})
	wantDrops(t, g, "a out 1 in 0")
	old := a.ID
	a.ID = peerChild("b")
	if c := set.Change([]protect.Policy{a}, []protect.ID{old}); len(c.Groups) > 0 {
		t.Errorf("another ID is the change %+v", c)
	}
	b := newBatch("")
	g.mu.Lock()
	g.image.attribute(b, set.Owners(slices.Values([]protect.ID{a.ID})), nil)
	g.mu.Unlock()
	if !b.empty() {
		t.Errorf("another ID sends %q to the kernel", b.what)
	}
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"})
	wantDrops(t, g, "b out 2 in 0")
}

// After random changes the kernel counts random flows for the owners in the set.
func TestDropsAreTheOwners(t *testing.T) {
	s := newSite(t)
	for seed := range uint64(5) {
		p := &policies{rand.New(rand.NewPCG(seed, 5))}
		locals := [][]netip.Prefix{p.prefixes(2), p.prefixes(1), p.prefixes(3), p.prefixes(4)}
		set := protect.NewSet()
		g := openIn(t, s.gw, fewIn(2), set.Whole())
		table, want := g.tableNow(), make(map[protect.ID]Drops)
		for round := range 12 {
			if err := g.Apply(p.change(set, locals)); err != nil {
				t.Fatal(err)
			}
			var order []protect.ID
			for _, i := range p.rng.Perm(9)[:7] { // two have no counters
				order = append(order, peerChild(fmt.Sprint(i)))
			}
			if err := g.Attribute(set.Owners(slices.Values(order))); err != nil {
				t.Fatal(err)
			}
			known := set.Owners(slices.Values(order)).Policies()
			maps.DeleteFunc(want, func(id protect.ID, _ Drops) bool { return !slices.Contains(known, id) })
			for _, id := range known {
				if _, ok := want[id]; !ok {
					want[id] = Drops{} // it has a counter
				}
			}
			var packets [][]byte
			for range 150 {
				src, dst := p.address(), p.address()
				if src.Is4() != dst.Is4() || !dst.IsGlobalUnicast() || !protects(set, src, dst) {
					continue
				}
				packets = append(packets, ip(src, dst, unix.IPPROTO_UDP, 64, udpHeader(1, 7, payload(1))))
				if id, ok := owner(set, order, src, dst); ok {
					d := want[id]
					d.Out++
					want[id] = d
				}
			}
			send(t, s.gw, packets...)
			if _, got := g.Counted(); !maps.Equal(got, want) {
				t.Fatalf("seed %d, round %d: counted %v, want %v", seed, round, got, want)
			}
		}
		if g.tableNow() != table {
			t.Errorf("seed %d: a change was refused, and the table put up afresh", seed)
		}
		g.Close()
	}
}

// owner returns the owner of a flow in the set.
func owner(set *protect.Set, order []protect.ID, src, dst netip.Addr) (protect.ID, bool) {
	var in []int
	for _, g := range set.Groups() {
		if slices.ContainsFunc(g.Local, func(l netip.Prefix) bool { return l.Contains(src) }) {
			in = append(in, g.ID)
		}
	}
	for _, x := range set.Owners(slices.Values(order)).Of(in) {
		if !dst.Less(x.First) && !x.Last.Less(dst) {
			return x.ID, true
		}
	}
	return 0, false
}

// Every packet is dropped and counted while counters by policy are added, removed and reassigned.
func TestAttributeLeavesNoGap(t *testing.T) {
	s := newSite(t)
	set, local := protect.NewSet(), pfx("10.1.0.0/24", "fd01::/64")
	whole := set.Change([]protect.Policy{policy("a", local, pfx("10.2.0.0/24")), policy("b", local, pfx("10.2.0.0/25", "fd02::/64"))}, nil)
	g := openIn(t, s.gw, testConfig(), whole)
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan uint64)
	go func() {
		n := uint64(0)
		for ctx.Err() == nil {
			send(t, s.gw, udp("10.1.0.1", "10.2.0.1", 1, 7, 1), udp("10.1.0.1", "10.2.0.200", 1, 7, 1), udp("fd01::1", "fd02::1", 1, 7, 1))
			n += 3
		}
		sent <- n
	}()
	for range 60 {
		for _, order := range [][]string{{"a", "b"}, {"b"}, {}, {"a"}} {
			attribute(t, g, set, order...)
		}
	}
	cancel()
	n := <-sent
	send(t, s.gw, udp("192.0.2.1", "192.0.2.2", 1, 7, 9))
	s.seen.await(t, 9)
	if s.seen.has(1) {
		t.Error("a packet left in plain")
	}
	if st := g.Stats(); n == 0 || st.Out != n {
		t.Errorf("%d packets were sent, %d dropped", n, st.Out)
	}
}

// Without a change nothing is sent to the kernel, and the check of every minute finds no
// difference.
func TestAttributeWithoutChange(t *testing.T) {
	h := newHost(t)
	set := protect.NewSet()
	a, b := twoChildren()
	g := openIn(t, h, testConfig(), set.Change([]protect.Policy{a, b}, nil))
	attribute(t, g, set, "a", "b")
	before := newBatch("")
	g.mu.Lock()
	g.image.attribute(before, set.Owners(slices.Values([]protect.ID{a.ID, b.ID})), nil)
	g.mu.Unlock()
	if !before.empty() {
		t.Errorf("without a change there are %q", before.what)
	}
	g.inspect()
	attribute(t, g, set, "a")
	g.inspect()
	if n := g.Stats().Repairs; n != 0 {
		t.Errorf("%d repairs", n)
	}
}
