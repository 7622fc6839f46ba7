package driver

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike"
	"culvert/internal/ipsec"
	"culvert/selector"
)

// The order of effects is the engine's contract.
func TestEffectsInOrder(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		answer[ike.Acquire](r,
			ike.InstallInbound{SA: ipsec.ChildSA{ID: 3}},
			ike.Send{Path: overNAT, Data: []byte("hello")},
			ike.ActivateOutbound{ID: 3},
			ike.SetPath{ID: 3, Path: overUDP},
			ike.Send{Path: overUDP, Keepalive: true},
			ike.DeactivateOutbound{ID: 2},
			ike.RemoveSA{ID: 2},
			ike.Send{Path: overNAT, DontFragment: true, Data: []byte("large")},
			ike.Send{Path: overUDP, FragmentSize: 576, Data: []byte("again")},
			ike.PathProbed{PathProbe: ipsec.PathProbe{ID: 3, Size: 1500, Sent: 1488, Verdict: ipsec.PathLost}},
			ike.StandbyPolicy{ID: 8, Standby: true},
			ike.ProbePair{ID: 3},
			ike.CopyPackets{Of: 8, On: 9, N: 2},
			ike.AcquireFailed{Policy: 7},
			ike.Resolve{Peer: "right"},
		)
		r.plane.tell(ipsec.Event{Kind: ipsec.EventAcquire, Policy: 7, Flow: selector.Flow{Protocol: 1}, Resource: 2})
		synctest.Wait()
		got := r.journal.take()
		if len(got) == 0 || !strings.HasPrefix(got[0], "acquire {Policy:7") || !strings.HasSuffix(got[0], "Resource:2}") {
			t.Fatalf("got %q", got)
		}
		r.journal.lines = got[1:]
		r.want("in the engine's order", "install 3", "send 192.0.2.2:500 nat=true hello", "activate 3", "path of 3 192.0.2.2:500",
			"keepalive 192.0.2.2:500", "deactivate 2", "remove 2", "send whole 192.0.2.2:500 nat=true large", "send in parts of 576 192.0.2.2:500 nat=false again", "path 3: 1488 of 1500: 2", "standby 8 true", "probe pair 3", "copy 2 of 8 on 9", "acquire failed 7", "resolve right")
	})
}

func TestPlaneEvents(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.plane.tell(
			ipsec.Event{Kind: ipsec.EventExpire, ID: 4, Hard: true},
			ipsec.Event{Kind: ipsec.EventFirstInbound, ID: 5},
			ipsec.Event{Kind: ipsec.EventFirstInbound, ID: 6},
			ipsec.Event{Kind: ipsec.EventFirstInbound, ID: 77},
			ipsec.Event{Kind: ipsec.EventPeerMoved, ID: 7, Path: overNAT},
			ipsec.Event{Kind: ipsec.EventUnsent, ID: 8, Why: ipsec.ObstacleFirewall},
			ipsec.Event{Kind: ipsec.EventProbePath, ID: 9, Size: 1500},
			ipsec.Event{Kind: ipsec.EventUnanswered, ID: 10},
			ipsec.Event{Kind: ipsec.EventUnheard, ID: 10},
			ipsec.Event{Kind: ipsec.EventProbed, ID: 10},
			ipsec.Event{Kind: ipsec.EventPortBlocked, ID: 10, Path: overNAT, Why: ipsec.ObstacleFirewall},
			ipsec.Event{Kind: ipsec.EventUnknownSPI, Path: overNAT, SPI: 11, Size: 90},
		)
		r.want("events", "expire {ID:4 Hard:true}", "traffic 5 in=true answered=false", "traffic 6 in=true answered=false", "peermoved {ID:7 Path:192.0.2.1:500 to 192.0.2.2:500 by udp-encap}", "unreachable 8 a firewall of this host refuses what is sent (EPERM) by invalid IP: no path", "probepath {ID:9 Size:1500}", "hint {ID:10 Remote:invalid IP}", "unheard {ID:10}", "probed {ID:10}", "portblocked {ID:10 Path:192.0.2.1:500 to 192.0.2.2:500 by udp-encap Why:a firewall of this host refuses what is sent (EPERM)}", "unknownspi {Path:192.0.2.1:500 to 192.0.2.2:500 by udp-encap SPI:11 Size:90}")

		answer[ike.Wake](r, ike.NeedTraffic{ID: 3}, ike.NeedTraffic{ID: 4}, ike.NeedTraffic{ID: 88}, ike.Send{Path: overUDP})
		r.wakeAt(time.Second)
		time.Sleep(time.Second)
		r.want("polled, after the effects", "wake", "send 192.0.2.2:500 nat=false ", "traffic 3 in=true answered=true", "traffic 4 in=false answered=false", "traffic 88 in=false answered=false")
	})
}

