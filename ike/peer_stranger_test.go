package ike

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"culvert/ike/budget"
	"culvert/ike/identity"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// failAuth has a rogue at an address fail IKE_AUTH on the right under left's name.
func (a *attack) failAuth(from netip.AddrPort) { a.failAuthAs(from, "left.example.com") }

// failAuthAs is failAuth under any name.
func (a *attack) failAuthAs(from netip.AddrPort, name string) {
	r := a.newRogue(a.right)
	r.from = from
	r.sendInit(r.payloads())
	r.send(wire.IKEAuth, 1, r.authPayloads(identity.ID{Type: wire.IDFQDN, Data: name}.Payload(false)))
	a.drive(50 * time.Millisecond)
}

// TestStrangersStayStrangers has a stranger fail 64 times under the name of a configured peer, up
// and down: the peer's reason, details and events stay its own.
func TestStrangersStayStrangers(t *testing.T) {
	for _, up := range []bool{true, false} {
		a := newAttack(newPair(t, 1, nil))
		if up {
			a.up()
		}
		before, notices := a.right.e.Status()[0], len(a.right.notices)
		for range 64 {
			a.failAuth(attacker)
		}
		after := a.right.e.Status()[0]
		if after.Reason != before.Reason || len(after.Explain) != len(before.Explain) || len(a.right.notices) != notices {
			t.Errorf("up %v: the peer's reason is %q, its details %q, and it has %d notices more", up, after.Reason, after.Explain, len(a.right.notices)-notices)
		}
		if n := len(a.right.refused); n != 64 {
			t.Errorf("up %v: %d strangers are recorded, want 64", up, n)
		}
		for _, r := range a.right.refused {
			if r.Claims != "left" || r.Event != "auth-failed" || r.From != attacker || !strings.Contains(r.Text, "the pre-shared keys differ") || len(r.Explain) == 0 {
				t.Fatalf("up %v: got %+v", up, r)
			}
		}
	}
}

// TestRefusalsAreLimited: of the refusals in a second only some are recorded, and those of
// strangers leave room for those of configured addresses.
func TestRefusalsAreLimited(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	bad := func(from netip.AddrPort) { a.inject(a.right, from, a.newRogue(a.right).message(nil)) }
	for range 100 {
		bad(attacker)
	}
	if n, limited := len(a.right.refused), a.right.e.Counters()["ike_refusals_limited"]; n != budget.MaxRefusals || limited != 100-budget.MaxRefusals {
		t.Errorf("%d refusals in a second are recorded and %d are not, want %d and the others", n, limited, budget.MaxRefusals)
	}
	bad(a.left.home())
	if why := a.right.e.Status()[0].Reason; !strings.Contains(why, "malformed") {
		t.Errorf("the reason is %q: a configured address found no room", why)
	}
}

// TestCallsFromConfiguredAddress: a peer that fails at its own address is explained by it, beside
// what is known of the peer itself, with one event in a minute. When it is up, the address proves
// nothing any more. A first message proves no address.
func TestCallsFromConfiguredAddress(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	posing := netip.AddrPortFrom(a.left.addrs[0], roguePort)
	a.right.e.peers.order[0].party.Reason = "its own reason"
	forge := func() { a.inject(a.right, a.left.home(), a.newRogue(a.right).message(nil)) }
	forge()
	if st := a.right.e.Status()[0]; !strings.HasPrefix(st.Reason, "its own reason; unverified: 192.0.2.1:500: malformed IKE_SA_INIT request: ") || len(a.right.refused) != 1 || len(a.right.notices) > 0 {
		t.Errorf("of a first message: the reason is %q; %d strangers, notices %v", st.Reason, len(a.right.refused), a.right.notices)
	}
	for range 5 {
		a.failAuth(posing)
	}
	st := a.right.e.Status()[0]
	for _, want := range []string{"its own reason; ", "the pre-shared keys differ"} {
		if !strings.Contains(st.Reason, want) {
			t.Errorf("the reason is %q, want %q in it", st.Reason, want)
		}
	}
	forge()
	if now := a.right.e.Status()[0]; len(st.Explain) == 0 || now.Reason != st.Reason || strings.Contains(st.Reason, "unverified") || len(a.right.refused) != 2 {
		t.Errorf("got details %q and %d strangers; the reason was %q and is %q", st.Explain, len(a.right.refused), st.Reason, now.Reason)
	}
	events := func() (n int) {
		for _, e := range a.right.notices {
			if e.Event == eventCallRefused {
				n++
			}
		}
		return n
	}
	if n := events(); n != 1 {
		t.Errorf("%d events of five calls, want 1", n)
	}
	a.drive(callPause)
	forge()
	a.failAuth(posing)
	if n := events(); n != 1 {
		t.Errorf("%d events: the same reason again makes none", n)
	}
	a.failAuthAs(posing, "another.example.com")
	if n := events(); n != 2 {
		t.Errorf("%d events after a minute, want 2", n)
	}
	if text, want := a.wantNotice(a.right, eventCallRefused).Text, fmt.Sprintf("(and %d more refused calls", 5); !strings.Contains(text, want) {
		t.Errorf("the event is %q, want %q in it", text, want)
	}
	a.up()
	if st := a.right.e.Status()[0]; st.Reason != "" {
		t.Errorf("the reason of a peer that is up is %q", st.Reason)
	}
	a.failAuth(posing)
	if n := len(a.right.refused); n != 4 || events() != 2 {
		t.Errorf("%d strangers, %d events: a call beside a peer that is up is a stranger's", n, events())
	}
	a.left.disconnect("")
	a.drive(2 * time.Second)
	if st := a.right.e.Status()[0]; strings.Contains(st.Reason, "pre-shared") {
		t.Errorf("the reason is %q, from before it was up", st.Reason)
	}
}

// TestRefusalsOverTheLimitAreCheap: a refused call over the limit of records has no words made for
// it. The list of the peers with its address is all that is allocated.
func TestRefusalsOverTheLimitAreCheap(t *testing.T) {
	a := newAttack(newPair(t, 1, nil))
	e, broken := a.right.e, errors.New("broken")
	for _, from := range []netip.AddrPort{attacker, a.left.home()} {
		d := Datagram{Path: ipsec.UDPPath(a.right.home(), from)}
		old, odd := wire.Header{InitiatorSPI: 1, MajorVersion: 1}, &wire.Notify{Kind: wire.InvalidSyntax}
		for what, refuse := range map[string]func(){
			"malformed":  func() { e.malformedInit(d, old, odd, broken.Error) },
			"a bad key":  func() { e.badKeyExchange(d, old, broken) },
			"of version": func() { e.olderVersion(d, old) },
		} {
			for range 2 * budget.MaxRefusals {
				refuse()
			}
			before := e.Counters()["ike_refusals_limited"]
			allocs := testing.AllocsPerRun(100, refuse)
			if n := e.Counters()["ike_refusals_limited"] - before; n < 100 || allocs > float64(len(e.peers.at(d.Path))) {
				t.Errorf("%s, from %v: %v allocations, %d over the limit", what, from, allocs, n)
			}
		}
	}
}
