//go:build linux

package netlab

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestProbesBringErrors gets each kind of error from a router, and a reply from the host behind it.
func TestProbesBringErrors(t *testing.T) {
	l := Need(t)
	a, r, b := must(l.Host("a"))(t), must(l.Host("r"))(t), must(l.Host("b"))(t)
	for _, err := range []error{
		l.Link(Iface{a, "wan", []string{"192.0.2.1/24", "2001:db8::1/64"}}, Iface{r, "in", []string{"192.0.2.254/24", "2001:db8::ff/64"}}, 1500),
		l.Link(Iface{r, "out", []string{"198.51.100.254/24", "2001:db8:1::ff/64"}}, Iface{b, "wan", []string{"198.51.100.1/24", "2001:db8:1::1/64"}}, 1300),
		a.Route("default", "192.0.2.254", 0), a.Route("default", "2001:db8::ff", 0),
		b.Route("default", "198.51.100.254", 0), b.Route("default", "2001:db8:1::ff", 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	addr := netip.MustParseAddr
	src4, dst4, src6, dst6 := left, addr("198.51.100.1"), addr("2001:db8::1"), addr("2001:db8:1::1")
	router4, router6 := addr("192.0.2.254"), addr("2001:db8::ff")
	for _, tt := range []struct {
		p    Probe
		want Answer
	}{
		{Probe{Src: src4, Dst: dst4, Size: 100}, Answer{From: dst4}},
		{Probe{Src: src4, Dst: dst4, Size: 101, TTL: 1}, Answer{From: router4, Type: 11}},
		{Probe{Src: src4, Dst: dst4, Size: 1300}, Answer{From: router4, Type: 3, Code: 4, MTU: 1300}},
		{Probe{Src: src6, Dst: dst6, Size: 100}, Answer{From: dst6, Type: 129}},
		{Probe{Src: src6, Dst: dst6, Size: 101, TTL: 1}, Answer{From: router6, Type: 3}},
		{Probe{Src: src6, Dst: dst6, Size: 1300}, Answer{From: router6, Type: 2, MTU: 1300}},
	} {
		if got, err := a.Probe(ctx, tt.p); err != nil || got != tt.want {
			t.Errorf("%+v: got %+v, %v, want %+v", tt.p, got, err, tt.want)
		}
	}
}

// TestInjectedPacketsArrive receives injected packets by a socket, from addresses that no host has.
func TestInjectedPacketsArrive(t *testing.T) {
	l := Need(t)
	a, b := must(l.Host("a"))(t), must(l.Host("b"))(t)
	if err := l.Link(Iface{a, "wan", nil}, Iface{b, "wan", []string{"192.0.2.2/24", "2001:db8::2/64"}}, 1500); err != nil {
		t.Fatal(err)
	}
	link, err := b.Netlink().LinkByName("wan")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, to, data string }{
		{"192.0.2.77", "192.0.2.2", "even"}, {"192.0.2.77", "192.0.2.2", "odd"}, {"2001:db8::77", "2001:db8::2", "even"}, {"2001:db8::77", "2001:db8::2", "odd"},
	} {
		var c net.PacketConn
		if err := b.Do(func() (err error) {
			c, err = net.ListenPacket("udp", netip.AddrPortFrom(netip.MustParseAddr(tt.to), 0).String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		from, to := netip.AddrPortFrom(netip.MustParseAddr(tt.from), 7), netip.MustParseAddrPort(c.LocalAddr().String())
		if err := a.Inject("wan", net.HardwareAddr{2, 0, 0, 0, 0, 7}, link.Attrs().HardwareAddr, UDPPacket(from, to, []byte(tt.data))); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 100)
		n, sender, err := c.ReadFrom(buf)
		if err != nil || string(buf[:n]) != tt.data || sender.String() != from.String() {
			t.Errorf("got %q from %v, %v, want %q from %v", buf[:n], sender, err, tt.data, from)
		}
	}
}
