package ike

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/iotest"
	"time"

	"culvert/ike/wire"
)

func TestCookie(t *testing.T) {
	jar := cookieJar{secrets{rand: seededRand(1, "cookie")}}
	from, ni, spi := netip.MustParseAddrPort("192.0.2.1:500"), []byte("nonce of sixteen"), wire.SPI(1)
	if jar.valid(epoch, make([]byte, cookieLen), ni, from, spi) {
		t.Error("a cookie is valid before any was made")
	}
	cookie, err := jar.make(epoch, ni, from, spi)
	if err != nil || len(cookie) < 1 || len(cookie) > 64 {
		t.Fatalf("make: %d octets, %v", len(cookie), err)
	}
	if again, _ := jar.make(epoch.Add(time.Second), ni, from, spi); !bytes.Equal(again, cookie) {
		t.Error("the same request gets another cookie a second later")
	}
	for _, c := range []struct {
		what string
		at   time.Duration
		from string
		ni   string
		spi  wire.SPI
		want bool
	}{
		{"the same", 0, "192.0.2.1:500", "nonce of sixteen", 1, true},
		{"other address", 0, "192.0.2.9:500", "nonce of sixteen", 1, false},
		{"IPv6", 0, "[2001:db8::1]:500", "nonce of sixteen", 1, false},
		{"other port", 0, "192.0.2.1:501", "nonce of sixteen", 1, false},
		{"other nonce", 0, "192.0.2.1:500", "nonce of sixteem", 1, false},
		{"other SPI", 0, "192.0.2.1:500", "nonce of sixteen", 2, false},
		{"secret about to change", cookieLife - 1, "192.0.2.1:500", "nonce of sixteen", 1, true},
		{"secret changed", cookieLife, "192.0.2.1:500", "nonce of sixteen", 1, true},
		{"changed long ago", 2*cookieLife - 1, "192.0.2.1:500", "nonce of sixteen", 1, true},
		{"changed twice", 2 * cookieLife, "192.0.2.1:500", "nonce of sixteen", 1, false},
		{"changed twice, seen later", 3 * cookieLife, "192.0.2.1:500", "nonce of sixteen", 1, false},
	} {
		if got := jar.valid(epoch.Add(c.at), cookie, []byte(c.ni), netip.MustParseAddrPort(c.from), c.spi); got != c.want {
			t.Errorf("%s: valid %v, want %v", c.what, got, c.want)
		}
	}
}

func TestCookieForged(t *testing.T) {
	jar := cookieJar{secrets{rand: seededRand(1, "cookie")}}
	from, ni := netip.MustParseAddrPort("192.0.2.1:500"), []byte("nonce of sixteen")
	cookie, _ := jar.make(epoch, ni, from, 1)
	for i := range len(cookie) * 8 {
		forged := bytes.Clone(cookie)
		forged[i/8] ^= 1 << (i % 8)
		if jar.valid(epoch, forged, ni, from, 1) {
			t.Errorf("bit %d flipped, and valid", i)
		}
	}
	for n := range cookie {
		if jar.valid(epoch, cookie[:n], ni, from, 1) {
			t.Errorf("cut to %d octets, and valid", n)
		}
	}
	if jar.valid(epoch, append(bytes.Clone(cookie), 0), ni, from, 1) {
		t.Error("an octet more, and valid")
	}
}

// After a long pause the old secret is not kept as the previous one.
func TestCookieLongIdle(t *testing.T) {
	jar := cookieJar{secrets{rand: seededRand(1, "cookie")}}
	from, ni := netip.MustParseAddrPort("192.0.2.1:500"), []byte("nonce of sixteen")
	cookie, _ := jar.make(epoch, ni, from, 1)
	if _, err := jar.make(epoch.Add(time.Hour), ni, from, 1); err != nil {
		t.Fatal(err)
	}
	if jar.valid(epoch.Add(time.Hour), cookie, ni, from, 1) {
		t.Error("a cookie of an hour ago is valid")
	}
}

func TestCookieWithoutRandomness(t *testing.T) {
	jar := cookieJar{secrets{rand: iotest.ErrReader(io.ErrUnexpectedEOF)}}
	if _, err := jar.make(epoch, nil, netip.AddrPort{}, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// TestCookieCrossesAResponse: a copy of IKE_SA_INIT is answered by a cookie, and the first response
// comes after that. AUTH then covers another request than the responder has, which refuses it.
// Another attempt begins at once, but not where the refusal was meant: nor without a cookie.
func TestCookieCrossesAResponse(t *testing.T) {
	for _, c := range []struct {
		meant, cookie bool
		attempts      int
	}{{false, true, 2}, {true, true, 2}, {true, false, 1}} {
		p := newPair(t, 1, func(p *testPair) {
			p.right.peers[0].Remote = nil
			if c.meant {
				p.right.peers[0].PSK = []byte("a secret that left does not have")
			}
		})
		a := newAttack(p)
		p.script(true)
		p.left.connect("lan")
		for attempt := 1; attempt <= c.attempts; attempt++ {
			init := p.wantSend("left calls", p.left, wire.IKESAInit, false, "...")
			p.deliver(init)
			response := p.wantSend("right answers", p.right, wire.IKESAInit, true, "...")
			if c.cookie && (c.meant || attempt == 1) {
				cookie := wire.Message{
					Header:   wire.Header{InitiatorSPI: init.hdr.InitiatorSPI, Exchange: wire.IKESAInit, Response: true},
					Payloads: []wire.Payload{&wire.Notify{Kind: wire.Cookie, Data: []byte{1, 2, 3}}},
				}
				a.inject(p.left, p.right.home(), cookie.AppendTo(nil))
				p.wantSend("left repeats it with the cookie", p.left, wire.IKESAInit, false, "...")
			}
			p.deliver(response)
			p.deliver(p.wantSend("left authenticates", p.left, wire.IKEAuth, false, "..."))
			p.deliver(p.wantSend("right answers", p.right, wire.IKEAuth, true, "..."))
		}
		p.drive(300 * time.Millisecond)
		if connected := p.left.main() != nil; connected == c.meant || len(p.left.out) > 0 {
			p.fatalf("connected: %v; %d more messages", connected, len(p.left.out))
		}
	}
}
