package selector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func texts(list []Selector) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.String())
	}
	return out
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		name                   string
		proposed, policy, want []string
	}{
		{"the same", []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{"ours is wider", []string{"10.1.0.0/16"}, []string{"0.0.0.0/0"}, []string{"10.1.0.0/16"}},
		{"ours is narrower", []string{"0.0.0.0/0"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{"nothing in common", []string{"10.1.0.0/16"}, []string{"10.2.0.0/16", "::/0"}, nil},
		{"nothing proposed", nil, []string{"10.2.0.0/16"}, nil},
		{"the packet's selector lies within the next", []string{"10.1.0.5/32 tcp/443", "10.1.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}},
		{"the packet's selector chooses its part", []string{"10.2.0.5/32 tcp/443", "0.0.0.0/0"}, []string{"10.1.0.0/16", "10.2.0.0/16"},
			[]string{"10.2.0.0/16", "10.1.0.0/16"}},
		{"the packet's selector is not allowed", []string{"10.3.0.5/32 tcp/443", "0.0.0.0/0"}, []string{"10.1.0.0/16", "10.2.0.0/16"},
			[]string{"10.1.0.0/16", "10.2.0.0/16"}},
		{"several", []string{"10.1.0.0/16", "10.2.0.0/16"}, []string{"10.2.5.0/24", "10.1.5.0/24"}, []string{"10.1.5.0/24", "10.2.5.0/24"}},
		{"ports", []string{"10.1.0.0/16 tcp"}, []string{"10.1.0.0/24 tcp/80-90", "10.1.0.0/24 udp/53"}, []string{"10.1.0.0/24 tcp/80-90"}},
		{"ranges", []string{"10.1.0.5-10.1.0.9"}, []string{"10.1.0.0-10.1.0.7"}, []string{"10.1.0.5-10.1.0.7"}},
		{"both families", []string{"::/0", "0.0.0.0/0"}, []string{"10.1.0.0/16", "2001:db8::/32"}, []string{"2001:db8::/32", "10.1.0.0/16"}},
		{"OPAQUE within ANY", []string{"10.1.0.0/16 tcp/opaque"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16 tcp/opaque"}},
	} {
		got := Narrow(mustParseAll(t, c.proposed...), mustParseAll(t, c.policy...))
		if !slices.Equal(texts(got), c.want) {
			t.Errorf("%s: Narrow(%v, %v) = %v, want %v", c.name, c.proposed, c.policy, texts(got), c.want)
		}
	}
}

func TestNarrowIgnoresInvalid(t *testing.T) {
	s := mustParse(t, "10.1.0.0/16 tcp/80")
	bad := s
	bad.Protocol = ProtoAny // ports without a protocol
	backwards := s
	backwards.Start, backwards.End = s.End, s.Start
	got := Narrow([]Selector{bad, backwards, {}, s}, []Selector{All(false)})
	if !slices.Equal(got, []Selector{s}) {
		t.Errorf("got %v, want %v alone", got, s)
	}
}

func TestNarrowIsBounded(t *testing.T) {
	var proposed, policy []Selector
	for i := range 255 {
		proposed = append(proposed, mustParse(t, fmt.Sprintf("10.0.0.0/8 tcp/%d-%d", i*100, i*100+99)))
		policy = append(policy, mustParse(t, fmt.Sprintf("10.%d.0.0/16", i)))
	}
	got := Narrow(proposed, policy)
	if len(got) != MaxSelectors {
		t.Errorf("%d selectors, want %d", len(got), MaxSelectors)
	}
	if want := mustParse(t, "10.0.0.0/16 tcp/0-99"); got[0] != want {
		t.Errorf("the first is %s, want %s", got[0], want)
	}
	same := slices.Repeat([]Selector{All(false)}, 255)
	if got := Narrow(same, same); len(got) != 1 {
		t.Errorf("%d selectors of the same, want 1", len(got))
	}
}

// checkNarrow holds what RFC 7296, Section 2.9 asks of a responder, and what a set intersection is.
func checkNarrow(t *testing.T, r *rand.Rand) {
	t.Helper()
	proposed, policy := validSelectors(r), validSelectors(r)
	got := Narrow(proposed, policy)
	if !Subset(got, proposed) || !Subset(got, policy) {
		t.Fatalf("Narrow(%v, %v) = %v, which is not a subset of both", proposed, policy, got)
	}
	for range 40 {
		f := randomFlow(r)
		if want := anySource(&f, proposed) && anySource(&f, policy); want != anySource(&f, got) {
			t.Fatalf("Narrow(%v, %v) = %v: %+v is in both: %v", proposed, policy, got, f, want)
		}
	}
	if Subset(proposed[:1], policy) && !Subset(proposed[:1], got) {
		t.Fatalf("Narrow(%v, %v) = %v, without the first choice", proposed, policy, got)
	}
	for i := range got {
		for j := range got {
			if i != j && got[i].Covers(got[j]) {
				t.Fatalf("Narrow(%v, %v) = %v, with more than is needed", proposed, policy, got)
			}
		}
	}
	if again := Narrow(got, policy); !slices.Equal(again, got) {
		t.Fatalf("Narrow of %v against %v again is %v", got, policy, again)
	}
}

func validSelectors(r *rand.Rand) []Selector {
	for {
		list := slices.DeleteFunc(randomSelectors(r, 5), func(s Selector) bool { return !s.Valid() })
		if len(list) != 0 {
			return list
		}
	}
}

func TestNarrowProperties(t *testing.T) {
	for seed := range uint64(1000) {
		checkNarrow(t, rand.New(rand.NewPCG(seed, 2)))
	}
}

func FuzzNarrow(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkNarrow(t, rand.New(rand.NewPCG(a, b))) })
}

func TestSubset(t *testing.T) {
	for _, c := range []struct {
		a, b []string
		want bool
	}{
		{nil, nil, true},
		{nil, []string{"10.0.0.0/8"}, true},
		{[]string{"10.0.0.0/8"}, nil, false},
		{[]string{"10.0.0.0/8"}, []string{"10.0.0.0/9", "10.128.0.0/9"}, true},
		{[]string{"10.0.0.0/8"}, []string{"10.0.0.0/9", "10.128.0.1-10.255.255.255"}, false},
		{[]string{"0.0.0.0/0"}, []string{"0.0.0.0/1", "128.0.0.0/1"}, true},
		{[]string{"::/0"}, []string{"::/1", "8000::/1"}, true},
		{[]string{"10.0.0.0/8 tcp/80-90"}, []string{"10.0.0.0/8 tcp/80-85", "10.0.0.0/8 tcp/86-95"}, true},
		{[]string{"10.0.0.0/8 tcp/80-90"}, []string{"10.0.0.0/8 tcp/80-85", "10.0.0.0/8 tcp/87-95"}, false},
		// ANY is more than all ports: it has the fragments as well.
		{[]string{"10.0.0.0/8 tcp"}, []string{"10.0.0.0/8 tcp/0-99", "10.0.0.0/8 tcp/100-65535"}, false},
		{[]string{"10.0.0.0/8 tcp"}, []string{"10.0.0.0/8 tcp/0-99", "10.0.0.0/8 tcp/100-65535", "10.0.0.0/8 tcp/opaque"}, true},
		{[]string{"10.0.0.0/8 tcp/opaque"}, []string{"10.0.0.0/8 tcp/1-99"}, false},
		{[]string{"10.0.0.0/8"}, []string{"10.0.0.0/8 tcp", "10.0.0.0/8 udp"}, false},
		{[]string{"10.1.0.0/16", "10.2.0.0/16"}, []string{"10.1.0.0-10.2.255.255"}, true},
	} {
		if got := Subset(mustParseAll(t, c.a...), mustParseAll(t, c.b...)); got != c.want {
			t.Errorf("Subset(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
	if !Equal(mustParseAll(t, "10.0.0.0/8"), mustParseAll(t, "10.128.0.0/9", "10.0.0.0/9")) {
		t.Error("two halves are not equal to the whole")
	}
}

// A subset's packets are all in the superset.
func TestSubsetProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	yes := 0
	for range 3000 {
		a, b := validSelectors(r), validSelectors(r)
		if !Subset(a, b) {
			continue
		}
		yes++
		for range 30 {
			if f := randomFlow(r); anySource(&f, a) && !anySource(&f, b) {
				t.Fatalf("Subset(%v, %v), but %+v is not", a, b, f)
			}
		}
	}
	if yes < 20 {
		t.Fatalf("only %d subsets were tried", yes)
	}
}

// The bounds of Narrow are exact.
func TestNarrowBounds(t *testing.T) {
	all := []Selector{All(false)}
	one := func(n int) Selector {
		return FromAddr(netip.AddrFrom4([4]byte{10, 0, byte(n >> 7), byte(n << 1)}))
	}
	var many []Selector
	for n := range 300 {
		many = append(many, one(n))
	}
	if got := Narrow(many, all); len(got) != 255 {
		t.Errorf("%d selectors of 300, want 255", len(got))
	}
	for copies, want := range map[int]int{4095: 2, 4096: 1} {
		proposed := append(slices.Repeat([]Selector{one(1)}, copies), one(2))
		if got := Narrow(proposed, all); len(got) != want {
			t.Errorf("behind %d copies of another: %v, want %d selectors", copies, got, want)
		}
	}
}
