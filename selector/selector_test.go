package selector

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestValid(t *testing.T) {
	a4, b4 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
	a6 := netip.MustParseAddr("2001:db8::1")
	mapped := netip.MustParseAddr("::ffff:10.0.0.1")
	for _, c := range []struct {
		name string
		s    Selector
		want bool
	}{
		{"zero", Selector{}, false},
		{"plain", Selector{a4, b4, 0, 0, 65535}, true},
		{"backwards", Selector{b4, a4, 0, 0, 65535}, false},
		{"two families", Selector{a4, a6, 0, 0, 65535}, false},
		{"mapped", Selector{mapped, mapped, 0, 0, 65535}, false},
		{"zone", Selector{a6.WithZone("x"), a6.WithZone("x"), 0, 0, 65535}, false},
		{"ports without protocol", Selector{a4, b4, 0, 80, 80}, false},
		{"OPAQUE without protocol", Selector{a4, b4, 0, 65535, 0}, false},
		{"tcp", Selector{a4, b4, 6, 80, 81}, true},
		{"tcp backwards", Selector{a4, b4, 6, 81, 80}, false},
		{"tcp OPAQUE", Selector{a4, b4, 6, 65535, 0}, true},
		{"gre OPAQUE", Selector{a4, b4, 47, 65535, 0}, true},
		{"gre with ports", Selector{a4, b4, 47, 1, 2}, false},
		{"icmp over v6", Selector{a6, a6, 1, 0, 65535}, false},
		{"icmpv6 over v4", Selector{a4, b4, 58, 0, 65535}, false},
		{"mobility over v4", Selector{a4, b4, 135, 0, 65535}, false},
		{"icmpv6", Selector{a6, a6, 58, 0x8000, 0x80ff}, true},
	} {
		if got := c.s.Valid(); got != c.want {
			t.Errorf("%s: Valid() = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFromPrefix(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10.1.2.3/16", "10.1.0.0/16"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"::ffff:10.1.2.3/112", "10.1.0.0/16"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
	} {
		if got := FromPrefix(netip.MustParsePrefix(c.in)).String(); got != c.want {
			t.Errorf("FromPrefix(%s) = %s, want %s", c.in, got, c.want)
		}
	}
	if got := All(true).String() + All(false).String(); got != "::/00.0.0.0/0" {
		t.Errorf("All: %s", got)
	}
}

func TestMatch(t *testing.T) {
	tcp := Flow{Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("10.2.0.5"), Protocol: ProtoTCP, SrcPort: 40000, DstPort: 443}
	fragment := tcp
	fragment.SrcPort, fragment.DstPort, fragment.PortsUnknown = 0, 0, true
	echo := Flow{Src: tcp.Src, Dst: tcp.Dst, Protocol: ProtoICMP, SrcPort: 0x800, DstPort: 0x800}
	for _, c := range []struct {
		name          string
		f             Flow
		local, remote string
		want          bool
	}{
		{"any", tcp, "10.1.0.0/16", "10.2.0.0/16", true},
		{"other source", tcp, "10.3.0.0/16", "10.2.0.0/16", false},
		{"other destination", tcp, "10.1.0.0/16", "10.3.0.0/16", false},
		{"port", tcp, "10.1.0.0/16", "10.2.0.0/16 tcp/443", true},
		{"the port of the other side", tcp, "10.1.0.0/16 tcp/443", "10.2.0.0/16", false},
		{"other protocol", tcp, "10.1.0.0/16", "10.2.0.0/16 udp/443", false},
		{"OPAQUE, ports seen", tcp, "10.1.0.0/16", "10.2.0.0/16 tcp/opaque", false},
		{"fragment, port", fragment, "10.1.0.0/16", "10.2.0.0/16 tcp/443", false},
		{"fragment, port 0 on", fragment, "10.1.0.0/16", "10.2.0.0/16 tcp/0-443", false},
		{"fragment, any port", fragment, "10.1.0.0/16", "10.2.0.0/16 tcp", true},
		{"fragment, OPAQUE", fragment, "10.1.0.0/16 tcp/opaque", "10.2.0.0/16 tcp/opaque", true},
		{"icmp type", echo, "10.1.0.0/16 icmp/8", "10.2.0.0/16 icmp/8", true},
		{"icmp type on one side", echo, "10.1.0.0/16", "10.2.0.0/16 icmp/8", true},
		{"icmp other type", echo, "10.1.0.0/16", "10.2.0.0/16 icmp/0", false},
		// RFC 4301, Section 4.4.1.3, cases C and D.
		{"icmp, sent but not received", echo, "10.1.0.0/16 icmp/8", "10.2.0.0/16 icmp/opaque", true},
		{"icmp, received but not sent", echo, "10.1.0.0/16 icmp/opaque", "10.2.0.0/16 icmp/8", false},
	} {
		local, remote := mustParseAll(t, "192.0.2.0/24", c.local), mustParseAll(t, c.remote)
		if got := MatchOutbound(&c.f, local, remote); got != c.want {
			t.Errorf("%s: MatchOutbound = %v, want %v", c.name, got, c.want)
		}
		back := c.f.Reverse()
		if c.f.Protocol != ProtoICMP && MatchInbound(&back, local, remote) != c.want {
			t.Errorf("%s: MatchInbound of the answer is not %v", c.name, c.want)
		}
	}
	back := echo.Reverse()
	if MatchInbound(&back, mustParseAll(t, "10.1.0.0/16 icmp/8"), mustParseAll(t, "10.2.0.0/16 icmp/opaque")) {
		t.Error("an echo request came in through selectors that only send them")
	}
	if !MatchInbound(&back, mustParseAll(t, "10.1.0.0/16 icmp/opaque"), mustParseAll(t, "10.2.0.0/16 icmp/8")) {
		t.Error("an echo request was refused by selectors that receive them")
	}
}

func TestSpecific(t *testing.T) {
	f := Flow{Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("10.2.0.5"), Protocol: ProtoTCP, SrcPort: 40000, DstPort: 443}
	check := func(wantLocal, wantRemote string) {
		t.Helper()
		local, remote := Specific(&f)
		if local.String() != wantLocal || remote.String() != wantRemote {
			t.Errorf("Specific = %s, %s; want %s, %s", local, remote, wantLocal, wantRemote)
		}
	}
	check("10.1.0.5/32 tcp/40000", "10.2.0.5/32 tcp/443")
	f.PortsUnknown = true
	check("10.1.0.5/32 tcp", "10.2.0.5/32 tcp")
}

// Covers, Intersect and Overlaps agree with each other and with what packets match.
func TestSetRelations(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	for range 3000 {
		a, b := randomSelector(r), randomSelector(r)
		if !a.Valid() || !b.Valid() {
			continue
		}
		both, ok := a.Intersect(b)
		other, otherOK := b.Intersect(a)
		if ok != otherOK || both != other || ok != a.Overlaps(b) || ok && !both.Valid() {
			t.Fatalf("%s and %s: %s %v, %s %v", a, b, both, ok, other, otherOK)
		}
		if ok && (!a.Covers(both) || !b.Covers(both)) || a.Covers(b) != (ok && both == b) || !a.Covers(a) {
			t.Fatalf("%s and %s: covers disagrees with %s %v", a, b, both, ok)
		}
		for range 10 {
			f := randomFlow(r)
			inBoth := a.MatchesSource(&f) && b.MatchesSource(&f)
			if inBoth != (ok && both.MatchesSource(&f)) {
				t.Fatalf("%+v: %s and %s, but %s %v", f, a, b, both, ok)
			}
		}
	}
}
