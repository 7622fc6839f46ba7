package dataplane

import (
	"net/netip"
	"testing"

	"culvert/dataplane/netio"
	"culvert/internal/ipsec"
)

func TestTooBigMustQuoteALiveSA(t *testing.T) {
	errs := make(chan netio.TooBig)
	a := newGateway(t, 1, func(c *Config) { c.TooBig, c.MinMTU = errs, 700 })
	a.start(t)
	sa := childSA(t, a, a, 1)
	other := childSA(t, a, a, 2)
	other.SPIOut, other.Path = sa.SPIOut, ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.9:4500")) // peers choose these, and may choose the same
	raw := childSA(t, a, a, 3)
	raw.Path = ipsec.RawPath(netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
	for _, s := range []ipsec.ChildSA{sa, other, raw} {
		if err := a.InstallInbound(s); err != nil {
			t.Fatal(err)
		}
	}
	good := netio.TooBig{Path: ipsec.NATPath(outerA, outerB), SPI: sa.SPIOut, MTU: 1400}
	good6 := netio.TooBig{Path: raw.Path, SPI: raw.SPIOut, MTU: 1400}
	change := func(e netio.TooBig, f func(e *netio.TooBig)) netio.TooBig { f(&e); return e }
	ignored := uint64(0)
	for name, e := range map[string]netio.TooBig{
		"no SPI":                 change(good, func(e *netio.TooBig) { e.SPI = 0 }),
		"another SPI":            change(good, func(e *netio.TooBig) { e.SPI++ }),
		"an inbound SPI":         change(good, func(e *netio.TooBig) { e.SPI = sa.SPIIn }),
		"another local address":  change(good, func(e *netio.TooBig) { e.Path = e.Path.WithLocal(netip.MustParseAddr("192.0.2.8")) }),
		"another remote address": change(good, func(e *netio.TooBig) { e.Path = ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.8:4500")) }),
		"another port":           change(good, func(e *netio.TooBig) { e.Path = ipsec.NATPath(outerA, netip.MustParseAddrPort("192.0.2.2:4501")) }),
		"without UDP":            change(good, func(e *netio.TooBig) { e.Path = ipsec.RawPath(outerA.Addr(), outerB.Addr()) }),
		"below the floor":        change(good, func(e *netio.TooBig) { e.MTU = 699 }),
		"below the floor, IPv6":  change(good6, func(e *netio.TooBig) { e.MTU = 1279 }),
		"IPv6 with UDP":          change(good6, func(e *netio.TooBig) { e.Path = ipsec.NATPath(raw.Path.Local(), raw.Path.Remote()) }),
	} {
		errs <- e
		ignored++
		a.wantCounter(t, "pmtu_icmp_ignored", ignored)
		for id := ipsec.ChildID(1); id <= 2; id++ {
			a.wantMTU(t, id, gcmFormat.InnerMTU(1500, false, true))
		}
		a.wantMTU(t, 3, gcmFormat.InnerMTU(1500, true, false))
		if t.Failed() {
			t.Fatal(name)
		}
	}
	errs <- good
	a.wantCounter(t, "pmtu_icmp", 1)
	a.wantMTU(t, 1, gcmFormat.InnerMTU(1400, false, true))
	a.wantMTU(t, 2, gcmFormat.InnerMTU(1500, false, true))
	errs <- change(good, func(e *netio.TooBig) { e.Path, e.MTU = other.Path, 700 })
	a.wantCounter(t, "pmtu_icmp", 2)
	a.wantMTU(t, 2, gcmFormat.InnerMTU(700, false, true))
	errs <- good6
	a.wantCounter(t, "pmtu_icmp", 3)
	a.wantMTU(t, 3, gcmFormat.InnerMTU(1400, true, false))
	a.RemoveSA(1)
	errs <- change(good, func(e *netio.TooBig) { e.MTU = 1300 })
	a.wantCounter(t, "pmtu_icmp_ignored", ignored+1) // its SA is no more
	if err := a.InstallInbound(childSA(t, a, a, 4)); err != nil {
		t.Fatal(err)
	}
	a.wantMTU(t, 4, gcmFormat.InnerMTU(1400, false, true)) // but what was learnt of the path is remembered
	for _, id := range []ipsec.ChildID{2, 3, 4} {
		a.RemoveSA(id)
	}
	if n := len(a.paths.bySPI) + len(a.paths.sameSPI); n != 0 {
		t.Errorf("%d SPIs are left", n)
	}
}
