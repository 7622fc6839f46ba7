package window

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"culvert/ike/wire"
)

// A request has the kind of its exchange, an ID and a content; nothing here is protected.
func header(response bool, id uint32) wire.Header {
	return wire.Header{Exchange: wire.Informational, Response: response, MessageID: id}
}

func content(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }

// asked is a window that has answered a request.
func asked(id uint32, request, response []byte) *Window[string] {
	w := new(Window[string])
	w.Restore(State{Expected: id})
	w.Accept("peer", sha256.Sum256(request), wire.Informational)
	if response != nil {
		w.Respond([][]byte{response})
	}
	return w
}

func TestJudge(t *testing.T) {
	waiting := func() *Window[string] {
		w := new(Window[string])
		w.Restore(State{Next: 7})
		w.Send(wire.Informational, [][]byte{content("question")})
		return w
	}
	fragment := header(false, 4)
	fragment.NextPayload = wire.PayloadSKF
	other := func(h wire.Header) wire.Header { h.Exchange = wire.CreateChildSA; return h }
	for name, tt := range map[string]struct {
		w    *Window[string]
		h    wire.Header
		data string
		want Verdict
	}{
		"the response":                        {waiting(), header(true, 7), "", Response},
		"the response to one before":          {waiting(), header(true, 6), "", Stale},
		"a response to come":                  {waiting(), header(true, 8), "", Stale},
		"a response of another exchange":      {waiting(), other(header(true, 7)), "", Stale},
		"a response without a request":        {new(Window[string]), header(true, 0), "", Stale},
		"the first request":                   {new(Window[string]), header(false, 0), "", Next},
		"the last ID in a new window":         {new(Window[string]), header(false, math.MaxUint32), "", UnknownID},
		"the next request":                    {asked(4, content("a"), content("b")), header(false, 5), "", Next},
		"the next request, too early":         {asked(4, content("a"), nil), header(false, 5), "", Early},
		"the one after":                       {asked(4, content("a"), content("b")), header(false, 6), "", UnknownID},
		"the last request":                    {asked(4, content("a"), content("b")), header(false, 4), "a", Copy},
		"the last request, not answered yet":  {asked(4, content("a"), nil), header(false, 4), "a", Copy},
		"another request of the same ID":      {asked(4, content("a"), content("b")), header(false, 4), "x", UnknownID},
		"a fragment of the same ID":           {asked(4, content("a"), content("b")), fragment, "x", Refragmented},
		"the last request's, other exchange":  {asked(4, content("a"), content("b")), other(header(false, 4)), "a", UnknownID},
		"the one before":                      {asked(4, content("a"), content("b")), header(false, 3), "a", UnknownID},
		"the last of all IDs":                 {asked(math.MaxUint32-1, content("a"), content("b")), header(false, math.MaxUint32), "", UnknownID},
		"the last request of all but one IDs": {asked(math.MaxUint32-1, content("a"), content("b")), header(false, math.MaxUint32-1), "a", Copy},
	} {
		before := *tt.w
		if got := tt.w.Judge(tt.h, []byte(tt.data)); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
		if before.State() != tt.w.State() || before.Outstanding() != tt.w.Outstanding() {
			t.Errorf("%s: the window has changed", name)
		}
	}
}

// The window after IKE_SA_INIT, which is handled outside of it.
func TestBegin(t *testing.T) {
	w := new(Window[string])
	w.Begin()
	if w.ExpectedID() != 1 || w.Pending() || w.HasResponse() || !w.IsLast(0) || w.IsLast(1) {
		t.Errorf("expects %d, pending %v, has a response %v", w.ExpectedID(), w.Pending(), w.HasResponse())
	}
	h := wire.Header{Exchange: wire.IKEAuth, MessageID: 1}
	if got := w.Judge(h, nil); got != Next {
		t.Errorf("IKE_AUTH is %d", got)
	}
}

