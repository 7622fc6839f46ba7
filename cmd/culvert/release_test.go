package main

import (
	"net/netip"
	"slices"
	"testing"

	"culvert/internal/daemon"
)

func TestReleasedLines(t *testing.T) {
	var many []netip.Prefix
	for i := range 20 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, byte(i), 0}), 24))
	}
	local := many[:1]
	got := releasedLines([]daemon.Released{
		{What: "the guard of a", Local: local, Remote: many[1:3]},
		{What: "the guard of b"},
		{What: "what was left", Remote: many[1:4]},
		{What: "the guard of c", Local: local, Remote: many[1:]},
	})
	want := []string{
		"the guard of a is released: traffic between 10.2.0.0/24 and 10.2.1.0/24 and 10.2.2.0/24 may now pass unprotected",
		"the guard of b is released; it blocked nothing",
		"what was left is released: traffic to 10.2.1.0/24, 10.2.2.0/24 and 10.2.3.0/24 may now leave unprotected",
		"the guard of c is released: traffic between 10.2.0.0/24 and 10.2.1.0/24, 10.2.2.0/24, 10.2.3.0/24, 10.2.4.0/24, 10.2.5.0/24, 10.2.6.0/24, 10.2.7.0/24, 10.2.8.0/24, " +
			"10.2.9.0/24, 10.2.10.0/24, 10.2.11.0/24, 10.2.12.0/24, 10.2.13.0/24, 10.2.14.0/24, 10.2.15.0/24, 10.2.16.0/24 and 3 more networks may now pass unprotected",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := releasedLines(nil); len(got) != 1 {
		t.Errorf("nothing: %q", got)
	}
}
