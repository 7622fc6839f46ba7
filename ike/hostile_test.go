package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/ike/proposal/proposaltest"
	"culvert/ike/wire"
)

// Bugs of other daemons, each as a test: the input is dropped or answered as the RFC demands,
// counted, and has no other effect. The names begin with the bug's source.

// hostileRow is one of them: it attacks the right side of a tunnel that is up.
type hostileRow struct {
	name   string
	attack func(a *attack)
	// ends: the tunnel may change. The peer did it with its own keys, and RFC 7296, Section 2.21.3
	// lets the IKE SA end.
	ends bool
}

func TestHostile(t *testing.T) {
	for _, rows := range [][]hostileRow{hostileInit, hostileAuth, hostileClear, hostilePeer} {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) { runHostile(t, row) })
		}
	}
}

func runHostile(t *testing.T, row hostileRow) {
	p := newPair(t, 7, func(p *testPair) {
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].DPD = 0
			s.peers[0].Lifetime, s.peers[0].Children[0].Lifetime = 100*time.Hour, 100*time.Hour
		}
	})
	p.up()
	a := newAttack(p)
	before, counted := p.right.snapshot(), countAll(p.right)
	row.attack(a)
	p.drive(5 * time.Minute) // half-open ones expire
	p.wantSound()
	if countAll(p.right) == counted {
		p.fatalf("nothing is counted: %v", p.right.e.Counters())
	}
	if p.right.e.Counters()["ike_panic"] > 0 {
		p.fatalf("panic: %s", p.wantNotice(p.right, "panic").Text)
	}
	if len(a.replies) > 0 && a.replies[0].data == nil {
		p.fatalf("an empty reply")
	}
	if !row.ends {
		if after := p.right.snapshot(); after != before {
			p.fatalf("the state changed from\n%s\nto\n%s", before, after)
		}
		p.wantTunnel()
	}
	p.stillWorks(row.ends)
}

// stillWorks checks that the tunnel carries packets and can be rekeyed by the side that was
// attacked, after reconnecting if it ended.
func (p *testPair) stillWorks(reconnect bool) {
	p.t.Helper()
	if reconnect {
		p.left.disconnect("")
		p.drive(3 * time.Minute)
		p.up()
	}
	p.lost = nil
	p.left.traffic("lan")
	p.right.traffic("lan")
	ref := p.right.rekey("lan")
	p.drive(10 * time.Second)
	p.wantDone(p.right, ref, "")
	p.left.traffic("lan")
	p.right.traffic("lan")
	p.drive(time.Second)
	p.wantNoLoss()
	p.wantTunnel()
}

// snapshot is the state that an attack must not change.
func (s *testSide) snapshot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "IKE SAs %d, half-open %d, pairs %d, SPIs %d, computations %d;", len(s.e.sas.bySPI), s.e.sas.halfOpen.Count(), s.e.pairs.Len(), len(s.plane.allocated), len(s.e.jobs.waiting))
	for _, psa := range s.plane.ofPolicy(s.policy("lan")) {
		fmt.Fprintf(&b, " child %d %08x %08x %v %v %v", psa.sa.ID, psa.sa.SPIIn, psa.sa.SPIOut, psa.sa.Path, psa.sa.LocalTS, psa.sa.RemoteTS)
	}
	for _, sa := range s.e.peers.order[0].party.sas {
		fmt.Fprintf(&b, " IKE %v %v %v", sa.spi, sa.state, sa.net.Path)
	}
	return b.String()
}

func countAll(s *testSide) uint64 {
	var n uint64
	for _, v := range s.e.Counters() {
		n += v
	}
	return n
}

// wantReplies checks that the attacker got at most n replies, all of this kind.
func (a *attack) wantReplies(most int, kind wire.NotifyType) {
	a.t.Helper()
	if len(a.replies) > most {
		a.fatalf("the attacker got %d replies, want %d at most", len(a.replies), most)
	}
	for _, r := range a.replies {
		if n := firstOf[*wire.Notify](r.msg.payloads); n == nil || n.Kind != kind {
			a.fatalf("the attacker got %v, want %v", r.msg, kind)
		}
	}
	a.replies = nil
}

