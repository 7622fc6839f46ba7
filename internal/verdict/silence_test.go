package verdict

import (
	"net/netip"
	"testing"
	"time"
)

var (
	ikePort = netip.MustParseAddrPort("192.0.2.2:500")
	natPort = netip.MustParseAddrPort("192.0.2.2:4500")
)

func TestUnreachable(t *testing.T) {
	wantRulings(t, ofPeer(unreachable), []ruling{
		{"nothing is said", Peer{}, ""},
		{"while it is down", Peer{Unreachable: "unreachable: port unreachable; is IKE running?"}, "bad unreachable : unreachable: port unreachable | is IKE running?"},
		{"while it is up", Peer{Up: true, Unreachable: "unreachable: no route"}, "warn unreachable : unreachable: no route | "},
	})
}

func TestPortSilent(t *testing.T) {
	asked := func(times int, since time.Duration) Asked {
		return Asked{Message: "IKE_AUTH", To: natPort, Since: ago(since), Times: times, PortChanged: true}
	}
	says := "bad port-4500-silent : 192.0.2.2 answers IKE_SA_INIT, but not at UDP port 4500: IKE_AUTH was sent "
	help := " there | let UDP port 4500 pass in both directions, on this host, on the way and at the peer"
	wantRulings(t, ofPeer(portSilent), []ruling{
		{"an answer may come", Peer{Asked: asked(2, 2*time.Second)}, ""},
		{"sent often", Peer{Asked: asked(3, 2*time.Second)}, says + "3 times in 2 s" + help},
		{"sent for long", Peer{Asked: asked(2, 3*time.Second)}, says + "2 times in 3 s" + help},
		{"sent once, long ago", Peer{Asked: asked(1, time.Hour)}, ""},
		{"it is up", Peer{Up: true, Asked: asked(9, time.Minute)}, ""},
		{"at the same port", Peer{Asked: Asked{Message: "IKE_AUTH", To: natPort, Since: ago(time.Minute), Times: 9}}, ""},
	})
}

func TestNoAnswer(t *testing.T) {
	asked := func(message string, times int) Asked {
		return Asked{Message: message, To: ikePort, Since: ago(150 * time.Second), Times: times}
	}
	wantRulings(t, ofPeer(noAnswer), []ruling{
		{"nothing is asked", Peer{}, ""},
		{"no answer", Peer{Asked: asked("IKE_SA_INIT", 12)}, "bad no-answer : no answer from 192.0.2.2: IKE_SA_INIT was sent 12 times in 2 min to UDP port 500 | is the peer on, is 192.0.2.2 its address, and does UDP port 500 pass in both directions?"},
		{"IKE_AUTH", Peer{Asked: asked("IKE_AUTH", 12)}, ""},
		{"it is up", Peer{Up: true, Asked: asked("IKE_SA_INIT", 12)}, ""},
		{"once", Peer{Asked: asked("IKE_SA_INIT", 1)}, ""},
	})
	wantRulings(t, ofPeer(authSilent), []ruling{
		{"IKE_SA_INIT", Peer{Asked: asked("IKE_SA_INIT", 12)}, ""},
		{"it is up", Peer{Up: true, Asked: asked("IKE_AUTH", 12)}, ""},
		{"once", Peer{Asked: asked("IKE_AUTH", 1)}, ""},
		{"IKE_AUTH", Peer{Asked: asked("IKE_AUTH", 4)}, `bad auth-silent : 192.0.2.2:500 answers IKE_SA_INIT, but not IKE_AUTH: IKE_AUTH was sent 4 times in 2 min | the peer drops what it cannot read, so see its log; large messages may be lost on the way, which a smaller "fragment" avoids`},
	})
}

func TestRefused(t *testing.T) {
	wantRulings(t, ofPeer(refused), []ruling{
		{"nothing failed", Peer{Wanted: true}, ""},
		{"it is wanted", Peer{Wanted: true, Failed: "no"}, "bad refused : no | "},
		{"it is not wanted", Peer{Failed: "no"}, "note refused : no | "},
		{"offers", Peer{Wanted: true, Failed: "no", Offers: []string{"ours: a", "theirs: b", "more"}}, "bad refused : no | ours: a; theirs: b"},
		{"it is up", Peer{Up: true, Wanted: true, Failed: "no"}, ""},
		{"it was taken down", Peer{Held: true, Wanted: true, Failed: "no"}, ""},
		{"it does not answer now", Peer{Wanted: true, Failed: "no", Asked: Asked{Times: 1}}, ""},
	})
}

func TestBegun(t *testing.T) {
	says := " from the peer's address within 2 s, was answered, and no IKE_AUTH followed | let UDP port 4500 pass in both directions, as IKE_AUTH goes there; if it does, our answers do not reach the peer"
	wantRulings(t, ofPeer(begun), []ruling{
		{"nobody did", Peer{}, ""},
		{"just now", Peer{Begun: Begun{1, ago(begunFor - 1)}}, ""},
		{"once", Peer{Begun: Begun{1, ago(begunFor)}}, "bad begun-only : IKE_SA_INIT came once" + says},
		{"often", Peer{Begun: Begun{4, ago(begunFor)}}, "bad begun-only : IKE_SA_INIT came 4 times" + says},
		{"it is up", Peer{Up: true, Begun: Begun{4, ago(begunFor)}}, ""},
	})
}

func TestNobodyCalls(t *testing.T) {
	says := " nobody-calls : the peer has not called, and no remote address is configured to call it: if it waits as well, neither side calls | give remote on one side at least"
	wantRulings(t, ofPeer(nobodyCalls), []ruling{
		{"it waits", Peer{}, "note" + says},
		{"for traffic", Peer{Wanted: true}, "bad" + says},
		{"we call", Peer{Calls: true, Wanted: true}, ""},
		{"it is up", Peer{Up: true}, ""},
		{"it was up", Peer{Established: []time.Time{ago(time.Hour)}}, ""},
		{"without IKE", Peer{Manual: true}, ""},
		{"it was taken down", Peer{Held: true}, ""},
		{"somebody began", Peer{Begun: Begun{1, now}}, ""},
	})
}

func TestDoubt(t *testing.T) {
	asked := Asked{Message: "INFORMATIONAL", To: natPort, Since: ago(4 * time.Second), Times: 2}
	once := asked
	once.Times = 1
	help := " | it is given up and called again if it stays silent; is it still on, and has its address or the way changed?"
	wantRulings(t, ofPeer(doubt), []ruling{
		{"asked once", Peer{Up: true, Asked: once}, ""},
		{"not up", Peer{Asked: asked}, ""},
		{"never heard", Peer{Up: true, Asked: asked}, "warn in-doubt : in doubt: INFORMATIONAL was sent 2 times in 4 s without an answer" + help},
		{"heard", Peer{Up: true, Asked: asked, Heard: ago(30 * time.Second)}, "warn in-doubt : in doubt: INFORMATIONAL was sent 2 times in 4 s without an answer; the peer was last heard 30 s ago" + help},
	})
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 499 * time.Millisecond: "0 s", 500 * time.Millisecond: "1 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min",
		119 * time.Minute: "119 min", 2 * time.Hour: "2 h", 50 * time.Hour: "50 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
