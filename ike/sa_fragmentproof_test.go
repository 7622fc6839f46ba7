package ike

import (
	"testing"
	"time"

	"culvert/internal/ipsec"
)

// A path that drops IP fragments is never probed by a large packet; the IKE SA lives on, and people
// are told once. The next IKE SA tries again.
func TestPathThatDropsFragments(t *testing.T) {
	for name, edit := range map[string]func(*testPair){
		"IPv4": nil, "IPv6": func(p *testPair) { (&simulation{p: p}).overIPv6(p) }, "a NAT": behindNAT,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 1, edit)
			p.up2()
			p.dropFragments(1280)
			sent := p.countForms(1500)
			for want := range 3 {
				for range 3 {
					id := p.probe(1500)
					p.drive(10 * time.Second)
					p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Verdict: ipsec.PathUnknown})
				}
				if *sent != (forms{proofs: probeTries * (want + 1)}) {
					p.fatalf("sent %+v", *sent)
				}
				p.left.rekey("")
				p.drive(2 * time.Second)
				p.wantTunnel()
			}
			told := 0
			for _, n := range p.left.notices {
				if n.Event == "path-unprobed" {
					told++
				}
			}
			if told != 1 {
				p.fatalf("people were told %d times", told)
			}
		})
	}
}

// A path that comes to drop fragments while a probe is under way costs no IKE SA: every other
// repetition of it is one packet.
func TestPathComesToDropFragments(t *testing.T) {
	p := newPair(t, 1, nil)
	p.up2()
	p.proven()
	p.narrowLink(1450)
	id := p.probe(1500)
	p.drive(100 * time.Millisecond)
	p.dropFragments(1500)
	p.drive(20 * time.Second)
	p.wantProbed(ipsec.PathProbe{ID: id, Size: 1500, Sent: 1500, Verdict: ipsec.PathLost})
	p.wantTunnel()
}
