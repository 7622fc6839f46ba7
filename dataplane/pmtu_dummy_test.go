package dataplane

import (
	"testing"
	"time"

	"culvert/dataplane/netio"
	"culvert/esp"
	"culvert/internal/ipsec"
)

// Dummy packets of others are counted; requests are answered by as many packets as are good for a
// search.
func TestDummies(t *testing.T) {
	a, b, _ := probing(t, 1500, nil)
	sa := childSA(t, a, b, 1)
	install(t, a, b, sa)
	eventually(t, "the first probes", func() bool { return a.Counters()["pmtu_answers"] == 2 && b.Counters()["pmtu_answers"] == 2 })
	out, err := esp.NewOutbound(sa.Outbound())
	if err != nil {
		t.Fatal(err)
	}
	var scratch esp.Scratch
	seq := uint64(100)
	send := func(inner []byte) {
		seq++
		sealed := out.Seal(&scratch, make([]byte, gcmFormat.SealedLen(len(inner))), seq, inner, esp.NextDummy)
		b.ports[0].in.put(nil, netio.Received{Data: sealed, Path: ipsec.NATPath(outerB, outerA)})
	}
	request := make([]byte, dummyLen)
	(&dummy{kind: dummyRequest}).put(request)
	for i, change := range []func(b []byte) []byte{
		func(b []byte) []byte { return nil },
		func(b []byte) []byte { return b[:dummyLen-1] },
		func(b []byte) []byte { b[0]++; return b },
		func(b []byte) []byte { b[8] = 3; return b },
		func(b []byte) []byte { b[9] = 1; return b },
	} {
		send(change(append([]byte(nil), request...)))
		b.wantCounter(t, "esp_dummy", uint64(i+1))
	}
	answers := make(chan int, 1000)
	b.ports[0].wiretap(func(o *netio.Outgoing) { answers <- len(o.Data) })
	for range 2 * answersPerSecond {
		send(request)
	}
	eventually(t, "the requests are looked at", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.slots[b.pairs[1].sa.Policy].answers >= 2*answersPerSecond
	})
	for range answersPerSecond - 2 { // two were answered in this second before
		select {
		case n := <-answers:
			if n > gcmFormat.SealedLen(len(request)) {
				t.Errorf("an answer of %d octets is larger than the request", n)
			}
		case <-time.After(patience):
			t.Fatal("a request was not answered")
		}
	}
	b.queues[0].inject(udpPacket(dst4, src4, true, []byte("marks the end")))
	if n := <-answers; n == gcmFormat.SealedLen(dummyLen) {
		t.Error("more requests were answered than may be")
	}
}