// TestKeysAreCleared: the driver's memory holds no key of a Child SA after the dataplane took the
// SA, refused it or panicked.
func TestKeysAreCleared(t *testing.T) {
	for name, set := range map[string]func(p *fakePlane){
		"taken":    func(*fakePlane) {},
		"refused":  func(p *fakePlane) { p.refuse = errors.New("no room") },
		"panicked": func(p *fakePlane) { p.panics = true },
	} {
		drive(t, func(t *testing.T, r *rig) {
			set(r.plane)
			keymat := []byte("initiator's key!responder's key!")
			answer[ike.Computed](r, ike.InstallInbound{SA: ipsec.ChildSA{ID: 3, KeyIn: keymat[:16:16], KeyOut: keymat[16:]}})
			r.call(context.Background(), func() { r.handle(ike.Computed{ID: 1}, classEstablished) })
			synctest.Wait()
			if string(r.plane.keys) != "initiator's key!responder's key!" {
				t.Errorf("%s: the dataplane was given %q", name, r.plane.keys)
			}
			if !bytes.Equal(keymat, make([]byte, 32)) {
				t.Errorf("%s: %q is left", name, keymat)
			}
		})
	}
}

// The keys of an IKE SA are shown to whoever is to know them, and cleared in any case.
func TestShownKeysAreCleared(t *testing.T) {
	for name, set := range map[string]func(r *rig, seen *string){
		"nobody asks": func(*rig, *string) {},
		"shown": func(r *rig, seen *string) {
			r.cfg.IKEKeys = func(k *ike.IKEKeys) { *seen = string(k.Ei) + string(k.Ar) }
		},
		"panics": func(r *rig, seen *string) {
			r.cfg.IKEKeys = func(k *ike.IKEKeys) { *seen = string(k.Ei) + string(k.Ar); panic("full") }
		},
	} {
		drive(t, func(t *testing.T, r *rig) {
			var seen string
			set(r, &seen)
			keys := ike.IKEKeys{Ei: []byte("ei"), Er: []byte("er"), Ai: []byte("ai"), Ar: []byte("ar")}
			answer[ike.Computed](r, keys, ike.Send{Path: overUDP})
			r.call(context.Background(), func() { r.handle(ike.Computed{ID: 1}, classEstablished) })
			r.want("the effects after it", "computed 1: <nil>", "send 192.0.2.2:500 nat=false ")
			if want := map[bool]string{true: "eiar"}[name != "nobody asks"]; seen != want {
				t.Errorf("%s: shown %q, want %q", name, seen, want)
			}
			for _, k := range [][]byte{keys.Ei, keys.Er, keys.Ai, keys.Ar} {
				if !bytes.Equal(k, make([]byte, 2)) {
					t.Errorf("%s: %q is left", name, k)
				}
			}
		})
	}
}

