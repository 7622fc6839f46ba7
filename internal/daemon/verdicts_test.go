package daemon

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"culvert/dataplane"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/wire"
	"culvert/selector"
)

// verdictsOf returns the codes of a's verdicts, each with its child.
func verdictsOf(t *testing.T, d *Daemon) (codes []string) {
	t.Helper()
	st, err := d.StatusOf(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range st.Peers[0].Verdicts {
		codes = append(codes, strings.TrimSuffix(v.Code+" "+v.Child, " "))
	}
	return codes
}

// TestFactsBecomeVerdicts: facts of the engine, the packet path and the events reach the verdicts.
func TestFactsBecomeVerdicts(t *testing.T) {
	ago := func(n time.Duration) time.Time { return epoch.Add(10*time.Second - n) } // the time is 10 s after epoch
	asked := func(ex wire.ExchangeType, times int, changed bool) ike.Asked {
		return ike.Asked{Exchange: ex, To: netip.MustParseAddrPort("192.0.2.2:4500"), Since: ago(5 * time.Second), Times: times, PortChanged: changed}
	}
	for want, edit := range map[string]func(f *fakeParts, s *ike.PeerStatus){
		"narrowed lan": func(*fakeParts, *ike.PeerStatus) {},
		"no-answer": func(_ *fakeParts, s *ike.PeerStatus) {
			s.State, s.Facts.Asked = ike.PeerConnecting, asked(wire.IKESAInit, 3, false)
		},
		"port-4500-silent": func(_ *fakeParts, s *ike.PeerStatus) {
			s.State, s.Facts.Asked = ike.PeerConnecting, asked(wire.IKEAuth, 3, true)
		},
		"refused": func(_ *fakeParts, s *ike.PeerStatus) {
			s.State, s.Facts.Failed, s.Facts.Wanted = ike.PeerDown, "no", true
		},
		"nobody-calls": func(_ *fakeParts, s *ike.PeerStatus) { s.State, s.Facts.Calls = ike.PeerDown, false },
		"begun-only": func(_ *fakeParts, s *ike.PeerStatus) {
			s.State, s.Facts.Begun = ike.PeerDown, ike.Begun{Times: 1, Since: ago(5 * time.Second)}
		},
		"esp-blocked narrowed lan":       func(_ *fakeParts, s *ike.PeerStatus) { s.Facts.ESPBlocked = true },
		"unreachable narrowed lan":       func(_ *fakeParts, s *ike.PeerStatus) { s.Unreachable = "unreachable: no route" },
		"rekey-refused lan narrowed lan": func(_ *fakeParts, s *ike.PeerStatus) { s.Children[0].Failed = "no" },
		"": func(_ *fakeParts, s *ike.PeerStatus) {
			s.Held, s.State, s.Children[0].State = &ike.Hold{}, ike.PeerDown, ike.ChildDown
		},
		"nothing-received lan narrowed lan": func(f *fakeParts, s *ike.PeerStatus) {
			f.edit(func(st *dataplane.ChildStats) {
				st.Unheard = dataplane.Unheard{Since: ago(5 * time.Second), Packets: 9}
			})
			s.Facts.Heard = ago(time.Second)
		},
		"small-path lan": func(f *fakeParts, s *ike.PeerStatus) {
			f.edit(func(st *dataplane.ChildStats) { st.PathMTU, st.LinkMTU = 1300, 1500 })
			s.Children[0].Narrow = false
		},
		"dropping lan narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) {
			f.edit(func(st *dataplane.ChildStats) { st.Drops["icv"] = 12 })
		},
		"source-not-covered lan narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) {
			f.seen = []dataplane.Sighting{{Reason: "out_no_policy", At: ago(time.Second), Flow: selector.Flow{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("10.2.0.1"), Protocol: 1}}}
		},
		"loop narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) {
			f.seen = []dataplane.Sighting{{Reason: "out_no_policy", At: ago(time.Second), Flow: selector.Flow{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Protocol: 50}}}
		},
		"churns peer-restarted narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) {
			for range 5 {
				f.events = append(f.events, driver.Event{At: ago(time.Second), Notice: ike.Notice{Event: "ike-up"}})
			}
			f.events = append(f.events, driver.Event{At: ago(time.Second), Notice: ike.Notice{Event: "peer-restarted"}})
		},
		"rekey-refused narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) {
			for _, event := range []string{"rekey-refused", "child-rekeyed", "rekey-refused"} {
				f.events = append(f.events, driver.Event{At: ago(time.Second), Notice: ike.Notice{Event: event, Text: "PFS"}})
			}
		},
		" narrowed lan": func(f *fakeParts, _ *ike.PeerStatus) { // a later one was not
			for _, event := range []string{"rekey-refused", "child-rekeyed"} {
				f.events = append(f.events, driver.Event{At: ago(time.Second), Notice: ike.Notice{Event: event, Text: "PFS"}})
			}
		},
		"narrowed lan ": func(f *fakeParts, _ *ike.PeerStatus) { // of another party
			for range 5 {
				f.events = append(f.events, driver.Event{At: ago(time.Second), Notice: ike.Notice{Event: "ike-up", Party: "p"}})
			}
		},
	} {
		d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
		established(t, f)
		f.status[0].Facts.Calls = true
		edit(f, &f.status[0])
		if down := f.status[0].State != ike.PeerEstablished; down {
			f.status[0].Children[0].State, f.status[0].Children[0].Narrow = ike.ChildDown, false
		}
		if got := strings.Join(verdictsOf(t, d), " "); got != strings.TrimSpace(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// edit changes the traffic of a's child.
func (f *fakeParts) edit(change func(st *dataplane.ChildStats)) {
	policy := f.named("a", "lan")
	st := f.stats[policy]
	change(&st)
	f.stats[policy] = st
}

// TestVerdictsAreDocumented: docs/verdicts.md has every code that Judge gives.
func TestVerdictsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/verdicts.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadDir("../verdict")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range source {
		text, err := os.ReadFile("../verdict/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if _, code, ok := strings.Cut(line, " Code = \""); ok {
				n++
				if code, _, _ = strings.Cut(code, "\""); !strings.Contains(string(doc), "\n| `"+code+"` |") {
					t.Errorf("%s is not in docs/verdicts.md", code)
				}
			}
		}
	}
	if n < 19 {
		t.Errorf("%d codes were found", n)
	}
}
