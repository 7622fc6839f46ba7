package ike

import (
	"strings"
	"testing"
	"time"
)

func TestFailuresAreExplained(t *testing.T) {
	for _, c := range failings {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, 1, func(p *testPair) {
				p.left.peers[0].Children[0].Start = StartBoot
				c.edit(&p.left.peers[0], &p.right.peers[0])
			})
			ref := p.left.connect("")
			p.drive(30 * time.Second)
			p.wantDone(p.left, ref, c.leftErr)
			st := p.left.e.Status()[0]
			said := st.Reason + strings.Join(st.Explain, "\n") + st.Children[0].Reason
			for _, want := range append(c.explain, c.leftErr) {
				if !strings.Contains(said, want) {
					p.fatalf("left's status does not say %q: %+v", want, st)
				}
			}
			if !strings.Contains(p.right.saidAll(), c.rightSay) {
				p.fatalf("right does not say %q: %s", c.rightSay, p.right.saidAll())
			}
			p.wantNoChild("lan")
			p.wantBoundedTries(c)
		})
	}
}

// A child that only a command brings up stays down if the command is withdrawn while we connect;
// one that traffic may bring up takes its place.
func TestCommandWithdrawnWhileConnecting(t *testing.T) {
	for name, other := range map[string]StartMode{"no other": StartNever, "another for traffic": StartTraffic} {
		p := newPair(t, 1, func(p *testPair) {
			twoChildren(p)
			p.left.peers[0].Children[0].Start, p.left.peers[0].Children[1].Start = StartNever, other
		})
		p.left.connect("lan")
		p.drive(15 * time.Millisecond)
		p.left.disconnect("lan")
		p.drive(5 * time.Second)
		if n := len(p.left.plane.ofPolicy(p.left.policy("lan"))); n != 0 {
			t.Errorf("%s: the child that was taken down has %d SAs", name, n)
		}
		if n := len(p.left.plane.sas); (n == 1) != (other == StartTraffic) {
			t.Errorf("%s: %d SAs", name, n)
		}
		if s := p.right.e.sas; other == StartNever && (len(s.bySPI) != 0 && s.halfOpen.Count() != len(s.bySPI)) {
			t.Errorf("%s: right has %d IKE SAs", name, len(s.bySPI))
		}
		p.wantSound()
	}
}
