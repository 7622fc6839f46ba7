package verdict

import (
	"net/netip"
	"testing"
	"time"

	"culvert/selector"
)

func nets(list ...string) (out []selector.Selector) {
	for _, s := range list {
		out = append(out, selector.FromPrefix(netip.MustParsePrefix(s)))
	}
	return out
}

// lan is a child that is up.
func lan(edit func(c *Child)) Child {
	c := Child{Name: "lan", Up: true, AskedLocal: nets("10.1.0.0/16"), AskedRemote: nets("10.2.0.0/16")}
	c.Local, c.Remote = c.AskedLocal, c.AskedRemote
	if edit != nil {
		edit(&c)
	}
	return c
}

// with returns a peer with a child.
func (p Peer) with(c Child) Peer {
	p.Children = []Child{c}
	return p
}

func flow(src, dst string, protocol uint8, port uint16) Flow {
	return Flow{Flow: selector.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: protocol, DstPort: port}, At: ago(time.Second)}
}

// every returns peers of which each verdict comes.
func every() []Peer {
	up := Peer{Up: true, Calls: true, Heard: now}
	unheard := lan(func(c *Child) { c.Unheard.Since, c.Unheard.Packets = ago(time.Minute), 9 })
	return []Peer{
		{Unreachable: "x"}, {Asked: Asked{Message: "IKE_AUTH", Times: 9, PortChanged: true}}, {Asked: Asked{Message: "IKE_SA_INIT", Times: 9}},
		{Asked: Asked{Message: "IKE_AUTH", Times: 9}}, {Failed: "x"}, {Begun: Begun{1, ago(time.Minute)}}, {},
		{Up: true, Asked: Asked{Times: 2}}, {Up: true, ESPBlocked: true}, {Up: true, Restarted: now}, {Up: true, Established: []time.Time{now, now, now, now, now}},
		{Up: true, Outer: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, NoPolicy: []Flow{flow("192.0.2.1", "192.0.2.2", 50, 0)}},
		up.with(unheard), up.with(Child{Failed: "x"}), up.with(lan(func(c *Child) { c.Failed = "x" })), up.with(lan(func(c *Child) { c.Narrowed = true })),
		up.with(lan(func(c *Child) { c.PathMTU, c.LinkMTU, c.MTU = 1300, 1500, 1238 })),
		up.with(lan(func(c *Child) { c.Drops = []Drop{{Reason: "icv", Count: 10}} })),
		{Up: true, NoPolicy: []Flow{flow("192.0.2.1", "10.2.0.1", 6, 443)}, Children: []Child{lan(nil)}},
	}
}

func TestESPBlocked(t *testing.T) {
	wantRulings(t, ofPeer(espBlocked), []ruling{
		{"nothing was found", Peer{Up: true}, ""},
		{"it is down", Peer{ESPBlocked: true}, ""},
		{"blocked", Peer{Up: true, ESPBlocked: true}, "bad esp-blocked : ESP arrives neither in UDP port 4500 nor as IP protocol 50, while the peer answers IKE | let UDP port 4500 or IP protocol 50 pass on the way, in both directions"},
	})
}

