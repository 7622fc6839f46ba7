package dataplane

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"culvert/internal/ipsec"
	"culvert/selector"
)

// idOf returns the ID that stands for a short name in a test.
func idOf(name string) (id ipsec.PolicyID) {
	for _, c := range []byte(name) {
		id = id<<8 | ipsec.PolicyID(c)
	}
	return id
}

// bypass returns a bypass of a name for all sources.
func bypass(t *testing.T, name string, list ...string) ipsec.Policy {
	t.Helper()
	return ipsec.Policy{ID: idOf(name), Local: everything(), Remote: nets(list...)}
}

// wantRefused wants a packet from src neither to be sealed nor given back, and its sender to learn
// of it.
func wantRefused(t *testing.T, a, b *gateway, src, to netip.AddrPort) {
	t.Helper()
	pkt := udpPacket(src, to, true, []byte("q"))
	a.queues[0].inject(pkt)
	if typ, code, _ := checkICMP(t, a.queues[0].want(t), pkt); typ != 3 && typ != 1 {
		t.Errorf("%s: type %d code %d", to, typ, code)
	}
	b.queues[0].wantIdle(t)
}

func wantThrough(t *testing.T, a, b *gateway, src, to netip.AddrPort) {
	t.Helper()
	pkt := udpPacket(src, to, true, []byte("q"))
	a.queues[0].inject(pkt)
	if got := b.queues[0].want(t); !bytes.Equal(got, pkt) {
		t.Errorf("%s: got %x, want the packet", to, got)
	}
}

func TestBypassIsNotSealed(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	in4, in6 := netip.MustParseAddrPort("10.2.5.1:53"), netip.MustParseAddrPort("[2001:db8:2:5::1]:53")
	wantThrough(t, a, b, src4, in4)
	a.SetBypasses([]ipsec.Policy{bypass(t, "x", "10.2.5.0/24", "2001:db8:2:5::/64")})
	wantRefused(t, a, b, src4, in4)
	wantRefused(t, a, b, src6, in6)
	wantThrough(t, a, b, src4, dst4)
	wantThrough(t, a, b, src6, dst6)
	a.SetBypasses(nil)
	wantThrough(t, a, b, src4, in4)
	wantThrough(t, a, b, src6, in6)
}

func TestLongestPrefixAgainstABypass(t *testing.T) {
	p := newGateway(t, 1, nil)
	policy := func(child string, remote ...string) ipsec.Policy {
		return ipsec.Policy{ID: idOf(child), Local: everything(), Remote: nets(remote...)}
	}
	p.SetBypasses([]ipsec.Policy{bypass(t, "x", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16")})
	if err := p.SetPolicies([]ipsec.Policy{policy("all", "0.0.0.0/0"), policy("small", "10.2.5.0/24"), policy("same", "10.3.0.0/16")}); err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"10.2.5.1": "small", "10.2.6.1": "", "10.3.0.1": "same", "10.4.0.1": "", "10.5.0.1": "all"} {
		f := selector.Flow{Src: src4.Addr(), Dst: netip.MustParseAddr(to), Protocol: 17}
		got, ok := p.policyFor(&f)
		if ok != (want != "") || ok && got.policy != idOf(want) {
			t.Errorf("%s: got a policy: %t, want %q", to, ok, want)
		}
	}
}

// Whatever changes, what is outside is what the last bypasses hold.
func TestBypassesComeAndGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 5))
	all := []string{"10.2.0.0/16", "10.2.5.0/24", "10.2.5.128/25", "10.3.0.0/16"}
	p := newGateway(t, 1, nil)
	names, now := []string{"x", "y", "z"}, map[string]ipsec.Policy{}
	for range 300 {
		name := names[rng.IntN(len(names))]
		c := bypass(t, name, all[rng.IntN(len(all))], all[rng.IntN(len(all))])
		switch rng.IntN(4) {
		case 0:
			p.ChangeBypasses(nil, []ipsec.PolicyID{c.ID})
			delete(now, name)
		case 1:
			p.SetBypasses([]ipsec.Policy{c})
			now = map[string]ipsec.Policy{name: c}
		default:
			p.ChangeBypasses([]ipsec.Policy{c}, nil)
			now[name] = c
		}
		if err := p.ChangePolicies([]ipsec.Policy{{ID: lan, Local: everything(), Remote: everything()[:1+rng.IntN(2)]}}, nil); err != nil {
			t.Fatal(err)
		}
		if got := p.spd.Load().Len(); got != len(now)+1 {
			t.Fatalf("got %d entries, want %d", got, len(now)+1)
		}
		for _, to := range []string{"10.2.1.1", "10.2.5.1", "10.2.5.129", "10.3.0.1", "10.4.0.1"} {
			f, outside := selector.Flow{Src: src4.Addr(), Dst: netip.MustParseAddr(to), Protocol: 17}, false
			for _, b := range now {
				outside = outside || selector.MatchOutbound(&f, b.Local, b.Remote)
			}
			if _, ok := p.policyFor(&f); ok == outside {
				t.Fatalf("%s: a policy: %t, with bypasses %v", to, ok, now)
			}
		}
	}
}

// Fragments of what is bypassed are looked up by the SPD in other ways than whole packets.
func TestBypassOfFragments(t *testing.T) {
	a, b, _ := tunnel(t, 1)
	ports, err := selector.ParseSelector("10.3.0.0/16 udp/53")
	if err != nil {
		t.Fatal(err)
	}
	limited := ipsec.Policy{ID: idOf("ports"), Local: everything(), Remote: []selector.Selector{ports}}
	if err := a.ChangePolicies([]ipsec.Policy{limited}, nil); err != nil {
		t.Fatal(err)
	}
	a.SetBypasses([]ipsec.Policy{bypass(t, "x", "10.2.5.0/24", "10.3.5.0/24")})
	for _, to := range []string{"10.2.5.1:53", "10.3.5.1:53"} {
		whole := udpPacket(src4, netip.MustParseAddrPort(to), false, random(64))
		first, later := bytes.Clone(whole[:20+32]), append(bytes.Clone(whole[:20]), whole[20+32:]...)
		for i, f := range [][]byte{first, later} {
			binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
			binary.BigEndian.PutUint16(f[4:], 77)
			binary.BigEndian.PutUint16(f[6:], []uint16{0x2000, 4}[i])
			binary.BigEndian.PutUint16(f[10:], 0)
			binary.BigEndian.PutUint16(f[10:], ^fold(sum16(f[:20])))
		}
		before := a.Counters()["out_no_policy"]
		a.queues[0].inject(later)
		a.queues[0].inject(first)
		a.queues[0].inject(later)
		a.wantCounter(t, "out_no_policy", before+3)
		b.queues[0].wantIdle(t)
	}
}
