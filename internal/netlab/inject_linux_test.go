package netlab

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

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