// An SA that the dataplane refuses is closed, because the peer uses it, and its SPI is free again.
func TestInstallRefused(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.plane.refuse = errors.New("no room")
		answer[ike.Computed](r, ike.InstallInbound{SA: ipsec.ChildSA{ID: 3, Policy: 7, Name: ipsec.PolicyName{Peer: "right", Child: "lan"}, SPIIn: 4711}}, ike.Send{Path: overUDP})
		r.call(context.Background(), func() { r.handle(ike.Computed{ID: 1}, classEstablished) })
		r.want("refused", "computed 1: <nil>", "install 3", "free 4711", "send 192.0.2.2:500 nat=false ", "expire {ID:3 Hard:true}")
		if h := r.History("right"); len(h) != 1 || h[0].Event != "install-failed" || !strings.Contains(h[0].Text, "no room") {
			t.Errorf("got history %+v", h)
		}
		if got := r.counter("ike_install_error"); got != 1 {
			t.Errorf("got %d, want 1", got)
		}
	})
}

// A datagram that makes the engine panic is counted and logged, its effects so far are carried out,
// and the next one is handled.
func TestPanicInHandle(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in := in.(type) {
			case ike.Datagram:
				fx.List = append(fx.List, ike.Send{Path: overUDP, Data: []byte("before")})
				if strings.HasSuffix(string(in.Data), "evil") {
					panic("index out of range")
				}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		for _, text := range []string{"evil", "evil", "good"} {
			r.Deliver(overUDP, message(infoExchange, false, text))
		}
		line := "datagram 192.0.2.2:500>192.0.2.1:500 nat=false "
		send := "send 192.0.2.2:500 nat=false before"
		r.want("life goes on", line+"evil", send, line+"evil", send, line+"good", send)
		if got := r.counter("ike_panic"); got != 2 {
			t.Errorf("got %d panics, want 2", got)
		}
		if got := strings.Count(r.logged.String(), "index out of range"); got != 1 {
			t.Errorf("logged %d times in one second, want 1:\n%s", got, r.logged)
		}
		if !strings.Contains(r.logged.String(), "effects_test.go") {
			t.Errorf("no stack in the log:\n%s", r.logged)
		}
	})
}

// A Wake that panics each time is not repeated without a pause.
func TestPanicInWake(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Wake:
				panic("again")
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(0)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(r.journal.take()); got < 5 || got > 12 {
			t.Errorf("%d wakes in a second", got)
		}
		r.call(context.Background(), func() { r.engine.deadline = time.Time{} })
	})
}

// Panics on other inputs do not stop the engine's clock.
func TestPanicsDoNotDelayWake(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.engine.script = func(_ time.Time, in ike.Input, fx *ike.Effects) {
			switch in.(type) {
			case ike.Datagram:
				panic("index out of range")
			case ike.Wake:
				r.engine.deadline = time.Time{}
			case ike.Shutdown:
				fx.List = append(fx.List, ike.Stopped{})
			}
		}
		r.wakeAt(panicPause)
		for range 10 {
			r.Deliver(overUDP, message(infoExchange, false, ""))
			time.Sleep(panicPause / 10)
		}
		synctest.Wait()
		if got := r.journal.take(); got[len(got)-1] != "wake" {
			t.Errorf("got %q, want a wake at the end", got)
		}
	})
}

// A bug of the dataplane or of the engine's snapshot ends neither the daemon nor the other effects.
func TestPanicElsewhere(t *testing.T) {
	drive(t, func(t *testing.T, r *rig) {
		r.Driver.cfg.Plane = brokenPlane{r.plane}
		answer[ike.Datagram](r, ike.RemoveSA{ID: 1}, ike.Send{Path: overUDP, Data: []byte("after")})
		r.Deliver(overUDP, message(infoExchange, false, "x"))
		r.want("the next effect", "datagram 192.0.2.2:500>192.0.2.1:500 nat=false x", "send 192.0.2.2:500 nat=false after")
		if err := r.call(context.Background(), func() { panic("bad snapshot") }); err == nil {
			t.Error("a command that panicked succeeded")
		}
		if got := r.counter("ike_panic"); got != 2 {
			t.Errorf("got %d panics, want 2", got)
		}
		if !strings.Contains(r.logged.String(), "RemoveSA") {
			t.Errorf("the log does not name the effect:\n%s", r.logged)
		}
	})
}

type brokenPlane struct{ *fakePlane }

func (brokenPlane) RemoveSA(ipsec.ChildID) { panic("nil map") }
