package verdict

import (
	"testing"
	"time"
)

func TestChurns(t *testing.T) {
	times := func(list ...time.Duration) (out []time.Time) {
		for _, d := range list {
			out = append(out, ago(d))
		}
		return out
	}
	const m = time.Minute
	help := " | see its events: who deletes it, and why; two hosts with one identity take it from each other"
	wantRulings(t, ofPeer(churns), []ruling{
		{"often", Peer{Up: true, Established: times(20*m, 9*m, 8*m, 7*m, 6*m, m)}, "warn churns : it was connected 5 times within 9 min" + help},
		{"and why", Peer{Established: times(9*m, 8*m, 7*m, 6*m, m), Failed: "deleted by the peer"}, "warn churns : it was connected 5 times within 9 min; the last end: deleted by the peer" + help},
		{"now and then", Peer{Established: times(11*m, 8*m, 7*m, 6*m, m)}, ""},
	})
}

func TestRestarted(t *testing.T) {
	wantRulings(t, ofPeer(restarted), []ruling{
		{"never", Peer{}, ""},
		{"lately", Peer{Restarted: ago(restartedFor)}, "note peer-restarted : the peer was restarted 10 min ago, and had lost its SAs | "},
		{"long ago", Peer{Restarted: ago(restartedFor + 1)}, ""},
	})
}

func TestRefusedLately(t *testing.T) {
	at := func(d time.Duration) Peer { return Peer{Up: true, RekeyRefused: "PFS differs", RekeyRefusedAt: ago(d)} }
	wantRulings(t, ofPeer(refusedLately), []ruling{
		{"never", Peer{Up: true}, ""},
		{"lately", at(refusedFor), "warn rekey-refused : PFS differs | the tunnel is made again in place of each rekeying; give both sides the same proposals, above all the key exchange group (PFS)"},
		{"long ago", at(refusedFor + 1), ""},
	})
}

func TestChildDown(t *testing.T) {
	child := func(up, wanted bool, why string) Peer {
		return Peer{Up: true}.with(Child{Name: "lan", Up: up, Wanted: wanted, Failed: why})
	}
	down := child(false, true, "no")
	down.Up = false
	wantRulings(t, ofChildren(childDown), []ruling{
		{"wanted", child(false, true, "no"), "bad child-down lan: no | "},
		{"not wanted", child(false, false, "no"), "note child-down lan: no | "},
		{"it waits", child(false, true, ""), ""},
		{"offers", Peer{Up: true}.with(Child{Name: "lan", Wanted: true, Failed: "no", Offers: []string{"ours: a", "theirs: b", "more"}}), "bad child-down lan: no | ours: a; theirs: b"},
		{"it is up", child(true, true, "no"), ""},
		{"the peer is down", down, ""},
	})
	wantRulings(t, ofChildren(rekeyRefused), []ruling{
		{"it is down", child(false, true, "no"), ""},
		{"all is well", child(true, true, ""), ""},
		{"refused", child(true, true, "no"), "warn rekey-refused lan: no | it works until its SA ends; compare the proposals of both sides, above all the key exchange group (PFS)"},
	})
}
