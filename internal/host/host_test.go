package host

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree writes files below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	heading = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	// In the notation of a little-endian kernel: default via 192.0.2.2, 192.0.2.0/24, 10.7.0.0/16.
	routes4 = heading + "wan\t00000000\t020200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"wan\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"lan\t0000070A\t0501010A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
	routes6 = "20010db8000200000000000000000000 40 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     lan\n" +
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wan\n" +
		"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     wan\n" +
		"00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo\n" +
		"ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001     wan\n"
)

func TestRead(t *testing.T) {
	v := Read(tree(t, map[string]string{
		"proc/net/route": routes4, "proc/net/ipv6_route": routes6, "proc/sys/net/ipv4/ip_forward": "1\n", "proc/sys/net/ipv6/conf/all/forwarding": "0\n",
	}))
	want := []Route{{netip.MustParsePrefix("192.0.2.0/24"), "wan"}, {netip.MustParsePrefix("10.7.0.0/16"), "lan"}, {netip.MustParsePrefix("2001:db8:2::/64"), "lan"}}
	if !slices.Equal(v.Routes, want) || !slices.Equal(v.Default, []string{"wan"}) || !v.Routed || !v.Forward4 || v.Forward6 {
		t.Errorf("got %+v", v)
	}
	if v := Read(t.TempDir()); v.Routed || len(v.Routes) != 0 {
		t.Errorf("without files: got %+v", v)
	}
}

// sample returns a host with two links.
func sample() *View {
	p := netip.MustParsePrefix
	return &View{Routed: true, Routes: []Route{{p("10.7.0.0/16"), "lan"}}, Links: []Link{
		{Name: "wan", Addrs: []netip.Prefix{p("192.0.2.1/24"), p("fe80::1/64"), p("2001:db8::1/64")}},
		{Name: "lan", Addrs: []netip.Prefix{p("10.1.0.1/24"), p("10.1.0.2/24"), p("10.9.9.9/32")}, Bridge: true},
		{Name: "culvert0", Addrs: []netip.Prefix{p("10.3.0.1/24")}},
	}}
}

func TestAttached(t *testing.T) {
	got := fmt.Sprint(sample().Attached("culvert0"))
	if want := "[{10.1.0.0/24 lan true} {192.0.2.0/24 wan false} {2001:db8::/64 wan false}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPrefixOf: only an address with a mask of its own length is a prefix.
func TestPrefixOf(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{&net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(24, 32)}, "192.0.2.1/24"},
		{&net.IPNet{IP: net.IPv4(192, 0, 2, 1).To4(), Mask: net.CIDRMask(32, 32)}, "192.0.2.1/32"},
		{&net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(128, 128)}, "2001:db8::1/128"},
		{&net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(120, 128)}, ""},
		{&net.IPNet{Mask: net.CIDRMask(0, 32)}, ""},
		{&net.IPAddr{IP: net.IPv4(192, 0, 2, 1)}, ""},
	} {
		got := ""
		if p, ok := prefixOf(tt.addr); ok {
			got = p.String()
		}
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.addr, got, tt.want)
		}
	}
}

// Read works on the real host, and leaves out the loopback.
func TestThisHost(t *testing.T) {
	for _, l := range Read("/").Links {
		if l.Name == "lo" {
			t.Errorf("got %+v", l)
		}
	}
	Resolver("/")
}