func TestNothingReceived(t *testing.T) {
	unheard := func(packets uint64, since time.Duration, edit func(c *Child)) Child {
		return lan(func(c *Child) {
			c.Unheard.Since, c.Unheard.Packets = ago(since), packets
			if edit != nil {
				edit(c)
			}
		})
	}
	up := Peer{Up: true, Heard: ago(time.Second)}
	says := "warn nothing-received lan: sent 20 packets in 12 s and received none"
	behind := "; or the peer, or what is behind it, drops them or has no way back"
	raw := says + ", while the peer answers IKE: IP protocol 50 may be dropped on the way | if these flows are to be answered, let IP protocol 50 pass in both directions or send ESP in UDP by encap = \"always\"" + behind
	old, blocked, asks, down := up, up, up, up
	old.Heard, blocked.ESPBlocked, asks.Asked.Times, down.Up = ago(13*time.Second), true, 1, false
	wantRulings(t, ofChildren(nothingReceived), []ruling{
		{"packets came", up.with(lan(nil)), ""},
		{"protocol 50", up.with(unheard(20, 12*time.Second, nil)), raw},
		{"in UDP", up.with(unheard(20, 12*time.Second, func(c *Child) { c.Encapsulated = true })), says + ", while the peer answers IKE: ESP in UDP may be dropped on the way | if these flows are to be answered, let ESP in UDP pass in both directions" + behind},
		{"manual keys", Peer{Manual: true}.with(unheard(20, 12*time.Second, nil)), says + ": IP protocol 50 may be dropped on the way | if these flows are to be answered, let IP protocol 50 pass in both directions or send ESP in UDP by encap = \"always\"" + behind},
		{"IKE is silent as well", old.with(unheard(20, 12*time.Second, nil)), "warn in-doubt lan: in doubt: sent 20 packets in 12 s and received none, and nothing of IKE either for 13 s | is the peer on, and has its address or the way changed? it is asked when dpd says so; `culvert down` and `up` ask at once"},
		{"few", up.with(unheard(unheardPackets-1, time.Hour, nil)), ""},
		{"not for long", up.with(unheard(1000, unheardFor-1, nil)), ""},
		{"the child is down", up.with(unheard(20, 12*time.Second, func(c *Child) { c.Up = false })), ""},
		{"no ESP passes", blocked.with(unheard(20, 12*time.Second, nil)), ""},
		{"the peer is being asked", asks.with(unheard(20, 12*time.Second, nil)), ""},
		{"the peer is down", down.with(unheard(20, 12*time.Second, nil)), ""},
	})
	if v := Judge(&[]Peer{func() Peer { p := up.with(unheard(3, unheardFor, nil)); p.Now = now; p.Calls = true; return p }()}[0]); len(v) != 1 {
		t.Errorf("just enough: %+v", v)
	}
}

func TestForeignSource(t *testing.T) {
	says := "warn source-not-covered lan: packets to its networks are dropped, as their source is not in its local networks: 192.0.2.1 to 10.2.0.1, tcp port 443, 10.1.0.0/16 | if another address was meant as the source, exempt these packets from masquerading (NAT) on this host, or bind the program to it; else add the source on both sides"
	seen := func(f Flow) Peer { return Peer{Up: true, NoPolicy: []Flow{f}}.with(lan(nil)) }
	old := flow("192.0.2.1", "10.2.0.1", 6, 443)
	old.At = ago(lately + 1)
	wantRulings(t, ofChildren(foreignSource), []ruling{
		{"another source", seen(flow("192.0.2.1", "10.2.0.1", 6, 443)), says},
		{"its own source", seen(flow("10.1.0.1", "10.2.0.1", 6, 443)), ""},
		{"elsewhere", seen(flow("192.0.2.1", "10.3.0.1", 6, 443)), ""},
		{"long ago", seen(old), ""},
	})
}

func TestDrops(t *testing.T) {
	of := func(list ...Drop) Peer { return Peer{Up: true}.with(lan(func(c *Child) { c.Drops = list })) }
	last := flow("10.9.0.1", "10.1.0.5", 17, 53)
	old := last
	old.At = ago(lately + 1)
	wantRulings(t, ofChildren(drops), []ruling{
		{"few", of(Drop{"icv", dropsEnough - 1, last}), ""},
		{"usual ones", of(Drop{"too_big", 1000, last}), ""},
		{"many", of(Drop{"icv", 12, Flow{}}, Drop{"selector_mismatch", 13, last}), "warn dropping lan: 13 packets dropped within a minute (selector_mismatch): packets of the peer are not of this child's networks; the last one was 10.9.0.1 to 10.1.0.5, udp port 53 | the peer sends others than were agreed: compare the networks of both sides"},
		{"the last one is old", of(Drop{"replay", 10, old}), "warn dropping lan: 10 packets dropped within a minute (replay): packets of the peer came again or too late | a copy on the way, or a path that reorders: see the replay window of the child"},
	})
}

