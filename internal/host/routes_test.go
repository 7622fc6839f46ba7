package host

import (
	"net/netip"
	"testing"
)

func TestBadRoutesAreLeftOut(t *testing.T) {
	v := Read(tree(t, map[string]string{
		"proc/net/route":      heading + "wan\n\nwan\tx\t0\t0\t0\t0\t0\t00FFFFFF\n",
		"proc/net/ipv6_route": "x 40 0 0 0 0 0 0 0 wan\n2001 40 0 0 0 0 0 0 0 wan\n20010db8000200000000000000000000 ff 0 0 0 0 0 0 0 wan\n20010db8000200000000000000000000 81 0 0 0 0 0 0 0 wan\n",
	}))
	if len(v.Routes) != 0 || len(v.Default) != 0 {
		t.Errorf("got %+v", v)
	}
}

func TestReaches(t *testing.T) {
	v := sample()
	for text, want := range map[string]bool{
		"10.1.0.0/24": true, "10.1.0.128/25": true, "10.0.0.0/8": true, "10.7.3.0/24": true, "10.9.9.9/32": true,
		"10.8.0.0/16": false, "2001:db8:1::/64": false,
	} {
		if got := v.Reaches(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
	}
	v.Routed = false
	if !v.Reaches(netip.MustParsePrefix("10.8.0.0/16")) {
		t.Error("without knowing the routes: got false")
	}
	if !v.Has(netip.MustParseAddr("10.1.0.2")) || v.Has(netip.MustParseAddr("10.1.0.3")) {
		t.Error("Has is wrong")
	}
}