// hostileInit: IKE_SA_INIT requests of strangers.
var hostileInit = []hostileRow{
	{"CVE-2013-6467: INIT with a payload withheld, renumbered, twice", func(a *attack) {
		ps := a.newRogue(a.right).payloads()
		for i := range ps {
			a.inject(a.right, attacker, a.newRogue(a.right).message(slices.Delete(slices.Clone(ps), i, i+1)))
			a.inject(a.right, attacker, a.newRogue(a.right).message(append(slices.Clone(ps), ps[i])))
			data := a.newRogue(a.right).message(ps)
			data[16+i%2*12] = byte(200 + i) // the header's or the first payload's Next Payload
			a.inject(a.right, attacker, data)
		}
		a.drive(time.Second)
		for _, r := range a.replies {
			if n := firstOf[*wire.Notify](r.msg.payloads); n == nil || !n.Kind.IsError() {
				a.fatalf("answered with %v", r.msg)
			}
		}
	}, false},
	{"CVE-2014-9221: KE of every odd group", func(a *attack) {
		for _, group := range []wire.TransformID{0, 1, 3, 4, 6, 13, 17, 22, 30, 32, 33, 38, 1023, 1024, 1025, 65535} {
			r := a.newRogue(a.right)
			ps := r.payloads()
			ps[1] = &wire.KE{Group: group, Data: r.ke.public}
			a.inject(a.right, attacker, r.message(ps))
		}
		a.wantReplies(16, wire.InvalidKEPayload)
	}, false},
	{"free5gc and others: KE of zero, short, long", func(a *attack) {
		for _, public := range [][]byte{nil, {0}, make([]byte, 34), make([]byte, 33), make([]byte, 5000)} {
			r := a.newRogue(a.right)
			ps := r.payloads()
			ps[1] = &wire.KE{Group: wire.GroupX25519, Data: public}
			a.inject(a.right, attacker, r.message(ps))
		}
		a.drive(time.Second)
		for _, r := range a.replies {
			if firstOf[*wire.SA](r.msg.payloads) != nil {
				a.fatalf("answered with %v", r.msg)
			}
		}
	}, false},
	{"CVE-2016-5391: proposals without a transform type, with two, with odd key lengths", func(a *attack) {
		for _, words := range []string{"gcm256 prf256", "gcm256 x25519", "prf256 x25519", "", "gcm0 prf256 x25519", "gcm1 prf256 x25519", "gcmff prf256 x25519", "gcm256 prf256 noke", "gcm256 sha256 prf256 x25519", "null prf256 x25519"} {
			r := a.newRogue(a.right)
			ps := r.payloads()
			ps[0] = &wire.SA{Proposals: proposaltest.Parse(a.t, "ike "+words)}
			a.inject(a.right, attacker, r.message(ps))
		}
		a.wantReplies(10, wire.NoProposalChosen)
	}, false},
	{"libreswan ikev2-unknown-payload: a critical one in INIT", func(a *attack) {
		r := a.newRogue(a.right)
		a.inject(a.right, attacker, r.message(append(r.payloads(), &wire.Unknown{PayloadType: 199, Critical: true})))
		a.wantReplies(1, wire.UnsupportedCriticalPayload)
	}, false},
	{"Trustwave and CVE-2022-23094: datagrams of 0 to 27 octets, wrong lengths, major versions 0, 1, 3, 15", func(a *attack) {
		data := a.newRogue(a.right).message(a.newRogue(a.right).payloads())
		for n := range wire.HeaderLen {
			a.inject(a.right, attacker, data[:n])
		}
		for _, length := range []uint32{0, 1, 27, 28, uint32(len(data) - 1), uint32(len(data) + 1), 1<<32 - 1} {
			bad := slices.Clone(data)
			binary.BigEndian.PutUint32(bad[24:], length)
			a.inject(a.right, attacker, bad)
		}
		for _, major := range []byte{0, 1, 3, 15} {
			bad := slices.Clone(data)
			bad[17] = major << 4
			a.inject(a.right, attacker, bad)
		}
		a.drive(time.Second)
		for _, r := range a.replies {
			if n := firstOf[*wire.Notify](r.msg.payloads); n == nil || n.Kind != wire.InvalidMajorVersion && n.Kind != wire.InvalidSyntax {
				a.fatalf("answered with %v", r.msg)
			}
		}
	}, false},
	{"IKE amplification: one INIT, one bounded reply, never again", func(a *attack) {
		r := a.newRogue(a.right)
		data := r.message(r.payloads())
		a.inject(a.right, attacker, data)
		a.drive(10 * time.Minute)
		if len(a.replies) != 1 || len(a.replies[0].data) > 2*len(data) {
			a.fatalf("%d replies to %d octets, the first of %d", len(a.replies), len(data), len(a.replies[0].data))
		}
	}, false},
	{"RFC 8019: a flood of half-open SAs", floodHalfOpen, true},
}

func floodHalfOpen(a *attack) {
	most := 0
	for i := range 5000 {
		r := a.newRogue(a.right)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 500)
		a.inject(a.right, from, r.message(r.payloads()))
		if i%100 == 0 {
			a.drive(time.Millisecond)
		}
		most = max(most, len(a.right.e.sas.bySPI)+len(a.right.e.sas.halfOpen.bySPI))
	}
	a.drive(time.Second)
	if limit := a.right.e.cfg.Limits.CookieThreshold + 10; most > limit {
		a.fatalf("%d IKE SAs under the flood, want %d at most", most, limit)
	}
	cookies := 0
	for _, r := range a.replies {
		if n := firstOf[*wire.Notify](r.msg.payloads); n != nil && n.Kind == wire.Cookie {
			cookies++
		}
	}
	if cookies < 4000 {
		a.fatalf("%d cookies asked for", cookies)
	}
	ref := a.left.rekey("")
	a.drive(5 * time.Second)
	a.wantDone(a.left, ref, "")
	a.left.rekey("lan")
	a.drive(20 * time.Second)
	a.wantTunnel()
}