func TestNarrowed(t *testing.T) {
	narrow := func(edit func(c *Child)) Peer {
		return Peer{Up: true}.with(lan(func(c *Child) {
			c.Narrowed, c.Remote, c.AskedRemote = true, nets("10.2.1.0/24"), nets("10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16", "10.7.0.0/16")
			edit(c)
		}))
	}
	wantRulings(t, ofChildren(narrowed), []ruling{
		{"all was granted", narrow(func(c *Child) { c.Narrowed = false }), ""},
		{"it is down", narrow(func(c *Child) { c.Up = false }), ""},
		{"less", narrow(func(*Child) {}), "note narrowed lan: the peer granted 10.1.0.0/16 <-> 10.2.1.0/24 of 10.1.0.0/16 <-> 10.2.0.0/16 10.3.0.0/16 10.4.0.0/16 10.5.0.0/16 and 2 more; packets outside are refused | give both sides the same networks"},
	})
}

func TestSmallPath(t *testing.T) {
	path := func(path, link, mtu int, up bool) Peer {
		return Peer{Up: true}.with(lan(func(c *Child) { c.PathMTU, c.LinkMTU, c.MTU, c.Up = path, link, mtu, up }))
	}
	wantRulings(t, ofChildren(smallPath), []ruling{
		{"smaller", path(1300, 1500, 1238, true), "note small-path lan: the path takes packets of 1300 octets, and this host's link 1500: packets inside have up to 1238 | "},
		{"as large", path(1500, 1500, 1438, true), ""},
		{"unknown", path(0, 1500, 1438, true), ""},
		{"an old pair", path(1300, 1500, 0, true), ""},
		{"it is down", path(1300, 1500, 1238, false), ""},
	})
}

func TestLoops(t *testing.T) {
	seen := func(f Flow) Peer { return Peer{Up: true, Outer: []netip.Addr{ikePort.Addr()}, NoPolicy: []Flow{f}} }
	says := func(what string) string {
		return "bad loop : a loop: packets of IKE or ESP to the peer are routed into the tunnel: 192.0.2.1 to 192.0.2.2, " + what + " | another program sends them, or removed culvert's routing rules: see `ip rule` and `ip route get 192.0.2.2`"
	}
	old := flow("192.0.2.1", "192.0.2.2", 50, 0)
	old.At = ago(lately + 1)
	wantRulings(t, ofPeer(loops), []ruling{
		{"ESP", seen(flow("192.0.2.1", "192.0.2.2", 50, 0)), says("esp")},
		{"IKE", seen(flow("192.0.2.1", "192.0.2.2", 17, 500)), says("udp port 500")},
		{"at the NAT port", seen(flow("192.0.2.1", "192.0.2.2", 17, 4500)), says("udp port 4500")},
		{"something else", seen(flow("192.0.2.1", "192.0.2.2", 17, 53)), ""},
		{"to another host", seen(flow("192.0.2.1", "192.0.2.3", 50, 0)), ""},
		{"long ago", seen(old), ""},
	})
}

func TestFlowText(t *testing.T) {
	unknown := flow("10.1.0.1", "10.2.0.1", 17, 0)
	unknown.PortsUnknown = true
	for want, f := range map[string]Flow{
		"10.1.0.1 to 10.2.0.1, icmp":         flow("10.1.0.1", "10.2.0.1", 1, 8<<8),
		"fd00::1 to fd00::2, icmpv6":         flow("fd00::1", "fd00::2", 58, 0),
		"10.1.0.1 to 10.2.0.1, udp":          unknown,
		"10.1.0.1 to 10.2.0.1, protocol 132": flow("10.1.0.1", "10.2.0.1", 132, 80),
	} {
		if got := flowText(&f.Flow); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