func TestRepeat(t *testing.T) {
	w := asked(0, content("a"), nil)
	if w.Repeat("peer", "peer") != nil || !w.Pending() || w.HasResponse() {
		t.Error("there is a response before it was given")
	}
	if to := w.Respond([][]byte{content("b")}); to != "peer" || w.Pending() || !w.HasResponse() {
		t.Errorf("the response goes to %q", to)
	}
	want := func(from, current string, ok bool) {
		t.Helper()
		if got := w.Repeat(from, current); (got != nil) != ok || ok && !bytes.Equal(got[0], content("b")) {
			t.Errorf("a copy from %s, now at %s: answered with %q", from, current, got)
		}
	}
	for range 3 * MaxStrays { // the request's own path and the current one have no limit
		want("peer", "moved", true)
		want("moved", "moved", true)
	}
	for i := range MaxStrays + 2 {
		want("stranger", "moved", i < MaxStrays)
	}
	want("peer", "moved", true)
	w.Accept("peer", sha256.Sum256(content("c")), wire.Informational)
	w.Respond([][]byte{content("b")})
	want("stranger", "peer", true) // the next request has a limit of its own
	if from, ex := w.Last(); from != "peer" || ex != wire.Informational {
		t.Errorf("the last request came from %q, exchange %v", from, ex)
	}
}

func TestIDsAreUsedUp(t *testing.T) {
	w := new(Window[string])
	for _, tt := range []struct {
		s        State
		worn, ok bool
	}{
		{State{}, false, true}, {State{Next: wornID - 1, Expected: wornID - 1}, false, true}, {State{Next: wornID}, true, true},
		{State{Expected: wornID}, true, true}, {State{Next: math.MaxUint32 - 1}, true, true}, {State{Next: math.MaxUint32}, true, false},
	} {
		w.Restore(tt.s)
		if id, ok := w.NextID(); id != tt.s.Next || ok != tt.ok || w.Worn() != tt.worn || w.State() != tt.s {
			t.Errorf("%+v: the next ID is %d, %v; worn %v", tt.s, id, ok, w.Worn())
		}
	}
}

// A request that is withdrawn leaves its ID to the next one, and its response is stale.
func TestWithdraw(t *testing.T) {
	w := new(Window[string])
	if r := w.Send(wire.CreateChildSA, [][]byte{content("a")}); r.ID != 0 || r != w.Outstanding() {
		t.Fatalf("the request is %+v", r)
	}
	w.Withdraw()
	if w.Outstanding() != nil || w.Judge(wire.Header{Exchange: wire.CreateChildSA, Response: true}, nil) != Stale {
		t.Error("it is still waited for")
	}
	if r := w.Send(wire.Informational, nil); r.ID != 0 {
		t.Errorf("the next one has the ID %d", r.ID)
	}
	w.Answered()
	if r := w.Send(wire.Informational, nil); r.ID != 1 {
		t.Errorf("the one after has the ID %d", r.ID)
	}
}

// side is one end of an IKE SA in the test of two: it asks, answers late, and repeats.
type side struct {
	name    string
	w       Window[string]
	asked   int    // requests that were begun
	done    int    // and answered
	handled int    // requests of the other side
	late    uint32 // the ID of the request that is answered later
	waits   bool
}

type packet struct {
	to   *side
	h    wire.Header
	data []byte
}

