package ipheader_test

import "net/netip"

var (
	src4 = netip.MustParseAddrPort("10.1.0.1:1025")
	dst4 = netip.MustParseAddrPort("10.2.0.1:443")
	src6 = netip.MustParseAddrPort("[2001:db8:1::1]:1025")
	dst6 = netip.MustParseAddrPort("[2001:db8:2::1]:443")
)
