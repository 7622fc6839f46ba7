package ike

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"culvert/ike/wire"
)

// limitAuth gives the sides' authentications their limits, and right's IKE SAs a short lifetime.
func limitAuth(left, right, rekey time.Duration) func(*testPair) {
	return func(p *testPair) {
		p.left.peers[0].AuthLifetime, p.right.peers[0].AuthLifetime = left, right
		p.right.peers[0].Lifetime = rekey
	}
}

// TestReauthentication runs 20 lives of an authentication that one side limits, or both, with and
// without rekeyings of the IKE SA in between. The side that connected authenticates again each time
// before the end, and no packet is lost.
func TestReauthentication(t *testing.T) {
	const life = 40 * time.Second
	for name, limits := range map[string]func(*testPair){
		"ours":                limitAuth(life, 0, time.Hour),
		"the peer's":          limitAuth(0, life, time.Hour),
		"ours is shorter":     limitAuth(life, time.Hour, time.Hour),
		"theirs is shorter":   limitAuth(time.Hour, life, time.Hour),
		"both are the same":   limitAuth(life, life, time.Hour),
		"the peer's, rekeyed": limitAuth(0, life, 15*time.Second),
		"ours, rekeyed":       limitAuth(life, 0, 15*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, limits)
			p.up2()
			p.wantSteadyTraffic(20 * life)
			n := p.left.requests(wire.IKESAInit)
			if n < 20 || n > 30 || p.right.requests(wire.IKESAInit) != 0 {
				t.Errorf("%d IKE SAs were made by left and %d by right in 20 lives", n, p.right.requests(wire.IKESAInit))
			}
			if said := p.left.saidAll() + p.right.saidAll(); !strings.Contains(said, "replaced: authenticated again") || strings.Contains(said, "expired") {
				t.Errorf("they say %s", said)
			}
			p.wantTunnel()
		})
	}
}

// TestAuthenticationExpires lets no new IKE SA come up. The old one ends with the authentication,
// and not with the lifetime of the IKE SA that a rekeying gave it.
func TestAuthenticationExpires(t *testing.T) {
	for name, limits := range map[string]func(*testPair){
		"ours":       limitAuth(time.Minute, 0, 25*time.Second),
		"the peer's": limitAuth(0, time.Minute, 25*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, limits)
			p.up2()
			began, link := p.now, p.link
			p.link = func(pk *testPacket) []time.Duration {
				if pk.msg != nil && pk.msg.hdr.Exchange == wire.IKESAInit {
					return nil
				}
				return link(pk)
			}
			p.drive(56 * time.Second)
			p.wantTunnel()
			p.drive(began.Add(61 * time.Second).Sub(p.now))
			for _, s := range []*testSide{p.left, p.right} {
				if s.e.peers.order[0].party.main() != nil {
					t.Errorf("%s still has an IKE SA", s.name)
				}
			}
			if said := p.left.saidAll() + p.right.saidAll(); !strings.Contains(said, "its authentication has expired") {
				t.Errorf("they say %s", said)
			}
		})
	}
}

// TestPeerChangesItsLimit has the responder tell another limit in an INFORMATIONAL request. The
// initiator has none to tell, and one of less than 10 s or of another form changes nothing more.
func TestPeerChangesItsLimit(t *testing.T) {
	limit := func(data ...byte) wire.Payload { return &wire.Notify{Kind: wire.AuthLifetime, Data: data} }
	seconds := func(n uint32) wire.Payload { return limit(binary.BigEndian.AppendUint32(nil, n)...) }
	for _, c := range []struct {
		name   string
		notify wire.Payload
		want   time.Duration
	}{
		{"longer", seconds(7200), 2 * time.Hour},
		{"shorter", seconds(60), time.Minute},
		{"too short", seconds(0), minToldLife},
		{"the longest", seconds(1<<32 - 1), (1<<32 - 1) * time.Second},
		{"of three octets", limit(0, 0, 60), time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, 1, limitAuth(0, time.Hour, 8*time.Hour))
			a := newAttack(p)
			p.up2()
			main, _ := a.established(p.left)
			if got := main.auth.ends().Sub(main.life.established); got != time.Hour {
				t.Fatalf("the peer's limit is followed as %v", got)
			}
			now := p.now
			a.asPeer(p.left, wire.Informational, c.notify)
			since := now
			if c.want == time.Hour {
				since = main.life.established
			}
			if got := main.auth.ends().Sub(since); got != c.want {
				t.Errorf("it ends after %v, want %v", got, c.want)
			}
			responder, _ := a.established(p.right)
			end := responder.auth.ends()
			a.asPeer(p.right, wire.Informational, c.notify)
			if responder.auth.ends() != end {
				t.Error("a responder follows a limit of the initiator's")
			}
		})
	}
}