// TestTwoWindows has two windows talk over a link that loses, repeats and reorders. Each request is
// handled once and in order, each response is the one that was given to its request, and both ends
// come to rest.
func TestTwoWindows(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		left, right := &side{name: "left"}, &side{name: "right"}
		var link []packet
		send := func(to *side, h wire.Header, data []byte) {
			for n := r.IntN(4); n > 0; n-- { // none is a loss
				link = append(link, packet{to, h, data})
			}
		}
		const requests = 40
		for steps := 0; left.done+right.done < 2*requests; steps++ {
			if steps > 100_000 {
				t.Fatalf("seed %d: left %+v, right %+v", seed, left, right)
			}
			s, peer := left, right
			if r.IntN(2) == 0 {
				s, peer = right, left
			}
			switch out := s.w.Outstanding(); {
			case len(link) > 0 && r.IntN(3) > 0:
				i := r.IntN(len(link))
				pk := link[i]
				link = append(link[:i], link[i+1:]...)
				from := left
				if pk.to == left {
					from = right
				}
				receive(t, seed, pk, from, send, r)
			case s.waits:
				s.waits = false
				response := content("%s answers %d", s.name, s.late)
				s.w.Respond([][]byte{response})
				send(peer, header(true, s.late), response)
			case out != nil:
				out.Repeated++
				send(peer, header(false, out.ID), out.Datagrams[0])
			case s.asked < requests:
				id, _ := s.w.NextID()
				data := content("%s asks %d", s.name, id)
				s.w.Send(wire.Informational, [][]byte{data})
				s.asked++
				send(peer, header(false, id), data)
			}
		}
		if left.handled != requests || right.handled != requests {
			t.Fatalf("seed %d: %d and %d requests were handled, want %d", seed, left.handled, right.handled, requests)
		}
	}
}

// receive has a side take a packet as an IKE SA does.
func receive(t *testing.T, seed uint64, pk packet, from *side, send func(*side, wire.Header, []byte), r *rand.Rand) {
	s := pk.to
	switch s.w.Judge(pk.h, pk.data) {
	case Response:
		if want := content("%s answers %d", from.name, pk.h.MessageID); !bytes.Equal(pk.data, want) {
			t.Fatalf("seed %d: %q was taken for the answer to %d", seed, pk.data, pk.h.MessageID)
		}
		s.w.Answered()
		s.done++
	case Next:
		if want := content("%s asks %d", from.name, s.handled); !bytes.Equal(pk.data, want) {
			t.Fatalf("seed %d: %q was handled, want %q", seed, pk.data, want)
		}
		s.handled++
		s.w.Accept(from.name, sha256.Sum256(pk.data), pk.h.Exchange)
		s.late, s.waits = pk.h.MessageID, true
		if r.IntN(2) == 0 {
			s.waits = false
			response := content("%s answers %d", s.name, s.late)
			s.w.Respond([][]byte{response})
			send(from, header(true, s.late), response)
		}
	case Copy:
		if list := s.w.Repeat(from.name, from.name); list != nil {
			send(from, header(true, pk.h.MessageID), list[0])
		}
	case Early:
		t.Fatalf("seed %d: a request came before the last one was answered", seed)
	}
}

// FuzzJudge looks for headers that let in a request twice or a response that nobody waits for.
func FuzzJudge(f *testing.F) {
	f.Add(uint32(0), uint32(0), []byte{0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, next, expected uint32, script []byte) {
		var w Window[string]
		w.Restore(State{next, expected})
		handled := map[uint32]bool{}
		for ; len(script) >= 5; script = script[5:] {
			h := header(script[0]&1 != 0, binary.BigEndian.Uint32(script[1:]))
			if script[0]&2 != 0 && w.Outstanding() == nil {
				if _, ok := w.NextID(); ok {
					w.Send(wire.Informational, nil)
				}
			}
			switch w.Judge(h, script[1:5]) {
			case Response:
				if w.Outstanding() == nil || w.Outstanding().ID != h.MessageID {
					t.Fatal("a response that nobody waits for")
				}
				w.Answered()
			case Next:
				if handled[h.MessageID] {
					t.Fatalf("request %d is let in twice", h.MessageID)
				}
				handled[h.MessageID] = true
				w.Accept("peer", sha256.Sum256(script[1:5]), h.Exchange)
				w.Respond(nil)
			}
		}
	})
}

// The fragments of a request and those of a response are gathered apart.
func TestFragmentsAreApart(t *testing.T) {
	w := new(Window[string])
	request, response := w.Fragments(header(false, 0)), w.Fragments(header(true, 0))
	if request == response || request != w.Fragments(header(false, 1)) || response != w.Fragments(header(true, 1)) {
		t.Error("they share a place, or have several")
	}
}
