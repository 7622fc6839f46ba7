package tun

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Truncated and malformed messages do no harm.
func TestHostileMessages(t *testing.T) {
	rule := kernelRule{prio: 7, src: netip.MustParsePrefix("10.0.0.0/8"), mark: 1, mask: 3, iif: "eth0", ipProto: 17, sport: portRange{1, 2}, action: unix.FR_ACT_GOTO, goTo: 9, table: 300}
	route := kernelRoute{table: 300, dst: netip.MustParsePrefix("2001:db8::/32"), metric: 1, kind: unix.RTN_UNICAST, oif: 3, via: netip.MustParseAddr("fe80::1"), src: netip.MustParseAddr("2001:db8::1")}
	for _, whole := range [][]byte{rule.append(nil, unix.RTM_NEWRULE, 0), route.append(nil, unix.RTM_NEWROUTE, 0)} {
		complete(whole, 0, 0)
		for n := range len(whole) {
			body := whole[min(unix.SizeofNlMsghdr, n):n]
			parseRule(body)
			parseRoute(body)
			parseAddr(body)
			parseLink(body)
			for m := range messages(whole[:n]) {
				t.Fatalf("%d of %d octets are a message: %v", n, len(whole), m)
			}
		}
		for i := range whole {
			for _, v := range []byte{0, 1, 3, 0xff} {
				b := append([]byte(nil), whole...)
				b[i] = v
				for m := range messages(b) {
					parseRule(m.body)
					parseRoute(m.body)
					parseAddr(m.body)
					_ = m.err()
				}
			}
		}
	}
	if got, ok := parseRule(rule.append(nil, unix.RTM_NEWRULE, 0)[unix.SizeofNlMsghdr:]); !ok || got != rule {
		t.Errorf("got %+v, want %+v", got, rule)
	}
	if got, ok := parseRoute(route.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]); !ok || got != route {
		t.Errorf("got %+v, want %+v", got, route)
	}
}
