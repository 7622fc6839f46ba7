package driver

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike"
)

func stranger(addr, claims string) ike.Refused {
	return ike.Refused{From: netip.AddrPortFrom(netip.MustParseAddr(addr), 500), Claims: claims, Event: "auth-failed", Text: "wrong key"}
}

// TestStrangersRing: a caller has one place, and a network that calls from many addresses takes its
// own places once the ring is full.
func TestStrangersRing(t *testing.T) {
	var r strangers
	at := time.Unix(1_000_000, 0)
	add := func(f ike.Refused) { at = at.Add(time.Second); r.add(at, f) }
	add(stranger("192.0.2.1", "a"))
	add(stranger("192.0.2.1", "b"))
	add(stranger("192.0.2.1", "a"))
	add(stranger("2001:db8::1", ""))
	add(stranger("2001:db8::ffff", ""))
	if len(r.list) != 3 || r.list[0].Claims != "b" || r.list[1].Times != 2 || !r.list[1].At.Equal(at.Add(-2*time.Second)) || r.list[2].Times != 2 {
		t.Fatalf("got %+v", r.list)
	}
	for i := range maxStrangers - 3 {
		add(stranger(fmt.Sprintf("198.18.%d.1", i), ""))
	}
	for i := range 200 {
		add(stranger(fmt.Sprintf("203.0.113.%d", i), ""))
		add(stranger(fmt.Sprintf("2001:db8:7:%x::1", i), ""))
	}
	networks := map[string]int{}
	for _, s := range r.list {
		networks[s.From.Addr().String()[:6]]++
	}
	if len(r.list) != maxStrangers || networks["203.0."] != maxStrangersNetwork || networks["2001:d"] != maxStrangersNetwork || networks["198.18"] != maxStrangers-2*maxStrangersNetwork {
		t.Errorf("%d are kept: %v", len(r.list), networks)
	}
}

// TestStrangersAreSmall bounds what a stranger's words take.
func TestStrangersAreSmall(t *testing.T) {
	var r strangers
	f := stranger("192.0.2.1", "")
	f.Text = strings.Repeat("é", 5000)
	for range 100 {
		f.Explain = append(f.Explain, f.Text)
	}
	r.add(time.Unix(1, 0), f)
	s := r.list[0]
	if len(s.Text) > maxStrangerLine || len(s.Explain) != maxStrangerLines || len(s.Explain[0]) > maxStrangerLine || strings.ToValidUTF8(s.Text, "") != s.Text {
		t.Errorf("%d octets and %d lines of %d are kept", len(s.Text), len(s.Explain), len(s.Explain[0]))
	}
	if len(f.Explain[0]) != len(f.Text) {
		t.Error("the effect was changed")
	}
}

// TestStrangersLog: of 64 refusals the log has a few, with the number of those that it lacks; no
// peer's history has any.
func TestStrangersLog(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(1_000_000, 0)
	d := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }})
	d.history.keepOnly([]ike.Peer{{Name: "right"}})
	for range 64 {
		d.loop.fx.List = append(d.loop.fx.List, stranger("203.0.113.9", "right"))
	}
	d.carryOut(classAuth)
	if n := strings.Count(log.String(), "\n"); n != strangerLines || !strings.Contains(log.String(), "event=auth-failed remote=203.0.113.9:500 claims=right\n") {
		t.Errorf("%d lines, want %d:\n%s", n, strangerLines, log.String())
	}
	log.Reset()
	now = now.Add(strangerPause)
	d.refused(stranger("203.0.113.9", ""))
	d.refused(stranger("203.0.113.9", ""))
	if want := "event=auth-failed remote=203.0.113.9:500 not_logged=59\n"; strings.Count(log.String(), "\n") != 1 || !strings.HasSuffix(log.String(), want) {
		t.Errorf("got %q, want one line that ends with %q", log.String(), want)
	}
	if s := d.Strangers(); len(d.History("right")) != 0 || len(s) != 2 || s[0].Times != 64 || s[1].Times != 2 {
		t.Errorf("%d events of the peer, strangers %+v", len(d.History("right")), s)
	}
}

// TestRefusedEventsAreFew: events about refused calls take few places of a peer's history.
func TestRefusedEventsAreFew(t *testing.T) {
	h := newHistory()
	h.keepOnly([]ike.Peer{{Name: "right"}})
	add := func(event string, i int) {
		h.add(Event{Notice: ike.Notice{Peer: "right", Event: event, Text: fmt.Sprint(i)}})
	}
	add("child-up", 0)
	for i := range 2 * historyLen {
		add("call-refused", i)
	}
	got := h.peers["right"]
	if len(got) != 1+maxForgeable || got[0].Event != "child-up" || got[1].Text != fmt.Sprint(2*historyLen-maxForgeable) {
		t.Errorf("got %+v", got)
	}
}
