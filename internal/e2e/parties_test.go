//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestEntriesForAnyIdentity has a hub with two entries for callers of any identity, which their
// secrets alone tell apart. Each caller gets a party of its own, with the part of the entry's
// networks that it has.
func TestEntriesForAnyIdentity(t *testing.T) {
	t.Parallel()
	s := buildStar(t, []flow{flowOf("10.0.0.0/8", "0.0.0.0/0"), flowOf("fd00::/8", "::/0")})
	ok(t, s.hub.LAN("lan", "10.1.0.1/24", "fd01::1/64"), s.a.LAN("lan", "10.2.5.1/24"), s.b.LAN("lan", "fd03:5::1/64"))
	entry := func(name, keys, secret, local, remote string) string {
		return peerText(name, keys+fmt.Sprintf("psk = %q\n", secret), childText("lan", local, remote, ""))
	}
	hub, a, b := newGateway(t, s.hub), newGateway(t, s.a), newGateway(t, s.b)
	hub.start(
		entry("staff", "local_id = \"hub.example.com\"\n", "the secret of the staff", "10.1.0.0/24", "10.2.0.0/16"),
		entry("guests", "local_id = \"hub.example.com\"\nremote_id = \"*\"\n", "the secret of the guests", "fd01::/64", "fd03::/16"))
	caller := func(g *gateway, id, secret, local, remote string) {
		keys := fmt.Sprintf("remote = %q\nlocal_id = %q\nremote_id = \"hub.example.com\"\n", hubWAN, id)
		g.start(strings.Replace(entry("hub", keys, secret, local, remote), "[[peer.child]]\n", "[[peer.child]]\n  start = \"boot\"\n", 1))
		g.waitUp("hub")
	}
	caller(a, "a@example.com", "the secret of the staff", "10.2.5.0/24", "10.1.0.0/24")
	caller(b, "keyid:00ff", "the secret of the guests", "fd03:5::/64", "fd01::/64")
	for _, p := range [][2]string{{"10.1.0.1", "10.2.5.1"}, {"fd01::1", "fd03:5::1"}} {
		from := s.a
		if strings.Contains(p[1], ":") {
			from = s.b
		}
		wantPing(t, from, addr(p[1]), addr(p[0]))
		wantPing(t, s.hub, addr(p[0]), addr(p[1]))
	}
	got := map[string]string{}
	for _, p := range hub.status().Peers {
		got[p.Name] = p.Party + " " + strings.Join(p.Children[0].RemoteTS, " ")
	}
	if want := map[string]string{"staff": "a@example.com 10.2.5.0/24", "guests": "keyid:00ff fd03:5::/64"}; got["staff"] != want["staff"] || got["guests"] != want["guests"] || len(got) != 2 {
		t.Errorf("the hub has %v, want %v", got, want)
	}
	for _, g := range []*gateway{a, b, hub} {
		g.stop()
	}
}
